//! What a process answers at `/livez`, `/readyz` and `/metrics`, whichever of its listeners is asked.

use std::sync::Arc;

use serde_json::{Value, json};
use steward_gateway::{Probe, ProbeAnswer, Probes};
use steward_observability::{Health, Metrics, metrics};

/// The probes of the process with this `health` and these `metrics`.
pub fn probes(health: Arc<Health>, counted: Metrics) -> Probes {
    Arc::new(move |probe| match probe {
        // Answering is the proof.
        Probe::Live => in_json(true, &json!({ "live": true })),
        Probe::Ready => {
            let (ready, report) = health.report();
            in_json(ready, &report)
        }
        Probe::Metrics => ProbeAnswer { well: true, content_type: metrics::CONTENT_TYPE, body: counted.encode() },
    })
}

fn in_json(well: bool, body: &Value) -> ProbeAnswer {
    ProbeAnswer { well, content_type: "application/json", body: format!("{body}\n") }
}
