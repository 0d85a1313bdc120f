//! Which plan a tenant is on, and what plans there are.

use std::collections::BTreeSet;

use steward_events::command::{DefinePlan, SetPlan};
use steward_events::event::{PlanSpec, TenantEvent};
use steward_events::id::PlanId;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;

use super::quotas::only_operators;
use super::{FLAGS_MAX, Tenant};
use crate::aggregate::Stamp;
use crate::limit;

/// The most plans.
pub const PLANS_MAX: usize = 200;

/// The most budgets of one plan.
const BUDGETS_MAX: usize = 16;

/// One plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) revision: u32,
    pub(super) spec: PlanSpec,
}

impl Tenant {
    /// All plans, each with its revision; only the tenant `steward` knows any.
    pub fn plans(&self) -> impl Iterator<Item = (&PlanId, u32, &PlanSpec)> {
        self.plans.iter().map(|(id, plan)| (id, plan.revision, &plan.spec))
    }

    /// That there is such a plan is known by the authority, which reads what the tenant `steward` records.
    pub(super) fn set_plan(&self, set: &SetPlan, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        if stamp.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "steward is on no plan"));
        }
        if stamp.reach != Scope::everything() {
            return Err(only_operators("tenant:set-plan", stamp));
        }
        if self.plan == set.plan {
            return Ok(vec![]);
        }
        Ok(vec![TenantEvent::PlanSet { plan: set.plan.clone() }])
    }

    pub(super) fn define_plan(&self, define: &DefinePlan, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        if !stamp.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "plans are defined in the tenant steward"));
        }
        let (plan, spec) = (define.plan.clone(), define.spec());
        check(&spec)?;
        let known = self.plans.get(&plan);
        if known.is_some_and(|known| known.spec == spec) {
            return Ok(vec![]);
        }
        limit::count("plans", self.plans.len() + usize::from(known.is_none()), PLANS_MAX)?;
        let revision = known.map_or(0, |known| known.revision).saturating_add(1);
        Ok(vec![TenantEvent::PlanDefined { plan, revision, spec }])
    }
}

/// Each thing is said once.
fn check(spec: &PlanSpec) -> Result<(), Rejection> {
    limit::count("flags", spec.flags.len(), FLAGS_MAX)?;
    limit::count("budgets", spec.budgets.len(), BUDGETS_MAX)?;
    let quotas: BTreeSet<_> = spec.quotas.iter().map(|of| of.quota).collect();
    let flags: BTreeSet<_> = spec.flags.iter().map(|of| &of.flag).collect();
    let budgets: BTreeSet<_> = spec.budgets.iter().map(|of| (of.limit.unit, of.per)).collect();
    let twice = |field| Err(Rejection::invalid(field, "says the same thing twice"));
    if quotas.len() < spec.quotas.len() {
        return twice("quotas");
    }
    if flags.len() < spec.flags.len() {
        return twice("flags");
    }
    if budgets.len() < spec.budgets.len() {
        return Err(Rejection::invalid(
            "budgets",
            "has two of one unit and window; the lower would bind: name that one",
        ));
    }
    Ok(())
}
