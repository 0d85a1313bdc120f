//! What is set for a tenant, by itself, by operators and by its plan; and where its projects let something new begin.

use std::collections::BTreeSet;

use steward_events::command::{Command, TenantCommand};
use steward_events::event::{FlagSpec, PlanSpec, QuotaKind, Quotas};
use steward_events::id::{FlagId, PlanId, PrincipalId, ProjectId, TenantId};
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::words::forbidden;
use super::{AccessRequest, Authority, Rules};

/// What begins something new where it is done, as permissions: none of it happens in a project that is archived. What ends
/// something, and what reads, does.
const BEGINS: &[&str] =
    &["model:invoke", "task:submit", "batch:submit", "file:create", "key:issue", "grant:give", "budget:set"];

impl Authority {
    /// The quotas that bind the tenant.
    pub fn quotas(&self, tenant: &TenantId) -> Quotas {
        self.tenants.get(tenant).map(|rules| rules.life.quotas(self.plan_of(tenant))).unwrap_or_default()
    }

    /// The flags that are set in the tenant; true if it has one from its plan.
    pub fn flags(&self, tenant: &TenantId) -> Vec<(FlagId, FlagSpec, bool)> {
        self.tenants.get(tenant).map(|rules| rules.life.flags(self.plan_of(tenant))).unwrap_or_default()
    }

    /// Each flag of the tenant, on or off for `principal`.
    pub fn flags_of(&self, tenant: &TenantId, principal: &PrincipalId) -> Vec<(FlagId, bool)> {
        let all = self.flags(tenant).into_iter();
        all.map(|(flag, spec, _)| {
            let on = spec.is_on(&flag, principal);
            (flag, on)
        })
        .collect()
    }

    /// What the tenant's plan gives, if it is on one.
    pub fn plan_of(&self, tenant: &TenantId) -> Option<&PlanSpec> {
        self.plan(self.tenants.get(tenant)?.life.plan()?)
    }

    fn plan(&self, plan: &PlanId) -> Option<&PlanSpec> {
        self.tenants.get(&TenantId::steward())?.life.plan_spec(plan)
    }

    /// How many tenants are on this plan.
    pub fn tenants_on(&self, plan: &PlanId) -> usize {
        self.tenants.values().filter(|rules| rules.life.plan() == Some(plan)).count()
    }

    /// How many the tenant has of this at `now`; none of what is not known here. Open tasks are counted only while there is a
    /// quota of them.
    pub fn taken(&self, tenant: &TenantId, quota: QuotaKind, now: Timestamp) -> Option<u64> {
        let rules = self.tenants.get(tenant)?;
        let taken = match quota {
            QuotaKind::Users => rules.identity.users(),
            QuotaKind::Accounts => rules.identity.accounts(),
            QuotaKind::Keys => rules.identity.keys_at(now),
            QuotaKind::Agents => rules.agents.len(),
            QuotaKind::Tasks => {
                self.quotas(tenant).limit(quota)?;
                rules.places.taken(quota)
            }
            QuotaKind::CommandsPerMinute | QuotaKind::QueriesPerMinute | QuotaKind::ContentBytes => return None,
        };
        u64::try_from(taken).ok()
    }

    /// Projects that nobody created and that keys or grants of the tenant name.
    pub fn implicit_projects(&self, tenant: &TenantId) -> BTreeSet<ProjectId> {
        let Some(rules) = self.tenants.get(tenant) else { return BTreeSet::new() };
        let nobody_made = |scope: &&Scope| scope.is_within(tenant) && rules.life.project(scope).is_none();
        let named = rules.scopes().filter(nobody_made);
        named.filter_map(|scope| ProjectId::new(scope.project()?).ok()).collect()
    }

    /// Refuses what begins something new in a project that is archived.
    pub(super) fn check_archived(&self, request: &AccessRequest) -> Result<(), Rejection> {
        let AccessRequest { tenant, permission, scope, .. } = request;
        if scope.project().is_none() || !begins(permission) {
            return Ok(());
        }
        let rules = self.tenants.get(tenant);
        let Some(project) = rules.and_then(|rules| rules.life.project(scope)) else { return Ok(()) };
        let Some(reason) = &project.archived else { return Ok(()) };
        let id = scope.project().unwrap_or_default();
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        Err(forbidden(
            request,
            format!("the project {tenant}/{id} is archived{why}"),
            format!("steward project restore {id} --tenant {tenant}"),
        ))
    }

    /// Where a tenant has said which projects it has, nothing begins in any other: it may be mistyped. What keys and grants
    /// named before counts as there.
    pub(super) fn check_project(&self, request: &AccessRequest, command: &Command) -> Result<(), Rejection> {
        let AccessRequest { tenant, scope, .. } = request;
        let Some(project) = scope.project().filter(|_| command.body().begins_in_project()) else { return Ok(()) };
        let Some(rules) = self.tenants.get(tenant).filter(|rules| rules.life.has_projects()) else { return Ok(()) };
        let is_known = rules.life.project(scope).is_some()
            || rules.scopes().any(|named| named.is_within(tenant) && named.project() == Some(project));
        if is_known {
            return Ok(());
        }
        let reason = format!(
            "there is no project {project} in tenant {tenant}; create it first: steward project create {project} --tenant {tenant}"
        );
        Err(Rejection::invalid("scope", reason))
    }

    /// A tenant is put only on a plan that there is.
    pub(super) fn check_plan(&self, command: &Command) -> Result<(), Rejection> {
        let Command::Tenant(TenantCommand::SetPlan(set)) = command else { return Ok(()) };
        match &set.plan {
            Some(plan) if self.plan(plan).is_none() => Err(Rejection::not_found("plan", plan)),
            _ => Ok(()),
        }
    }
}

impl Rules {
    /// Where its keys and grants, former ones included as far as they are known, reach.
    fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.identity.keys().map(|key| &key.scope).chain(self.access.scopes())
    }
}

fn begins(permission: &Permission) -> bool {
    BEGINS.contains(&permission.as_str())
}

#[cfg(test)]
mod tests {
    use steward_events::command::COMMANDS;

    use super::*;

    #[test]
    fn what_begins_in_a_project_is_refused_in_an_archived_one() {
        for text in BEGINS {
            let permission: Permission = text.parse().unwrap();
            let (noun, verb) = permission.parts();
            let of_the_gateway = Permission::of_the_gateway().contains(&permission);
            assert!(of_the_gateway || COMMANDS.iter().any(|spec| (spec.noun, spec.verb) == (noun, verb)), "{text}");
        }
    }
}
