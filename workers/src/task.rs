//! Durable tasks: which are open, who drives them, and how one is driven to its end.

use std::sync::atomic::{AtomicU64, Ordering};

use steward_aggregates::authority::Authority;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::step::model::Models;
use crate::{Config, WorkerPorts};

mod claim;
mod drive;
mod ending;
mod fairness;
mod history;
mod key;
pub(crate) mod open_tasks;
pub(crate) mod worker;

use open_tasks::OpenTasks;

/// What all tasks of a worker share.
pub(crate) struct Shared {
    pub(crate) ports: WorkerPorts,
    pub(crate) config: Config,
    pub(crate) dispatch: Dispatch,
    pub(crate) models: Models,
    pub(crate) live: Live<OpenTasks>,
    /// Whose keys work: a task ends with the one by which it was submitted.
    pub(crate) authority: Live<Authority>,
    /// This worker, by its run.
    pub(crate) worker: String,
    /// How many claims it has asked for.
    pub(crate) claims: AtomicU64,
}

impl Shared {
    /// A name for one claim: if this process asks for the same task again, the two cannot be taken for each other.
    fn claimant(&self) -> String {
        format!("{}.{}", self.worker, self.claims.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// How a worker came to leave a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing is left to do: done, failed or cancelled.
    Closed,
    /// It was somebody else's, or cannot be had now.
    NotHad,
    /// Given up, for the next worker.
    Released,
    /// The claim has passed on; nothing was written since.
    Lost,
}

/// Told from outside to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Begin no further step.
    pub(crate) drain: CancellationToken,
    /// Break the step off.
    pub(crate) now: CancellationToken,
}
