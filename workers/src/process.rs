//! Process managers: each follows the log and sends commands. One entry each in [`ALL`].
//!
//! A process manager keeps nothing of its own that the log does not tell: it may be killed anywhere and begins again.
//! Several may run at once, so each command it sends must decide nothing when it comes twice.

use std::future::Future;
use std::pin::Pin;

use steward_events::event::AggregateKind;
use steward_ports::live::NotFresh;
use steward_ports::log::LogError;
use tokio_util::sync::CancellationToken;

use crate::{Config, WorkerPorts};

pub mod channel_delivery;
pub mod checkpoint_signing;
pub mod erasure;
pub mod lease_expiry;
pub mod plan_budgets;
pub mod quota_places;
pub mod task_ends;
pub mod tenant_placing;
pub mod trials;

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

/// One process manager.
pub struct ProcessManager {
    /// What it is called in logs and in readiness.
    pub name: &'static str,
    /// Which kinds it reads.
    pub reads: &'static [AggregateKind],
    /// Starts it.
    pub run: fn(&WorkerPorts, &Config, CancellationToken) -> Running,
}

/// All of them.
pub const ALL: &[ProcessManager] = &[
    ProcessManager {
        name: "lease_expiry",
        reads: lease_expiry::READS,
        run: |ports, _, shutdown| Box::pin(lease_expiry::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "tenant_placing",
        reads: tenant_placing::READS,
        run: |ports, _, shutdown| Box::pin(tenant_placing::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "task_ends",
        reads: task_ends::READS,
        run: |ports, _, shutdown| Box::pin(task_ends::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "plan_budgets",
        reads: plan_budgets::READS,
        run: |ports, _, shutdown| Box::pin(plan_budgets::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "quota_places",
        reads: quota_places::READS,
        run: |ports, _, shutdown| Box::pin(quota_places::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "checkpoint_signing",
        reads: checkpoint_signing::READS,
        run: |ports, config, shutdown| {
            Box::pin(checkpoint_signing::run(ports.clone(), config.transparency.clone(), shutdown))
        },
    },
    ProcessManager {
        name: "channel_delivery",
        reads: channel_delivery::READS,
        run: |ports, config, shutdown| {
            let config = (config.channels.clone(), config.mail.clone());
            Box::pin(channel_delivery::run(ports.clone(), config, shutdown))
        },
    },
    ProcessManager {
        name: "erasure",
        reads: erasure::READS,
        run: |ports, config, shutdown| Box::pin(erasure::run(ports.clone(), config.erasure_wait, shutdown)),
    },
    ProcessManager {
        name: "trials",
        reads: trials::READS,
        run: |ports, _, shutdown| Box::pin(trials::run(ports.clone(), shutdown)),
    },
];
