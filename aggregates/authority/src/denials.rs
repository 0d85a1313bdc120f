//! Denials as they concern one principal: they win over every grant.
//!
//! A tenant's denials bind its own people, accounts and agents, but no operators, who must be able to help; those of the
//! platform bind everybody. Whom a denial means is found when rights are prepared; whether a role by which it means
//! somebody has ended is looked at when it is asked.

use std::collections::BTreeSet;

use steward_events::event::{DenialSpec, Whom};
use steward_events::id::{PrincipalId, RoleId, RuleId, TenantId};
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::conditions::{self, Facts};
use super::held_rights::HeldRights;
use super::{AccessRequest, Authority};
use steward_aggregates::access::Access;

/// A denial that may concern a principal.
#[derive(Clone, Debug)]
pub(super) struct HeldDenial {
    pub(super) name: RuleId,
    pub(super) spec: DenialSpec,
    /// True if the platform set it.
    pub(super) platform: bool,
    /// It concerns the principal only while a grant of one of its roles lasts.
    by_role: bool,
}

impl HeldDenial {
    pub(super) fn concerns(&self, held: &[HeldRights], now: Timestamp) -> bool {
        !self.by_role || held.iter().any(|held| !held.terms.is_over(now) && holds_one(held, &self.spec.whom.roles))
    }

    /// True if it stands in the way of this.
    pub(super) fn denies(
        &self,
        permission: &Permission,
        scope: &Scope,
        facts: &Facts<'_>,
        held: &[HeldRights],
    ) -> bool {
        conditions::denies(&self.spec, permission, scope, facts) && self.concerns(held, facts.now)
    }

    /// `the denial no-secrets of the platform (no secrets in tests)`
    pub(super) fn in_words(&self) -> String {
        let of = if self.platform { " of the platform" } else { "" };
        let Self { name, spec, .. } = self;
        let condition: Vec<String> = spec.condition.iter().flat_map(conditions::told).collect();
        let bound = match (condition.is_empty(), spec.unless) {
            (true, _) => String::new(),
            (false, true) => format!("; what is not denied: {}", condition.join(", ")),
            (false, false) => format!("; {}", condition.join(", ")),
        };
        format!("the denial {name}{of} forbids it: {}{bound}", spec.reason)
    }
}

/// True if the grant is of one of these roles, or of one that inherits it.
pub(super) fn holds_one(held: &HeldRights, roles: &[RoleId]) -> bool {
    !roles.is_empty() && held.permissions.roles().any(|role| roles.contains(role))
}

impl Authority {
    /// The denials that may concern `principal` in `tenant`, who holds `held` there.
    pub(super) fn denials(&self, tenant: &TenantId, principal: &PrincipalId, held: &[HeldRights]) -> Vec<HeldDenial> {
        let steward = TenantId::steward();
        let bound_here = tenant.is_steward() || !self.is_operator(principal);
        let own = bound_here.then_some((tenant, tenant.is_steward()));
        let platform = (!tenant.is_steward()).then_some((&steward, true));
        let mut found = Vec::new();
        for (of, platform) in own.into_iter().chain(platform) {
            for (name, spec) in self.access(of).into_iter().flat_map(Access::denials) {
                let Whom { everyone, principals, roles } = &spec.whom;
                let of_group = || {
                    self.access(tenant)
                        .is_some_and(|access| access.groups_of(principal).any(|(group, _)| principals.contains(group)))
                };
                let named = *everyone || principals.contains(principal) || of_group();
                let by_role = !named && held.iter().any(|held| holds_one(held, roles));
                if named || by_role {
                    found.push(HeldDenial { name: name.clone(), spec: spec.clone(), platform, by_role });
                }
            }
        }
        found
    }

    /// Refuses a denial after which nobody could remove it, or another one.
    pub(super) fn check_removable(
        &self,
        request: &AccessRequest,
        name: &RuleId,
        new: &DenialSpec,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let Some(access) = self.access(&request.tenant) else { return Ok(()) };
        let Ok(remove) = Permission::new("deny", "remove") else { return Ok(()) };
        let others = access.denials().filter(|(other, spec)| *other != name && !spec.is_over(now));
        let all: Vec<&DenialSpec> = others.map(|(_, spec)| spec).chain([new]).collect();
        let lasting: Vec<&DenialSpec> = all.iter().copied().filter(|spec| bars_for_good(spec, &remove)).collect();
        let before = access.denials().map(|(_, spec)| spec).filter(|spec| !spec.is_over(now));
        let before: Vec<&DenialSpec> = before.filter(|spec| bars_for_good(spec, &remove)).collect();
        let holders: BTreeSet<&PrincipalId> = access.holders().collect();
        let can_remove = |who: &PrincipalId, on: &Scope, lasting: &[&DenialSpec]| {
            let rights = self.rights(&request.tenant, who);
            let holds = rights.covering(&remove, on).any(|held| held.terms.is_plain());
            let barred = |spec: &&DenialSpec| {
                let Whom { everyone, principals, roles } = &spec.whom;
                let by_role = || rights.held.iter().any(|held| holds_one(held, roles));
                let of_group = || access.groups_of(who).any(|(group, _)| principals.contains(group));
                spec.on.contains(on) && (*everyone || principals.contains(who) || of_group() || by_role())
            };
            holds && !lasting.iter().any(barred) && self.inactive(&request.tenant, who).is_none()
        };
        let people = || holders.iter().filter(|who| !who.as_str().starts_with("agent_"));
        // Where none of the tenant's people could before, an operator can, as ever.
        let anyone =
            |spec: &DenialSpec, lasting: &[&DenialSpec]| people().any(|who| can_remove(who, &spec.on, lasting));
        let stuck = |spec: &&&DenialSpec| anyone(spec, &before) && !anyone(spec, &lasting);
        // Others are at stake only if it takes away the right to remove.
        let at_stake = if bars_for_good(new, &remove) { all.as_slice() } else { &all[all.len() - 1..] };
        match at_stake.iter().find(stuck) {
            None => Ok(()),
            Some(stuck) => {
                let reason = format!(
                    "nobody could remove the denial on {} any more: leave out somebody who holds {remove} there, or say \
                     until when",
                    stuck.on
                );
                Err(Rejection::invalid("whom", reason))
            }
        }
    }
}

/// True if it takes away `remove` and does not end: what depends on a model, a cost or a tool is about calls.
fn bars_for_good(spec: &DenialSpec, remove: &Permission) -> bool {
    let of_calls = spec.condition.as_ref().is_some_and(|condition| {
        !spec.unless
            && (!condition.models.is_empty()
                || condition.cost_max.is_some()
                || !condition.tools.is_empty()
                || !condition.arguments.is_empty())
    });
    spec.until.is_none() && !of_calls && spec.permissions.iter().any(|pattern| pattern.covers(remove))
}
