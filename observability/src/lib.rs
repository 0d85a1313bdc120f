//! Telemetry set-up and health: logs, traces, metrics, and the table of what is well.
//!
//! This crate knows formats and exporters. It must not know Steward: names of metrics, of checks and of log fields come
//! from its users.

mod config;
pub mod health;
mod ids;
mod logs;
pub mod metrics;
pub mod propagate;
mod traces;

pub use config::{Config, LogFormat};
pub use health::Health;
pub use metrics::Metrics;

use std::io;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Which process this is; on every log line and span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is, e.g. `steward-gateway`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which run of it.
    pub instance: String,
}

/// Telemetry cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("{level:?} is not a log level such as info or info,steward_gateway=debug")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        #[source]
        reason: tracing_subscriber::filter::ParseError,
    },
    /// The collector's address is none, or needs what this build has not.
    #[error("{url:?} is not an OTLP collector's address such as http://127.0.0.1:4317: {reason}")]
    Otlp {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was set up before.
    #[error("telemetry is set up once a process")]
    Twice,
}

/// Keeps telemetry going. Dropping it sends what has not been sent, in at most [`traces::FLUSH_TIME_MAX`].
#[must_use = "telemetry ends with it"]
#[derive(Debug)]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
}

impl Guard {
    /// True if spans are sent to a collector.
    pub const fn sends_traces(&self) -> bool {
        self.traces.is_some()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces {
            // A collector that is away loses spans; that is no failure of this process, and nobody is left to tell.
            let _ = traces.shutdown_with_timeout(traces::FLUSH_TIME_MAX);
        }
    }
}

/// Sets telemetry up for this process: logs to standard error, spans to the collector. Needs a tokio runtime if spans
/// are to be sent.
///
/// # Errors
/// [`Error`]
pub fn init(config: &Config, service: &Service) -> Result<Guard, Error> {
    let (subscriber, guard) = subscriber(config, service, io::stderr)?;
    subscriber.try_init().map_err(|_| Error::Twice)?;
    Ok(guard)
}

/// The same for one scope, with log lines to `writer`: for tests.
///
/// # Errors
/// [`Error`]
pub fn subscriber<W>(
    config: &Config,
    service: &Service,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, Guard), Error>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let level: Targets =
        (config.filter.parse()).map_err(|reason| Error::Level { level: config.filter.clone(), reason })?;
    let traces = traces::provider(&config.otlp, service)?;
    let logs: Box<dyn Layer<_> + Send + Sync> = match config.log_format() {
        LogFormat::Json => Box::new(logs::Ecs::new(service.clone(), writer)),
        LogFormat::Human => Box::new(tracing_subscriber::fmt::layer().compact().with_writer(writer)),
    };
    let subscriber = Registry::default().with(level).with(traces::layer(traces.as_ref())).with(logs);
    Ok((subscriber, Guard { traces }))
}
