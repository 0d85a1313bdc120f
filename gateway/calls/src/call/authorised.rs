//! Planned → authorised: the caller may call this model at that cost.

use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::catalog::{CacheTerms, Course};
use steward_events::event::Purpose;
use steward_events::id::{CorrelationId, DataClass, ModelId};
use steward_events::rejection::Rejection;

use super::accepted::Accepted;
use super::planned::{Plan, Planned, Priced, ResolvedTarget};
use crate::access::{Access, AuthenticatedKey};
use crate::claims::Claim;
use crate::dialect::{Dialect, ModelRequest};
use crate::error::Error;
use crate::limits::{BodyMemory, CallPermit};
use crate::metrics::{Metrics, Running};

/// A call that may be made, until it is over. It is boxed: it goes from stage to stage, and each stage's future would hold it.
pub(super) struct Authorised {
    pub(super) key: AuthenticatedKey,
    /// The request's id, and when it came by the monotonic clock.
    pub(super) id: CorrelationId,
    pub(super) began: Duration,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) request: ModelRequest,
    /// The class of the data in it, if it names one.
    pub(super) data_class: Option<DataClass>,
    pub(super) plan: Plan,
    /// Why it is made.
    pub(super) purpose: Purpose,
    /// Why another model stands in for the one that was asked, if one does.
    pub(super) degraded: Option<&'static str>,
    /// The right to make it, if it may come again.
    pub(super) claim: Option<Arc<Claim>>,
    _takes: Option<Takes>,
}

/// What a call takes of this process while it runs.
struct Takes {
    _permit: Option<CallPermit>,
    _memory: Option<BodyMemory>,
    _running: Running,
}

/// Authorises `planned`. A no rests on all that was recorded, so that a right that was just given counts; and who may not
/// call a model is told so, also if it has no route or price.
pub(super) async fn authorise(access: &Access, metrics: &Metrics, planned: Planned) -> Result<Box<Authorised>, Error> {
    let worst = planned.worst_cost();
    let Planned { accepted, dialect, request, mut plan, stands_in } = planned;
    // What is needed of the body is within `request`.
    let Accepted { key, permit, memory, request: id, began, data_class, .. } = accepted;
    // Who may not call a model is not answered by one that stands in for it either.
    for model in stands_in.iter().map(|stands_in| &stands_in.asked).chain([&request.model]) {
        if access.will_invoke(&key, model, worst, data_class.as_ref()).is_err() {
            access.confirm_now(key.shard).await?;
            let worst = match &mut plan {
                Ok(plan) => {
                    Box::pin(plan.count_texts(&request)).await;
                    plan.estimate.worst().money
                }
                Err(_) => worst,
            };
            access.will_invoke(&key, model, worst, data_class.as_ref())?;
        }
    }
    let takes = Takes { _permit: permit, _memory: memory, _running: metrics.run() };
    let degraded = stands_in.as_ref().map(|stands_in| stands_in.why);
    let purpose = stands_in.map_or(Purpose::Asked, |stands_in| Purpose::StandIn { asked: stands_in.asked });
    Ok(Box::new(Authorised {
        key,
        id,
        began,
        dialect,
        request,
        data_class,
        plan: plan?,
        purpose,
        degraded,
        claim: None,
        _takes: Some(takes),
    }))
}

impl Authorised {
    /// The model that its caller asked.
    pub(super) const fn asked_model(&self) -> &ModelId {
        match &self.purpose {
            Purpose::StandIn { asked } => asked,
            Purpose::Asked | Purpose::Shadow => &self.request.model,
        }
    }

    /// A copy that is made at this target, for nobody. It takes nothing of what its caller may have at once.
    pub(super) fn shadow(&self, target: &ResolvedTarget) -> Option<Box<Self>> {
        let Priced { version, estimate } = target.priced.clone()?;
        let plan = Plan {
            targets: vec![target.clone()],
            course: Course { order: vec![0], ..Course::default() },
            estimate,
            // Its texts were counted with those of the call, if they were.
            tokenizer: None,
            prompt: self.plan.prompt,
            spared: self.plan.spared,
            price: version,
            cache: CacheTerms::default(),
            terms: self.plan.terms.clone(),
        };
        Some(Box::new(Self {
            key: self.key.clone(),
            id: self.id.clone(),
            began: self.began,
            dialect: self.dialect,
            request: self.request.clone(),
            data_class: self.data_class.clone(),
            plan,
            purpose: Purpose::Shadow,
            degraded: None,
            claim: None,
            _takes: None,
        }))
    }

    /// Whether the call may still be made, as far as this process has heard.
    pub(super) fn check(&self, access: &Access) -> Result<(), Rejection> {
        let worst = self.plan.estimate.worst().money;
        access.may_invoke(&self.key, &self.request.model, worst, self.data_class.as_ref())
    }

    /// The same as a request that outlives this borrow, on what is known to be fresh.
    pub(super) fn fresh_check(&self, access: &Arc<Access>) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (access, key) = (Arc::clone(access), self.key.clone());
        let (model, worst) = (self.request.model.clone(), self.plan.estimate.worst().money);
        let data_class = self.data_class.clone();
        async move {
            access.confirm(key.shard).await?;
            Ok(access.may_invoke(&key, &model, worst, data_class.as_ref())?)
        }
    }
}
