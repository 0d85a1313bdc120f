//! A worker's hold on a task: taken, kept by a heartbeat, given up.
//!
//! Whether a claim counts is decided by the task's stream. What is here only makes a worker stop early; a write under a
//! claim that has passed on is refused anyway.

use std::sync::Arc;
use std::time::Duration;

use steward_events::command::{ClaimTask, ExtendClaim};
use steward_events::quantity::{Epoch, Position};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;

use crate::dispatch::{Cause, Dispatch, DispatchError};
use crate::task::open_tasks::TaskRef;

/// The hold, once its epoch is known.
pub(crate) struct Claim<'a> {
    dispatch: &'a Dispatch,
    clock: &'a Arc<dyn Clock>,
    task: &'a TaskRef,
    cause: &'a Cause,
    timeout: Duration,
    pub(crate) epoch: Epoch,
    /// When the request that made or extended the claim was sent, by this process's clock.
    held_since: Duration,
}

/// Asks for the task; the position at which its stream says who holds it.
pub(crate) async fn request(
    dispatch: &Dispatch,
    clock: &Arc<dyn Clock>,
    task: &TaskRef,
    cause: &Cause,
    worker: &str,
    timeout: Duration,
) -> Result<Position, DispatchError> {
    let until = clock.now().plus(timeout);
    let claim = ClaimTask { task: task.task.clone(), worker: worker.to_owned(), until };
    Ok(dispatch.send(&task.tenant, claim, cause).await?.position)
}

impl<'a> Claim<'a> {
    pub(crate) fn held(
        dispatch: &'a Dispatch,
        clock: &'a Arc<dyn Clock>,
        task: &'a TaskRef,
        cause: &'a Cause,
        timeout: Duration,
        epoch: Epoch,
        held_since: Duration,
    ) -> Self {
        Self { dispatch, clock, task, cause, timeout, epoch, held_since }
    }

    /// Extends the claim again and again; returns only when it is lost.
    pub(crate) async fn keep(&self) {
        let mut held_since = self.held_since;
        loop {
            tokio::time::sleep(self.timeout / 3).await;
            let asked = self.clock.monotonic();
            let left = (held_since + self.timeout).saturating_sub(asked);
            match tokio::time::timeout(left, self.extend(self.clock.now().plus(self.timeout))).await {
                // Nobody claims a task of a suspended tenant, and the result of a call that runs may still be recorded.
                Ok(Ok(()) | Err(DispatchError::Rejected(Rejection::Suspended { .. }))) => held_since = asked,
                Ok(Err(error)) => {
                    tracing::warn!(epoch = self.epoch.0, error = %error, "the claim is lost");
                    return;
                }
                Err(_) => {
                    tracing::warn!(epoch = self.epoch.0, "the claim has lapsed: it could not be extended in time");
                    return;
                }
            }
        }
    }

    /// Lets the next worker go on at once. If that cannot be said, the claim lapses by itself.
    pub(crate) async fn release(&self) {
        let said = tokio::time::timeout(self.timeout, self.extend(Timestamp::default())).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::warn!(epoch = self.epoch.0, "the claim could not be given up; it will lapse");
        }
    }

    /// A moment in the past ends the claim now.
    async fn extend(&self, until: Timestamp) -> Result<(), DispatchError> {
        let extend = ExtendClaim { task: self.task.task.clone(), epoch: self.epoch, until };
        self.dispatch.send(&self.task.tenant, extend, self.cause).await.map(|_| ())
    }
}
