//! Planned → authorised: the caller may call this model at that cost.

use std::sync::Arc;
use std::time::Duration;

use steward_events::id::CorrelationId;
use steward_events::rejection::Rejection;

use super::accepted::Accepted;
use super::planned::{Plan, Planned};
use crate::access::{Access, AuthenticatedKey};
use crate::claims::Claim;
use crate::dialect::{Dialect, ModelRequest};
use crate::error::Error;
use crate::limits::{BodyMemory, CallPermit};
use crate::metrics::{Metrics, Running};

/// A call that may be made, until it is over.
pub(super) struct Authorised {
    pub(super) key: AuthenticatedKey,
    /// The request's id, and when it came by the monotonic clock.
    pub(super) id: CorrelationId,
    pub(super) began: Duration,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) request: ModelRequest,
    pub(super) plan: Plan,
    /// The right to make it, if it may come again.
    pub(super) claim: Option<Arc<Claim>>,
    _takes: Takes,
}

/// What a call takes of this process while it runs.
struct Takes {
    _permit: CallPermit,
    _memory: BodyMemory,
    _running: Running,
}

/// Authorises `planned`. A no rests on all that was recorded, so that a right that was just given counts; and who may not
/// call a model is told so, also if it has no route or price.
pub(super) async fn authorise(access: &Access, metrics: &Metrics, planned: Planned) -> Result<Authorised, Error> {
    let worst = planned.worst_cost();
    let Planned { accepted, dialect, request, plan } = planned;
    // What is needed of the body is within `request`.
    let Accepted { key, permit, memory, request: id, began, .. } = accepted;
    if access.may_invoke(&key, &request.model, worst).is_err() {
        access.confirm_now(key.shard).await?;
        access.may_invoke(&key, &request.model, worst)?;
    }
    let takes = Takes { _permit: permit, _memory: memory, _running: metrics.run() };
    Ok(Authorised { key, id, began, dialect, request, plan: plan?, claim: None, _takes: takes })
}

impl Authorised {
    /// Whether the call may still be made, as far as this process has heard.
    pub(super) fn check(&self, access: &Access) -> Result<(), Rejection> {
        access.may_invoke(&self.key, &self.request.model, self.plan.estimate.worst().money)
    }

    /// The same as a request that outlives this borrow, on what is known to be fresh.
    pub(super) fn fresh_check(&self, access: &Arc<Access>) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (access, key) = (Arc::clone(access), self.key.clone());
        let (model, worst) = (self.request.model.clone(), self.plan.estimate.worst().money);
        async move {
            access.confirm(key.shard).await?;
            Ok(access.may_invoke(&key, &model, worst)?)
        }
    }
}
