//! The composition root: where the parts of Steward meet.
//!
//! `config` is steward.toml, made of one section a crate; `compose` builds the parts of each role from the configuration
//! and keeps them running together; `client` speaks to the management API. This crate knows every part. It must not know
//! the command line, and no part depends on it.

pub mod client;
pub mod compose;
pub mod config;
pub mod files;
pub mod harden;
pub mod output;
