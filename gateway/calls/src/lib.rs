//! One model call and its money: from a request that was accepted to the recorded end, whatever API it came by.
//!
//! Reads keys, grants and catalogs from the log as live views, and writes one thing only: the journal of usage, through
//! [`admission`]. This crate must not know a face (no status of ours, no path), a transport (no HTTP server or client), nor
//! decide: commands go over the bus to the aggregates.

mod access;
pub mod admission;
mod alike;
mod cache;
mod call;
mod calls;
mod claims;
mod config;
mod contents;
mod error;
mod estimate;
mod limits;
mod meter;
mod metrics;
mod recourse;
mod responses;
mod revocation;
mod run_to_end;
mod secrets;
mod settled;
mod targets;
mod tenant_secrets;
mod tokenizer;
mod trace;
pub mod upstream;

pub use access::{Access, AuthenticatedKey};
pub use cache::CacheUse;
pub use call::{Accepted, CallSummary, KeptPieces, Pieces, Reply, ReplyBody};
pub use calls::{Calls, CallsPorts};
pub use claims::IdempotencyKey;
pub use config::Config;
pub use contents::files::{FILE_PART_BYTES, FileWriter, Files, TenantFiles, Written};
pub use error::Error;
pub use limits::{BodyMemory, CallPermit, LimitBounds, Limits, Taker};
pub use metrics::Metrics;
pub use responses::{OfResponse, PageOf, Responded, Responses};
pub use secrets::Secrets;
pub use settled::Settled;
pub use steward_dialects as dialect;
pub use targets::TargetsConfig;
