//! One grant with what its role permits, and what of a request it covers.

use std::sync::Arc;

use steward_events::event::GrantId;
use steward_events::id::PrincipalId;
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::conditions::{self, Facts};
use steward_aggregates::access::Terms;
use steward_aggregates::access::role::Closure;

/// What a role permits; shared by all who hold it.
pub type RolePermissions = Arc<Closure>;

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) member: PrincipalId,
    /// What the group is called.
    pub(super) group: String,
}

/// One grant with what its role permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldRights {
    pub(super) grant: GrantId,
    /// In which group somebody holds it, if it is a group's.
    pub(super) through: Option<Arc<Membership>>,
    pub(super) terms: Terms,
    pub(super) permissions: RolePermissions,
}

impl HeldRights {
    /// `svc_1 is admin on acme`; `svc_1 is in the group support: g_1 is admin on acme`.
    pub(super) fn in_short(&self) -> String {
        match self.through.as_deref() {
            None => self.grant.to_string(),
            Some(Membership { member, group }) => format!("{member} is in the group {group}: {}", self.grant),
        }
    }

    /// The pattern that permits this here, terms aside.
    pub(super) fn covers(&self, permission: &Permission, scope: &Scope) -> Option<&PermissionPattern> {
        let here = self.grant.on.contains(scope);
        here.then(|| self.permissions.covering(permission))?
    }

    /// What a call may cost at most under this grant, if it holds for what the request is about.
    pub(super) fn cost_max_if_it_holds(&self, facts: &Facts<'_>) -> Option<NanoDollars> {
        let no_bound = NanoDollars(u64::MAX);
        let lasts = !self.terms.is_over(facts.now);
        let Some(condition) = &self.terms.condition else { return lasts.then_some(no_bound) };
        let holds = lasts && conditions::hold_beside_cost(condition, facts);
        holds.then_some(condition.cost_max.unwrap_or(no_bound))
    }

    /// True if everything that `pattern` says is permitted at `scope`, until at least `until` (none: for good).
    pub(super) fn includes(&self, pattern: &PermissionPattern, scope: &Scope, until: Option<Timestamp>) -> bool {
        let lasts = match (self.terms.ends(), until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(expires), Some(until)) => expires >= until,
        };
        lasts
            && self.terms.condition.is_none()
            && self.grant.on.contains(scope)
            && self.permissions.patterns().any(|own| pattern.is_part_of(own))
    }

    /// Why its terms do not hold, if they do not. The policies decide; this only says it.
    pub(super) fn terms_fail(&self, facts: &Facts<'_>) -> Option<String> {
        if self.terms.is_over(facts.now) {
            let unreviewed = self.terms.review_due.is_some_and(|due| due <= facts.now);
            let why = if unreviewed { ", for no review confirmed it" } else { "" };
            return self.terms.ends().map(|end| format!("ended at {end}{why}"));
        }
        conditions::unmet(self.terms.condition.as_ref()?, facts)
    }
}
