//! What streams and accounts are called on NATS.

use steward_events::quantity::Shard;

/// The stream of timers and of what has come due.
pub const TIMERS_STREAM: &str = "TIMERS";

/// The stream of wrapped data keys.
pub const KEYS_STREAM: &str = "KEYS";

/// The stream of contents beside the log.
pub const CONTENTS_STREAM: &str = "CONTENTS";

/// The JetStream stream of a shard.
pub fn log_stream(shard: Shard) -> String {
    format!("EVT_{:02}", shard.0)
}

/// The account in which all of Steward lives.
pub(crate) const ACCOUNT: &str = "STEWARD";
