//! Read models: folds of the log that are kept in a store, and the questions that are asked of them and of the log.
//!
//! This crate knows what people ask. It must not know who decides, which software stores its trees, or how questions
//! travel: they come through [`steward_ports::bus::QueryService`]. Nothing here has an effect outside its own trees,
//! so a replay is silent; whatever is lost, the log rebuilds.

pub mod access_history;
pub mod chains;
pub mod config;
pub mod cost_report;
pub mod export;
pub mod history;
pub mod metrics;
pub mod progress;
pub mod projector;
pub mod projectors;
pub mod query;
pub mod reading;
pub mod rows;
pub mod runner;
pub mod tasks;
pub mod transparency;
pub mod tree;
pub mod verify;

pub use config::Config;
pub use projectors::{ProjectorPorts, Projectors, Status};
