//! One grant with what its role permits, and what of a request it covers.

use std::sync::Arc;

use steward_events::event::GrantId;
use steward_events::id::PrincipalId;
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::request::Context;
use crate::access::Terms;
use crate::access::role::Closure;

/// What a role permits; shared by all who hold it.
pub(super) type RolePermissions = Arc<Closure>;

/// Somebody in a group.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) member: PrincipalId,
    /// What the group is called.
    pub(super) group: String,
}

/// One grant with what its role permits.
#[derive(Clone, Debug)]
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
    pub(super) fn cost_max_if_it_holds(&self, context: &Context, now: Timestamp) -> Option<NanoDollars> {
        let no_bound = NanoDollars(u64::MAX);
        let Some(condition) = &self.terms.condition else { return (!self.terms.is_over(now)).then_some(no_bound) };
        let named =
            condition.models.is_empty() || context.model.as_ref().is_some_and(|it| condition.models.contains(it));
        (named && !self.terms.is_over(now)).then_some(condition.cost_max.unwrap_or(no_bound))
    }

    /// True if everything that `pattern` says is permitted at `scope`, until at least `until` (none: for good).
    pub(super) fn includes(&self, pattern: &PermissionPattern, scope: &Scope, until: Option<Timestamp>) -> bool {
        let lasts = match (self.terms.expires, until) {
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
    pub(super) fn terms_fail(&self, context: &Context, now: Timestamp) -> Option<String> {
        if self.terms.is_over(now) {
            return self.terms.expires.map(|expires| format!("ended at {expires}"));
        }
        let condition = self.terms.condition.as_ref()?;
        let named = |model| condition.models.contains(model);
        if !condition.models.is_empty() && !context.model.as_ref().is_some_and(named) {
            return Some(format!(
                "holds only for {}",
                condition.models.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
            ));
        }
        match condition.cost_max {
            Some(cost_max) if context.cost.is_none_or(|cost| cost > cost_max) => {
                Some(format!("holds only for calls that cost at most {cost_max}"))
            }
            _ => None,
        }
    }
}
