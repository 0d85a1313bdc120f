//! Read models: folds of the log that are kept in a store, and the queries that they and the log answer.
//!
//! This crate knows what people ask. It must not know who decides, which software stores its rows, or how queries
//! travel: they come through [`steward_ports::bus::QueryService`]. Nothing here has an effect outside its own rows, so
//! a replay is silent; whatever is lost, the log rebuilds.

pub mod chains;
pub mod engine;
pub mod export;
pub mod projectors;
pub mod query;
pub mod view;
pub mod views;

pub use engine::ProjectorPorts;
pub use engine::config::Config;
pub use projectors::{Projectors, Status};
