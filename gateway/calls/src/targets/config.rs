//! When a target is left alone, and for how long; when it is asked again by the same call.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::setting::Span;

/// The settings of what is done about targets that fail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetsConfig {
    /// Failures in a row after which a target is left alone for a while, as long as the route has another one.
    pub failures_max: NonZeroU32,
    /// For how long at first; each time that it fails again after that, twice as long. Half of it is by lot.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub pause: Duration,
    /// For how long at most.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub pause_max: Duration,
    /// For how long at most where the provider itself says when to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub rest_max: Duration,
    /// How long a call waits at most, by lot, before it asks a target again that failed without billing it; twice as long
    /// before each further time. All other targets of its route are asked before.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub retry_pause: Duration,
    /// How long such a wait may be at most. A provider that wants to be left alone for longer is not asked again by the same
    /// call.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub retry_wait_max: Duration,
    /// How long a call waits at most where all targets of its route have taken what their providers take a minute (`rpm`,
    /// `tpm`); then it is told when to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub minute_wait_max: Duration,
}

impl Default for TargetsConfig {
    fn default() -> Self {
        Self {
            failures_max: NonZeroU32::MIN.saturating_add(4),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            rest_max: Duration::from_mins(5),
            retry_pause: Duration::from_millis(200),
            retry_wait_max: Duration::from_secs(2),
            minute_wait_max: Duration::from_secs(5),
        }
    }
}

impl TargetsConfig {
    /// For how long a target is left alone that was so `openings` times before: half of it for certain, so that it has some
    /// rest, half by lot, so that not all gateways come back at once.
    pub(super) fn pause_after(&self, openings: u32, lot: u64) -> Duration {
        let pause = doubled(self.pause, openings).min(self.pause_max);
        pause / 2 + share(pause / 2, lot)
    }

    /// How long a call waits before its round `round` (from 0) over targets that failed: anything from nothing on, by lot.
    pub(crate) fn retry_after(&self, round: u32, lot: u64) -> Duration {
        share(doubled(self.retry_pause, round).min(self.retry_wait_max), lot)
    }
}

fn doubled(span: Duration, times: u32) -> Duration {
    span.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
}

/// A part of `whole` by lot.
fn share(whole: Duration, lot: u64) -> Duration {
    // Of 1024 parts, which is fine enough.
    whole / 1_024 * u32::try_from(lot % 1_025).unwrap_or(0)
}
