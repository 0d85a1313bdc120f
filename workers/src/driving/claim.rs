//! A worker's hold on what it drives: taken, kept by a heartbeat, given up.
//!
//! Whether a claim counts is decided by the stream of what is claimed. What is here only makes a worker stop early; a write under a
//! claim that has passed on is refused anyway.

use std::sync::Arc;
use std::time::Duration;

use steward_events::command::Command;
use steward_events::id::TenantId;
use steward_events::quantity::{Epoch, Position};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;

use crate::dispatch::{Cause, Dispatch, DispatchError};

/// What extends a claim until a moment.
pub(crate) type Extends<'a> = &'a (dyn Fn(Epoch, Timestamp) -> Command + Send + Sync);

/// The hold, once its epoch is known.
pub(crate) struct Claim<'a> {
    pub(crate) dispatch: &'a Dispatch,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) tenant: &'a TenantId,
    pub(crate) cause: &'a Cause,
    pub(crate) timeout: Duration,
    pub(crate) epoch: Epoch,
    /// When the request that made or extended the claim was sent, by this process's clock.
    pub(crate) held_since: Duration,
    pub(crate) extends: Extends<'a>,
}

/// Asks for a claim until a moment; the position at which the stream says who holds it.
pub(crate) async fn request(
    dispatch: &Dispatch,
    clock: &Arc<dyn Clock>,
    tenant: &TenantId,
    cause: &Cause,
    timeout: Duration,
    claim: impl FnOnce(Timestamp) -> Command,
) -> Result<Position, DispatchError> {
    let until = clock.now().plus(timeout);
    Ok(dispatch.send(tenant, claim(until), cause).await?.position)
}

impl Claim<'_> {
    /// Extends the claim again and again; returns only when it is lost.
    pub(crate) async fn keep(&self) {
        let mut held_since = self.held_since;
        loop {
            tokio::time::sleep(self.timeout / 3).await;
            let asked = self.clock.monotonic();
            let left = (held_since + self.timeout).saturating_sub(asked);
            match tokio::time::timeout(left, self.extend(self.clock.now().plus(self.timeout))).await {
                // Nobody claims anything of a suspended tenant, and the result of a call that runs may still be recorded.
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
        self.dispatch.send(self.tenant, (self.extends)(self.epoch, until), self.cause).await.map(|_| ())
    }
}
