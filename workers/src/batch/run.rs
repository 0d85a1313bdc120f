//! One batch that this worker runs: its key, and what is recorded under its claim.

use std::sync::Arc;

use steward_events::command::Command;
use steward_events::event::BatchProblem;
use steward_events::quantity::Epoch;
use steward_events::rejection::Rejection;

use super::Batches;
use super::key::BatchKeys;
use super::open_batches::{BatchRef, OpenBatch};
use super::progress::Progress;
use crate::dispatch::{Cause, DispatchError};

/// The longest reason that is recorded, in characters: at most 1,000 bytes are allowed.
const REASON_CHARS_MAX: usize = 250;

/// Why a batch is left before it is over.
pub(super) enum Broken {
    /// Leave it for later, or for others.
    Release(String),
    /// The claim does not count any more, or nobody can say.
    Lose(String),
    /// It cannot be done; this is recorded.
    Fail(Vec<BatchProblem>),
}

/// One batch that this worker runs.
pub(super) struct Run<'a> {
    pub(super) batches: &'a Batches,
    pub(super) batch: &'a BatchRef,
    pub(super) open: &'a OpenBatch,
    pub(super) progress: &'a Progress,
    pub(super) epoch: Epoch,
    pub(super) keys: BatchKeys,
    pub(super) cause: &'a Cause,
}

impl Run<'_> {
    /// The secret of the batch's key.
    pub(super) async fn secret(&self) -> Result<Arc<str>, Broken> {
        let made = self.keys.secret(self.batches, (self.batch, self.open), self.cause).await;
        made.map_err(|error| match error {
            DispatchError::Rejected(Rejection::Suspended { reason, .. }) => Broken::Release(reason),
            DispatchError::Rejected(why) => Broken::Fail(vec![problem("no_key", &why.to_string())]),
            DispatchError::Unanswered { .. } | DispatchError::Unwritable(_) => Broken::Release(error.to_string()),
        })
    }

    /// Records something in the batch's stream, under the claim.
    pub(super) async fn record(&self, command: impl Into<Command>) -> Result<(), Broken> {
        match self.batches.dispatch.send(&self.batch.tenant, command, self.cause).await {
            Ok(_) => Ok(()),
            Err(DispatchError::Rejected(Rejection::Suspended { reason, .. })) => Err(Broken::Release(reason)),
            // Passed on, or over: this worker has no more to say about the batch.
            Err(error) => Err(Broken::Lose(error.to_string())),
        }
    }
}

/// One problem of the whole batch.
pub(super) fn problem(code: &str, why: &str) -> BatchProblem {
    let message = why.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    BatchProblem { code: code.to_owned(), message, line: None }
}
