//! Pure decisions: each aggregate guards one rule over one stream.
//!
//! This crate knows what is allowed and what follows from a command. It must not know buses, stores, clocks or tokio:
//! time and ids come in, events or a rejection come out.

pub mod access;
pub mod agent;
pub mod aggregate;
pub mod batch;
pub mod catalog;
pub mod channel;
pub mod checkpoint;
pub mod claim;
pub mod deciders;
pub mod file;
pub mod first_start;
pub mod identity;
pub mod ledger;
pub mod limit;
#[doc(hidden)]
pub mod mutations;
pub mod quota;
pub mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod spec;
pub mod task;
pub mod tenant;
pub mod usage;
