//! Process managers: each follows the log and sends commands. One line each in [`all`].
//!
//! A process manager keeps nothing of its own that the log does not tell: it may be killed anywhere and begins again.
//! Several may run at once, so each command it sends must decide nothing when it comes twice.

use std::future::Future;
use std::pin::Pin;

use steward_ports::live::NotFresh;
use steward_ports::log::LogError;
use tokio_util::sync::CancellationToken;

use crate::{Config, WorkerPorts};

pub mod checkpoint_signing;
pub mod lease_expiry;
pub mod task_ends;
pub mod tenant_placing;

/// Why a process manager stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be followed, or holds what this build cannot read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its view of the log has stopped.
    #[error(transparent)]
    View(#[from] NotFresh),
}

/// A process manager at work: ends well only when told to stop.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// All of them, by name.
pub fn all(ports: &WorkerPorts, config: &Config, shutdown: &CancellationToken) -> Vec<(&'static str, Running)> {
    let transparency = config.transparency.clone();
    vec![
        ("lease_expiry", Box::pin(lease_expiry::run(ports.clone(), shutdown.clone()))),
        ("tenant_placing", Box::pin(tenant_placing::run(ports.clone(), shutdown.clone()))),
        ("task_ends", Box::pin(task_ends::run(ports.clone(), shutdown.clone()))),
        ("checkpoint_signing", Box::pin(checkpoint_signing::run(ports.clone(), transparency, shutdown.clone()))),
    ]
}
