//! The words on the bus: commands, events, rejections, quantities, and the tables that list them. Queries have a crate of their
//! own.
//!
//! This crate knows what Steward says. It must not know who decides, who reads, what carries the words (the ports), nor
//! which software is behind a port; it has no async code, no clock and no input or output.

mod aggregate;
pub mod command;
pub mod commit;
pub mod digest;
pub mod event;
pub mod free_text;
pub mod id;
pub mod ids;
pub mod permission;
pub mod provider_key;
pub mod public_address;
pub mod quantity;
pub mod rejection;
pub mod request;
pub mod scope;
pub mod sealed;
pub mod secret;
pub mod sender;
pub mod setting;
pub mod shard;
pub mod shared;
pub mod stream;
pub mod text;
pub mod timestamp;
pub mod view;
pub mod window;

/// A failure of something outside, kept for the log line that reports it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
