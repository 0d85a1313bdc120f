//! What a worker process needs to be told.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// Every key has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where workers reach models, without `/v1`; the gateway of this configuration if not set.
    pub gateway_url: Option<String>,
    /// Tasks this process drives at once; the others wait in the log.
    pub tasks_concurrent_max: NonZeroU32,
    /// Of these, tasks of one tenant.
    pub tasks_per_tenant_max: NonZeroU32,
    /// Batches this process runs at once; the others wait in the log.
    pub batches_concurrent_max: NonZeroU32,
    /// Of these, batches of one tenant.
    pub batches_per_tenant_max: NonZeroU32,
    /// Model calls of batches that this process makes at once, over all of them: they leave room for calls that somebody
    /// waits for.
    pub batch_calls_max: NonZeroU32,
    /// The most lines of one batch.
    pub batch_lines_max: NonZeroU32,
    /// The most bytes of the answers of one batch, less than a file may have.
    pub batch_output_bytes_max: usize,
    /// Silence after which a task or batch passes to another worker, e.g. `30s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub claim_timeout: Duration,
    /// The longest that one step, or one line of a batch, may take, waits for a gateway that is away included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub step_time_max: Duration,
    /// How long the key of a task or batch works, unless it is revoked before; one that takes longer gets another.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub key_lifetime: Duration,
    /// How long a stopping process goes on with the steps it is in.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub drain_time_max: Duration,
    /// How long the erasure of a tenant waits after it was asked for, and can be cancelled.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub erasure_wait: Duration,
    /// The signing of trees: a section of its own in steward.toml.
    #[serde(skip)]
    pub transparency: Transparency,
}

/// Signed checkpoints of every tenant's history: when one is signed, and who hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transparency {
    /// What this installation is called in checkpoints, best a domain of yours, e.g. `steward.example.com`; after its key
    /// if not set. Who verifies knows the installation by this name, so the name does not change.
    pub name: Option<String>,
    /// A history that has grown is signed at most so often, unless somebody asks.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub checkpoint_every: Duration,
    /// Outside places that are handed every checkpoint: folders, and addresses to POST to.
    pub witnesses: Vec<String>,
}

impl Default for Transparency {
    fn default() -> Self {
        Self { name: None, checkpoint_every: Duration::from_secs(60), witnesses: Vec::new() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway_url: None,
            tasks_concurrent_max: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            tasks_per_tenant_max: NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN),
            batches_concurrent_max: NonZeroU32::new(8).unwrap_or(NonZeroU32::MIN),
            batches_per_tenant_max: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
            batch_calls_max: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            batch_lines_max: NonZeroU32::new(50_000).unwrap_or(NonZeroU32::MIN),
            batch_output_bytes_max: 48 * 1024 * 1024,
            claim_timeout: Duration::from_secs(30),
            step_time_max: Duration::from_mins(5),
            key_lifetime: Duration::from_hours(1),
            drain_time_max: Duration::from_secs(15),
            erasure_wait: Duration::from_hours(24),
            transparency: Transparency::default(),
        }
    }
}
