//! Load, authorise, decide, group commit, reply.
//!
//! This crate knows how a command becomes a commit: whose decision it is, whether the sender may, what to do about
//! rivals, retries and silence. It must not know what is decided (that is `aggregates`) or which bus and log it stands
//! on (those are ports).
//!
//! ```text
//! request ─ read ─ placed? ─ fresh? ─ may? ─ seal ─▶ queue of its stream ─ decide ─ append ─ reply
//! ```

pub mod bootstrap;
mod config;
mod group_commit;
mod idempotency;
mod lane;
mod pace;
mod places;
mod seal;
mod service;
mod skew;
mod stream;
mod streams;

pub use config::HandlerConfig;
pub use service::{Handler, HandlerPorts};
