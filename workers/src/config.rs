//! What a worker process needs to be told.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// Every key has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the gateway answers, without `/v1`.
    pub gateway_url: String,
    /// Tasks this process drives at once; the others wait in the log.
    pub tasks_concurrent_max: NonZeroU32,
    /// Of these, tasks of one tenant.
    pub tasks_per_tenant_max: NonZeroU32,
    /// Silence after which a task passes to another worker, e.g. `30s`.
    #[serde(with = "humantime_serde")]
    pub claim_timeout: Duration,
    /// The longest that one step may take, waits for a gateway that is away included.
    #[serde(with = "humantime_serde")]
    pub step_time_max: Duration,
    /// How long a task's key works, unless it is revoked before; a longer task gets another.
    #[serde(with = "humantime_serde")]
    pub key_lifetime: Duration,
    /// How long a stopping process goes on with the steps it is in.
    #[serde(with = "humantime_serde")]
    pub drain_time_max: Duration,
    /// The signing of trees.
    pub transparency: Transparency,
}

/// When trees are signed, and who hears of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transparency {
    /// A tree that has grown is signed at most so often, unless somebody asks.
    #[serde(with = "humantime_serde")]
    pub checkpoint_every: Duration,
    /// Outside places that get every checkpoint: folders, and addresses to POST to.
    pub witnesses: Vec<String>,
}

impl Default for Transparency {
    fn default() -> Self {
        Self { checkpoint_every: Duration::from_secs(60), witnesses: Vec::new() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway_url: "http://127.0.0.1:8080".to_owned(),
            tasks_concurrent_max: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
            tasks_per_tenant_max: NonZeroU32::new(4).unwrap_or(NonZeroU32::MIN),
            claim_timeout: Duration::from_secs(30),
            step_time_max: Duration::from_mins(5),
            key_lifetime: Duration::from_hours(1),
            drain_time_max: Duration::from_secs(15),
            transparency: Transparency::default(),
        }
    }
}
