//! What is counted of model calls. Labels have few values: no tenant, key or request is one.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use steward_events::event::{CallOutcome, TokenUsage};
use steward_events::quantity::NanoDollars;

use crate::cache::CacheUse;
use crate::targets::TargetMetrics;

/// An attempt to call a model, by how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    outcome: &'static str,
}

/// Tokens, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Calls of models that have kept or shared answers, by what these had to do with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    result: &'static str,
}

/// The counters of model calls. Cheap to clone: all clones count together.
#[derive(Clone)]
pub struct Metrics {
    attempts: Family<CallLabels, Counter>,
    tokens: Family<Kind, Counter>,
    cost: Counter<f64, AtomicU64>,
    running: Gauge,
    cache: Family<CacheLabels, Counter>,
    overhead: Histogram,
    first_byte: Histogram,
    pub(crate) targets: TargetMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            tokens: Family::default(),
            cost: Counter::default(),
            running: Gauge::default(),
            cache: Family::default(),
            overhead: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            first_byte: Histogram::new(exponential_buckets(0.005, 2.0, 15)),
            targets: TargetMetrics::default(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(…)")
    }
}

impl Metrics {
    /// Shows them in the gateway's own part of the registry.
    pub fn register(&self, gateway: &mut Registry) {
        gateway.register("attempts", "Attempts to call a model, by how they ended", self.attempts.clone());
        gateway.register("tokens", "Tokens of model calls", self.tokens.clone());
        gateway.register("cost_dollars", "Cost of model calls", self.cost.clone());
        gateway.register("calls_running", "Model calls running now", self.running.clone());
        gateway.register(
            "cache",
            "Calls of models whose answers are kept or shared, by what came of it",
            self.cache.clone(),
        );
        gateway.register_with_unit(
            "overhead",
            "Time in the gateway before a model call was sent",
            Unit::Seconds,
            self.overhead.clone(),
        );
        gateway.register_with_unit(
            "first_byte",
            "From sending a model call to the first byte of its answer",
            Unit::Seconds,
            self.first_byte.clone(),
        );
        self.targets.register(gateway);
    }

    pub(crate) fn cache(&self, used: CacheUse) {
        self.cache.get_or_create(&CacheLabels { result: used.as_str() }).inc();
    }

    pub(crate) fn sent(&self, overhead: Duration) {
        self.overhead.observe(overhead.as_secs_f64());
    }

    pub(crate) fn first_byte(&self, after: Duration) {
        self.first_byte.observe(after.as_secs_f64());
    }

    pub(crate) fn finished(&self, outcome: &CallOutcome, tokens: &TokenUsage, cost: NanoDollars) {
        let outcome = match outcome {
            CallOutcome::Completed => "completed",
            CallOutcome::NotBilled { .. } => "not_billed",
            CallOutcome::Estimated { .. } => "estimated",
        };
        self.attempts.get_or_create(&CallLabels { outcome }).inc();
        self.tokens.get_or_create(&Kind { kind: "input" }).inc_by(tokens.input.0);
        self.tokens.get_or_create(&Kind { kind: "output" }).inc_by(tokens.output.0);
        self.cost.inc_by(cost.as_dollars_f64());
    }

    /// Counts a call as running until the answer is dropped.
    pub(crate) fn run(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }
}

/// A call that runs.
pub(crate) struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
