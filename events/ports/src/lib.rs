//! The ports: what Steward needs from the world, as traits, and what is true of every implementation.
//!
//! This crate knows the log ([`log::EventLog`]), the bus ([`bus::CommandBus`]), timers ([`timers::Timers`]), data keys
//! ([`keys::KeyVault`]), contents beside the log ([`contents::ContentStore`]), the store of views ([`store::Store`]), time and new ids ([`clock::Clock`]), and what is
//! made of them once for all: [`append`], [`dispatch`], [`journal`], and folds kept current in memory ([`live::Live`]).
//! It must not know which software is behind a port, nor who decides.

pub mod append;
pub mod bus;
pub mod clock;
pub mod contents;
pub mod dispatch;
pub mod journal;
pub mod keys;
pub mod live;
pub mod log;
pub mod notes;
pub mod per_minute;
pub mod placement;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timers;
pub mod trace;
