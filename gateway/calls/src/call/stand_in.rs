//! Where a tenant's route says so, another model stands in for the one that was asked: when little is left of a budget, or when
//! all targets fail. One step, never two, and only a model that the caller may call too.

use steward_events::event::RouteTerms;
use steward_events::id::ModelId;

use super::planned::{Plan, Planned, Planner, StandsIn};
use super::scopes::scopes;
use crate::dialect::ModelRequest;

impl Planner {
    /// `planned` as it is, or as a call of the model that stands in now. Where that one cannot be called, the one that was
    /// asked is.
    pub(super) async fn or_stand_in(&self, planned: Planned) -> Planned {
        match self.stand_in(&planned) {
            Some(by) => Box::pin(self.stood_in(planned, by)).await,
            None => planned,
        }
    }

    async fn stood_in(&self, planned: Planned, (to, why): (ModelId, &'static str)) -> Planned {
        let asked = planned.request.model.clone();
        let request = ModelRequest { model: to, ..planned.request.clone() };
        let Ok(plan) = self.find(&planned.accepted, &request, planned.dialect).await else { return planned };
        if self
            .access
            .may_invoke(
                &planned.accepted.key,
                &request.model,
                plan.estimate.worst().money,
                planned.accepted.data_class.as_ref(),
            )
            .is_err()
        {
            return planned;
        }
        Planned { request, plan: Ok(plan), stands_in: Some(StandsIn { asked, why }), ..planned }
    }

    fn stand_in(&self, planned: &Planned) -> Option<(ModelId, &'static str)> {
        let Planned { accepted, request, dialect, .. } = planned;
        let plan = planned.plan.as_ref().ok()?;
        let holder = &accepted.key.holder;
        let RouteTerms { degrade_to, degrade_below, degrade_down, .. } = &plan.terms;
        // What the platform says of its models is not the tenant's leave.
        let is_own = holder.tenant.is_steward() || plan.targets.iter().all(|target| !target.trusted);
        let to = degrade_to.clone().filter(|_| is_own && dialect.builds_on(request).is_none())?;
        if *degrade_down && is_down(plan) {
            return Some((to, "down"));
        }
        let below = (*degrade_below)?;
        let left = self.admission.left_percent(&holder.tenant, &scopes(holder, &request.model))?;
        (left < below.get()).then_some((to, "budget"))
    }
}

/// True if every target that is for the call is to be left alone now.
fn is_down(plan: &Plan) -> bool {
    plan.course.order.iter().all(|number| plan.targets[*number].health.standing().closed_for.is_some())
}
