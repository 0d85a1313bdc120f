//! What operators and the tenant itself say of how many things it may have.

use std::collections::BTreeMap;

use steward_events::command::{RemoveQuota, SetQuota};
use steward_events::event::{BudgetLevel, PlanSpec, QuotaKind, Quotas, TenantEvent};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;

use super::Tenant;
use crate::aggregate::Stamp;

/// By quota and level.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnQuotas(BTreeMap<(QuotaKind, BudgetLevel), u64>);

impl Tenant {
    /// What this level says.
    pub fn own_quota(&self, quota: QuotaKind, level: BudgetLevel) -> Option<u64> {
        self.quotas.0.get(&(quota, level)).copied()
    }

    /// The quotas that bind it: what operators say of it, else what its plan says, and what it says itself where that is less.
    pub fn quotas(&self, plan: Option<&PlanSpec>) -> Quotas {
        let of_plan = plan.into_iter().flat_map(|plan| &plan.quotas);
        let of_plan = of_plan.filter(|of| self.own_quota(of.quota, BudgetLevel::Platform).is_none());
        let own = self.quotas.0.iter().map(|((quota, _), limit)| (*quota, *limit));
        own.chain(of_plan.map(|of| (of.quota, of.limit))).collect()
    }
}

impl OwnQuotas {
    pub(super) fn set(&self, set: &SetQuota, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        let SetQuota { quota, limit, level: named } = *set;
        let level = level(named, "quota:set", stamp)?;
        if self.0.get(&(quota, level)) == Some(&limit) {
            return Ok(vec![]);
        }
        Ok(vec![TenantEvent::QuotaSet { quota, level, limit }])
    }

    pub(super) fn remove(&self, remove: &RemoveQuota, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        let (quota, level) = (remove.quota, level(remove.level, "quota:remove", stamp)?);
        if self.0.contains_key(&(quota, level)) {
            return Ok(vec![TenantEvent::QuotaRemoved { quota, level }]);
        }
        Err(Rejection::not_found("quota", &format!("{quota} of the level {level}")))
    }

    pub(super) fn apply(&mut self, quota: QuotaKind, level: BudgetLevel, limit: Option<u64>) {
        match limit {
            Some(limit) => _ = self.0.insert((quota, level), limit),
            None => _ = self.0.remove(&(quota, level)),
        }
    }
}

/// The level that a command speaks of: the one that it names, else the sender's own.
fn level(named: Option<BudgetLevel>, permission: &str, stamp: &Stamp) -> Result<BudgetLevel, Rejection> {
    if stamp.tenant.is_steward() {
        return Err(Rejection::invalid("tenant", "steward has no quotas, because nobody could raise them"));
    }
    let own = BudgetLevel::of(&stamp.reach);
    match named.unwrap_or(own) {
        BudgetLevel::Project => {
            Err(Rejection::invalid("level", "quotas are of the whole tenant: say platform or tenant"))
        }
        BudgetLevel::Platform if own != BudgetLevel::Platform => Err(only_operators(permission, stamp)),
        level => Ok(level),
    }
}

/// What a tenant gets, it does not choose itself.
pub(super) fn only_operators(permission: &str, stamp: &Stamp) -> Rejection {
    let Ok(permission) = permission.parse() else { return Rejection::not_found("permission", &permission) };
    Rejection::Forbidden {
        principal: stamp.actor.clone(),
        permission,
        scope: Scope::everything(),
        reason: "what a tenant may have is set by operators only".to_owned(),
        would_allow: "ask an operator; a tenant can set quotas of its own level, which bind where they are lower"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::TenantCommand;
    use steward_events::event::PlanQuota;

    use super::*;
    use crate::aggregate::Aggregate;
    use crate::spec::{given, stamp};

    fn opened() -> TenantEvent {
        TenantEvent::Created { tenant: "acme".parse().unwrap(), timezone: "UTC".to_owned() }
    }

    fn was_set(level: BudgetLevel, limit: u64) -> TenantEvent {
        TenantEvent::QuotaSet { quota: QuotaKind::Keys, level, limit }
    }

    fn set(level: Option<BudgetLevel>, limit: u64) -> TenantCommand {
        SetQuota { quota: QuotaKind::Keys, limit, level }.into()
    }

    /// What an operator decides, or somebody of the tenant.
    fn decided(command: &TenantCommand, operator: bool) -> Result<Vec<TenantEvent>, Rejection> {
        let mut tenant = Tenant::default();
        tenant.apply(&opened(), stamp().at);
        let reach = if operator { Scope::everything() } else { "acme".parse().unwrap() };
        tenant.decide(command, &Stamp { reach, ..stamp() })
    }

    #[test]
    fn operators_and_the_tenant_each_have_their_level() {
        use BudgetLevel::{Platform, Project, Tenant};
        assert_eq!(decided(&set(None, 5), true), Ok(vec![was_set(Platform, 5)]));
        assert_eq!(decided(&set(None, 5), false), Ok(vec![was_set(Tenant, 5)]));
        assert_eq!(decided(&set(Some(Tenant), 5), true), Ok(vec![was_set(Tenant, 5)]));
        assert!(matches!(decided(&set(Some(Platform), 5), false), Err(Rejection::Forbidden { .. })));
        assert!(matches!(decided(&set(Some(Project), 5), true), Err(Rejection::Invalid { .. })));
    }

    #[test]
    fn a_tenant_does_not_put_itself_on_a_plan() {
        let plan = steward_events::command::SetPlan { plan: Some("large".parse().unwrap()) };
        assert!(matches!(decided(&plan.clone().into(), false), Err(Rejection::Forbidden { .. })));
        assert_eq!(decided(&plan.clone().into(), true), Ok(vec![TenantEvent::PlanSet { plan: plan.plan }]));
    }

    #[test]
    fn the_lower_quota_binds_and_operators_go_before_the_plan() {
        use BudgetLevel::{Platform, Tenant as Own};
        let plan = PlanSpec { quotas: vec![PlanQuota { quota: QuotaKind::Keys, limit: 10 }], ..PlanSpec::default() };
        let limit = |events: &[TenantEvent]| {
            let mut tenant = Tenant::default();
            for event in events {
                tenant.apply(event, stamp().at);
            }
            tenant.quotas(Some(&plan)).limit(QuotaKind::Keys)
        };
        assert_eq!(limit(&[]), Some(10));
        assert_eq!(limit(&[was_set(Own, 3)]), Some(3));
        assert_eq!(limit(&[was_set(Own, 30)]), Some(10), "a tenant does not raise it");
        assert_eq!(limit(&[was_set(Platform, 50)]), Some(50), "operators do");
        assert_eq!(limit(&[was_set(Platform, 50), was_set(Own, 20)]), Some(20));
    }

    #[test]
    fn only_a_quota_that_is_set_is_removed() {
        let remove = || RemoveQuota { quota: QuotaKind::Keys, level: None };
        let removed = TenantEvent::QuotaRemoved { quota: QuotaKind::Keys, level: BudgetLevel::Tenant };
        given::<Tenant>([opened(), was_set(BudgetLevel::Tenant, 5)]).when(remove()).then([removed]);
        let none = Rejection::not_found("quota", &"keys of the level tenant");
        given::<Tenant>([opened()]).when(remove()).then_rejected(&none);
    }
}
