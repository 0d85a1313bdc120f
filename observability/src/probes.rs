//! `/livez`, `/readyz` and `/metrics`: what they answer, made once for every listener of a process.
//!
//! Knows how health and metrics are written. It must not know who listens.

use std::sync::Arc;

use crate::health::Health;
use crate::metrics::{self, Metrics};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status of HTTP: 200 for a yes, 503 for a no.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// The health and the metrics of one process. Cheap to clone.
#[derive(Clone)]
pub struct Probes {
    health: Arc<Health>,
    metrics: Metrics,
}

impl Probes {
    /// Of this `health` and these `metrics`.
    pub fn new(health: Arc<Health>, metrics: Metrics) -> Self {
        Self { health, metrics }
    }

    /// The answer at `path`; none if there is no such probe.
    pub fn page(&self, path: &str) -> Option<Page> {
        let json = |status, body: &serde_json::Value| Page { status, content_type: "application/json", body: format!("{body}\n") };
        match path {
            // Answering is the proof.
            "/livez" => Some(json(200, &serde_json::json!({ "live": true }))),
            "/readyz" => {
                let (ready, report) = self.health.report();
                Some(json(if ready { 200 } else { 503 }, &report))
            }
            "/metrics" => Some(Page { status: 200, content_type: metrics::CONTENT_TYPE, body: self.metrics.encode() }),
            _ => None,
        }
    }
}
