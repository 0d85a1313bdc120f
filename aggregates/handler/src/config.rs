//! The handler's bounds.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// Bounds; the defaults suit every size that was measured.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerConfig {
    /// How old what is known of keys, grants and suspensions may be.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_age_max: Duration,
    /// How long to wait for the log to confirm that; then the command fails, to be sent again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub fresh_wait_max: Duration,
    /// How long a command waits for a tenant that was just created to be opened.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub opening_wait_max: Duration,
    /// The most commands that one commit carries.
    pub batch_max: NonZeroUsize,
    /// The most commands that wait for one stream.
    pub queue_max: NonZeroUsize,
    /// How long a command waits for room in that queue.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub queue_wait_max: Duration,
    /// The most streams that are kept folded in memory.
    pub streams_max: usize,
    /// The largest body of a command, in bytes.
    pub body_bytes_max: usize,
    /// The most commands of one tenant's people that this process decides in a second; two seconds' worth can be saved up.
    pub commands_per_second_max: NonZeroU32,
    /// The most bytes of such commands in a second.
    pub command_bytes_per_second_max: NonZeroUsize,
    /// How often a commit is decided again because others were first.
    pub decisions_max: NonZeroU32,
}

impl Default for HandlerConfig {
    fn default() -> Self {
        Self {
            fresh_age_max: Duration::from_millis(80),
            fresh_wait_max: Duration::from_secs(2),
            opening_wait_max: Duration::from_secs(3),
            batch_max: NonZeroUsize::MIN.saturating_add(255),
            queue_max: NonZeroUsize::MIN.saturating_add(4_095),
            queue_wait_max: Duration::from_secs(5),
            streams_max: 10_000,
            body_bytes_max: 128 * 1024,
            commands_per_second_max: NonZeroU32::MIN.saturating_add(19_999),
            command_bytes_per_second_max: NonZeroUsize::MIN.saturating_add(16 * 1024 * 1024 - 1),
            decisions_max: NonZeroU32::MIN.saturating_add(99),
        }
    }
}
