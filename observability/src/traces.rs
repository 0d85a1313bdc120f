//! Spans on their way to a collector, if there is one; `ids` names them if there is none.
//!
//! A collector that is slow or away never holds anything up: spans wait in a bounded queue and are dropped from there.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::ids::IdsOnly;
use crate::{Error, Service};

/// How long a stopping process waits for its last spans to be sent.
pub(crate) const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// Spans that wait to be sent; more are dropped.
const QUEUE_MAX: usize = 4_096;
/// Spans sent at once.
const BATCH_MAX: usize = 512;
/// How long one attempt to send may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);
/// Spans wait this long for company.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// Sends spans of `service` to the collector at `url`; none if that is empty.
pub(crate) fn provider(url: &str, service: &Service) -> Result<Option<SdkTracerProvider>, Error> {
    if url.is_empty() {
        return Ok(None);
    }
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.name.clone()),
            KeyValue::new("service.version", service.version.clone()),
            KeyValue::new("service.instance.id", service.instance.clone()),
        ])
        .build();
    let refused = |reason: String| Error::Otlp { url: url.to_owned(), reason };
    if !url.starts_with("http://") {
        return Err(refused("this build sends spans without TLS, to a collector beside it".to_owned()));
    }
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(refused("spans are sent from within a tokio runtime, and there is none yet".to_owned()));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(url)
        .with_timeout(SEND_TIME_MAX)
        .build()
        .map_err(|error| refused(error.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    Ok(Some(SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build()))
}

/// Gives tracing's spans their ids and, when they end, hands them to the provider.
pub(crate) fn layer<S>(provider: Option<&SdkTracerProvider>) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let Some(provider) = provider else { return Box::new(IdsOnly) };
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("steward")).with_threads(false);
    Box::new(spans.with_filter(filter_fn(|metadata| {
        // The exporter's own spans would be exported, for ever.
        let part = metadata.target().split("::").next().unwrap_or_default();
        !matches!(part, "h2" | "hyper" | "hyper_util" | "tonic" | "tower" | "opentelemetry_sdk" | "opentelemetry_otlp")
    })))
}
