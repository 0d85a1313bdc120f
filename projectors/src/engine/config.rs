//! The bounds of this crate.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// How much and how long. Every field has a default.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The most commits whose rows are written as one batch.
    pub batch_commits_max: NonZeroUsize,
    /// How long after one batch the next is written, if commits keep coming and a query waits for them.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub write_pause: Duration,
    /// How long after one batch the next is written, if commits keep coming and no query waits: metrics are that much
    /// behind. Rows that change often are written less often so.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub write_pause_max: Duration,
    /// The most rows that each fold keeps in memory between batches.
    pub rows_held_max: usize,
    /// How long a query waits for the position it demands.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub position_wait_max: Duration,
    /// How long a query that demands no position waits for the end of the log as it was when it was asked.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub settle_wait_max: Duration,
    /// How old the permissions may be by which a query is allowed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_age_max: Duration,
    /// How long an answer that reads the log itself may take; who asks over the bus waits for ten seconds.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub answer_time_max: Duration,
    /// Queries that read rows or the log at once, over all tenants; the others wait, each behind its own tenant's.
    pub reads_max: NonZeroUsize,
    /// Queries of one tenant that read at once.
    pub reads_per_tenant_max: NonZeroUsize,
    /// How many moments of the past are kept folded for queries about access.
    pub moments_held_max: usize,
    /// The most tenants that are named in metrics; the others are summed as `other`.
    pub tenants_labelled_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_commits_max: NonZeroUsize::MIN.saturating_add(1_023),
            write_pause: Duration::from_millis(25),
            write_pause_max: Duration::from_millis(400),
            rows_held_max: 50_000,
            position_wait_max: Duration::from_secs(5),
            settle_wait_max: Duration::from_millis(500),
            fresh_age_max: Duration::from_millis(80),
            answer_time_max: Duration::from_secs(9),
            reads_max: NonZeroUsize::MIN.saturating_add(63),
            reads_per_tenant_max: NonZeroUsize::MIN.saturating_add(7),
            moments_held_max: 16,
            tenants_labelled_max: 100,
        }
    }
}
