//! The handler's bounds.

use std::time::Duration;

use serde::Deserialize;

/// Bounds; the defaults suit every size that was measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerConfig {
    /// How old what is known of keys, grants and suspensions may be, in milliseconds.
    pub fresh_age_max_ms: u64,
    /// How long to wait for the log to confirm that, in milliseconds; then the command fails, to be sent again.
    pub fresh_wait_max_ms: u64,
    /// How long a command waits for a tenant that was just created to be opened, in milliseconds.
    pub opening_wait_max_ms: u64,
    /// The most commands that one commit carries.
    pub batch_max: usize,
    /// The most commands that wait for one stream.
    pub queue_max: usize,
    /// How long a command waits for room in that queue, in milliseconds.
    pub queue_wait_max_ms: u64,
    /// The most streams that are kept folded in memory.
    pub streams_max: usize,
    /// The largest body of a command, in bytes.
    pub body_bytes_max: usize,
    /// How often a commit is decided again because others were first.
    pub decisions_max: u32,
}

impl Default for HandlerConfig {
    fn default() -> Self {
        Self {
            fresh_age_max_ms: 80,
            fresh_wait_max_ms: 2_000,
            opening_wait_max_ms: 3_000,
            batch_max: 256,
            queue_max: 4_096,
            queue_wait_max_ms: 5_000,
            streams_max: 10_000,
            body_bytes_max: 128 * 1024,
            decisions_max: 100,
        }
    }
}

impl HandlerConfig {
    pub(crate) const fn fresh_age_max(&self) -> Duration {
        Duration::from_millis(self.fresh_age_max_ms)
    }

    pub(crate) const fn fresh_wait_max(&self) -> Duration {
        Duration::from_millis(self.fresh_wait_max_ms)
    }

    pub(crate) const fn opening_wait_max(&self) -> Duration {
        Duration::from_millis(self.opening_wait_max_ms)
    }

    pub(crate) const fn queue_wait_max(&self) -> Duration {
        Duration::from_millis(self.queue_wait_max_ms)
    }
}
