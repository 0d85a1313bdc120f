//! The ports on NATS JetStream.
//!
//! This crate knows how Steward's log, bus, timers, keys and contents lie on NATS: streams, subjects, headers, consumers, and who
//! may do what there. It must not know what a command or an event means. Nothing else names async-nats.

mod answer;
mod api;
pub mod baseline;
pub mod bus;
mod config;
pub mod connection;
pub mod contents;
mod durability;
mod envelope;
pub mod log;
pub mod login;
pub mod names;
pub mod provision;
pub mod role;
pub mod serve;
pub mod server;
pub mod timers;
pub mod vault;

pub use bus::JetStreamBus;
pub use config::Config;
pub use connection::{ConnectError, Connection, Credentials};
pub use contents::JetStreamContents;
pub use durability::Durability;
pub use log::JetStreamLog;
pub use role::Role;
pub use timers::JetStreamTimers;
pub use vault::JetStreamVault;

use std::time::Duration;

/// The longest that this crate waits for any one answer of the broker.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The largest message that the bus carries, headers included. A commit is at most half of it.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
