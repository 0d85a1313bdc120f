//! What is counted, in one registry, and how it is read: OpenMetrics text.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::{Health, Service};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Source = Arc<dyn Fn() -> String + Send + Sync>;

/// The registry, shared by all parts of a process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    sources: Arc<Mutex<Vec<Source>>>,
}

impl Metrics {
    /// A registry that knows the process itself.
    pub fn new(service: &Service) -> Self {
        let mut registry = Registry::default();
        let labels = vec![("name", service.name.clone()), ("version", service.version.clone())];
        registry.register("steward_build", "Which build this is", Info::new(labels));
        registry.register_collector(Box::new(Process { started: jiff::Timestamp::now() }));
        Self { registry: Arc::new(Mutex::new(registry)), sources: Arc::default() }
    }

    /// The registry itself, for parts that name prometheus-client but not this crate.
    pub fn registry(&self) -> Arc<Mutex<Registry>> {
        Arc::clone(&self.registry)
    }

    /// Adds a metric; counters get `_total` at the end of their name by themselves.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Adds metrics that are made when they are read.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// Adds `steward_check_ready`: for each check of `health`, 1 if it holds and 0 if not.
    pub fn watch(&self, health: Arc<Health>) {
        self.collect(Box::new(Checks(health)));
    }

    /// Adds metrics that somebody else has encoded as OpenMetrics text; their `# EOF` is left out.
    pub fn append(&self, source: impl Fn() -> String + Send + Sync + 'static) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(source));
    }

    /// All of it, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = text::encode_registry(&mut page, &registry) {
            tracing::error!(error = %error, "metrics cannot be encoded");
        }
        drop(registry);
        // Taken out first: a source may take its time, or add another.
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for source in sources {
            for line in source().lines().filter(|line| !line.is_empty() && *line != "# EOF") {
                let _ = writeln!(page, "{line}");
            }
        }
        page.push_str("# EOF\n");
        page
    }
}

/// What `/readyz` says, for alerts.
#[derive(Debug)]
struct Checks(Arc<Health>);

impl Collector for Checks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Whether a condition of readiness holds";
        let mut family = encoder.encode_descriptor("steward_check_ready", help, None, MetricType::Gauge)?;
        for (check, holds) in self.0.all() {
            ConstGauge::new(i64::from(holds)).encode(family.encode_family(&[("check", check)])?)?;
        }
        Ok(())
    }
}

/// What the operating system knows of this process, by the names that Prometheus' own clients use.
#[derive(Debug)]
struct Process {
    started: jiff::Timestamp,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        #[allow(clippy::cast_precision_loss)] // seconds since 1970
        let started = ConstGauge::new(self.started.as_millisecond() as f64 / 1e3);
        let metric = encoder.encode_descriptor(
            "process_start_time",
            "When the process began, in seconds since 1970",
            Some(&Unit::Seconds),
            started.metric_type(),
        )?;
        started.encode(metric)?;
        for (name, help, unit, value) in [
            ("process_resident_memory", "Memory in use", Some(&Unit::Bytes), resident_bytes()),
            ("process_open_fds", "Open files and sockets", None, open_files()),
        ] {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)?;
            }
        }
        Ok(())
    }
}

/// From Linux's procfs; elsewhere not known.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

fn open_files() -> Option<i64> {
    i64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
