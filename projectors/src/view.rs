//! The views, one file each. A view knows no other view; [`crate::views`] lists them.

pub mod access;
pub mod audit;
pub mod batches;
pub mod budgets;
pub mod channels;
pub mod cost;
pub mod directory;
pub mod files;
pub mod history;
pub mod metrics;
pub mod secrets;
pub mod settings;
pub mod tasks;
pub mod tenancy;
