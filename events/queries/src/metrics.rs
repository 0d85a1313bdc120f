//! Projected metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for projected metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsQuery {}

/// Projected metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// In the text format of Prometheus.
    pub text: String,
}
