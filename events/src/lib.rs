//! The words on the bus, and the ports.
//!
//! This crate knows what Steward says (commands, events, queries, rejections, quantities) and what it needs from the
//! world (the ports: [`log::EventLog`], [`bus::CommandBus`], [`timers::Timers`], [`keys::KeyVault`], [`store::Store`],
//! [`clock::Clock`], [`clock::Ids`]). It must not know who decides, who reads, or which software is behind a port.

mod aggregate;
pub mod append;
pub mod bus;
pub mod clock;
pub mod command;
pub mod commit;
pub mod event;
pub mod id;
pub mod keys;
pub mod live;
pub mod log;
pub mod permission;
pub mod placement;
pub mod quantity;
pub mod query;
pub mod rejection;
pub mod scope;
pub mod sealed;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
pub mod timers;
pub mod trace;
pub mod transparency;
pub mod view;
pub mod window;

/// A failure of something outside, kept for the log line that reports it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
