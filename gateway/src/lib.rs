//! The edge: what callers reach. OpenAI's API for models, Steward's own for everything else, and the bus login.
//!
//! This crate knows HTTP, providers and prices, and reads keys, grants and catalogs from the log as live views. It must
//! not decide: orders go over the bus to the aggregates, and the only thing that it writes to the log is its own
//! journal of usage (through [`admission`]).

pub mod admission;
pub mod api;
mod auth;
mod bus_login;
mod call;
mod config;
mod error;
mod gateway;
mod limits;
mod metrics;
mod openai;
mod provider;
mod revocation;
mod server;
mod trace;

pub use config::{Config, Secrets, Upstream};
pub use gateway::{Gateway, GatewayPorts, Readiness, Room};
pub use metrics::{Metrics, Page};
