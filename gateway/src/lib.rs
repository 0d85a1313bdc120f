//! The edge: what callers reach over HTTP. OpenAI's API for models, Steward's own for everything else, and the bus login.
//!
//! This crate knows HTTP: the listener, the door that every request passes, and the faces, one file each. It must not
//! decide, and it holds no money: commands and queries go over the bus, model calls through `steward-calls`.

mod body;
mod bus_login;
mod capacity;
mod coding;
mod config;
mod data_class;
mod documents;
mod door;
mod error;
mod face;
mod gateway;
mod metrics;
mod observe;
mod origin;
mod probes;
mod router;
mod serve;
mod status;
mod tags;
mod trace;
mod write_stall;
mod wrong_keys;

pub use capacity::LogCapacity;
pub use config::Config;
pub use documents::{asyncapi, openapi};
pub use gateway::{Gateway, GatewayPorts};
pub use metrics::Metrics;
pub use probes::{Probe, ProbeAnswer, Probes, serve_probes};
pub use status::Readiness;
