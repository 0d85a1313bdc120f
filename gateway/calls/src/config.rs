//! How model calls may be told to wait and when to give up. Every setting has a default that works.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

use crate::admission::AdmissionConfig;
use crate::targets::TargetsConfig;

/// The settings of model calls.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The age up to which knowledge of keys and grants counts as fresh.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_age_max: Duration,
    /// How long to wait for fresh knowledge before refusing.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_wait_max: Duration,
    /// How calls wait for budget, and how many.
    pub admission: AdmissionConfig,
    /// How much longer a call that is to be admitted waits for the log to record that; then it is told to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub record_wait_max: Duration,
    /// Attempts of one request, over all targets of its route.
    pub attempts_max: NonZeroU32,
    /// When targets that fail are left alone, and when they are asked again.
    pub targets: TargetsConfig,
    /// How often a caller of a streamed answer is sent a comment while its model says nothing, so that neither it nor a proxy
    /// on the way takes the connection for dead.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub keep_alive_every: Duration,
    /// How long an answer is read on after its caller has gone, to hear what it came to; then all of its output that was
    /// reserved is posted.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub abandoned_time_max: Duration,
    /// How long a client may leave a piece of its answer unread before it counts as gone.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub client_stall_max: Duration,
    /// How long the answer to a call with an `Idempotency-Key` is kept for who sends the same again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub idempotency_kept_for: Duration,
    /// How long a call waits for another that is being made under the same key.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub idempotency_wait_max: Duration,
    /// How long a response is kept that was made with `store: true` or `background: true`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub responses_kept_for: Duration,
    /// The most bytes that one tenant keeps beside the log: responses, answers to calls with an `Idempotency-Key`, answers that
    /// gateways have in common. Files have a bound of their own.
    pub kept_per_tenant_bytes_max: u64,
    /// Memory for answers that are kept for calls that ask the same, in bytes, where a model's policy says so; one answer
    /// takes a sixteenth at most.
    pub cache_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fresh_age_max: Duration::from_millis(80),
            fresh_wait_max: Duration::from_secs(2),
            admission: AdmissionConfig::default(),
            record_wait_max: Duration::from_secs(15),
            attempts_max: NonZeroU32::MIN.saturating_add(3),
            targets: TargetsConfig::default(),
            keep_alive_every: Duration::from_secs(2),
            abandoned_time_max: Duration::from_secs(10),
            client_stall_max: Duration::from_mins(1),
            idempotency_kept_for: Duration::from_hours(24),
            idempotency_wait_max: Duration::from_mins(10),
            responses_kept_for: Duration::from_hours(30 * 24),
            kept_per_tenant_bytes_max: 1024 * 1024 * 1024,
            cache_bytes_max: 64 * 1024 * 1024,
        }
    }
}
