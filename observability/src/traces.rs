//! Spans: every one has ids, so that log lines and headers can name them; with a collector they are sent there.
//!
//! A collector that is slow or away never holds anything up: spans wait in a bounded queue and are dropped from there.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::{Error, TelemetryConfig};

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

/// Where spans are sent, if anywhere.
pub(crate) fn collector(config: &TelemetryConfig) -> Option<&str> {
    config.otlp.as_deref().filter(|url| !url.is_empty())
}

pub(crate) fn provider(config: &TelemetryConfig) -> Result<SdkTracerProvider, Error> {
    let service = &config.service;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.name.clone()),
            KeyValue::new("service.version", service.version.clone()),
            KeyValue::new("service.instance.id", service.instance.clone()),
        ])
        .build();
    let provider = SdkTracerProvider::builder().with_resource(resource);
    let Some(url) = collector(config) else {
        return Ok(provider.with_span_processor(IdsOnly).build());
    };
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
    Ok(provider.with_span_processor(processor).build())
}

/// Gives tracing's spans their ids and, when they end, hands them to the provider. `exported` says whether they go
/// anywhere from there.
pub(crate) fn layer<S>(provider: &SdkTracerProvider, exported: bool) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    tracing_opentelemetry::layer().with_tracer(provider.tracer("steward")).with_threads(false).with_filter(filter_fn(
        move |metadata| {
            // A call to a model tells its collector much, and nobody else reads it; the request around it has the ids.
            if !exported && metadata.fields().field("gen_ai.operation.name").is_some() {
                return false;
            }
            // The exporter's own spans would be exported, for ever.
            let part = metadata.target().split("::").next().unwrap_or_default();
            !matches!(
                part,
                "h2" | "hyper" | "hyper_util" | "tonic" | "tower" | "opentelemetry_sdk" | "opentelemetry_otlp"
            )
        },
    ))
}

/// Spans get ids and go nowhere.
#[derive(Debug)]
struct IdsOnly;

impl SpanProcessor for IdsOnly {
    fn on_start(&self, _: &mut Span, _: &Context) {}
    fn on_end(&self, _: SpanData) {}
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
