//! What reviewers ask: what a role is, what somebody would lose, which separations they break.

use std::collections::BTreeSet;

use steward_events::event::GrantId;
use steward_events::id::{PrincipalId, RoleId, RuleId, TenantId};
use steward_events::permission::PermissionPattern;
use steward_events::timestamp::Timestamp;

use super::Authority;
use super::held_rights::RolePermissions;
use steward_aggregates::access::Access;
use steward_aggregates::access::separation::broken;

impl Authority {
    /// What a role permits in `tenant`.
    pub fn meaning(&self, tenant: &TenantId, role: &RoleId) -> RolePermissions {
        self.role_permissions(tenant, role)
    }

    /// What the holder of `grant` would lose without it: what no other grant of theirs gives there as surely.
    pub fn loss(&self, tenant: &TenantId, grant: &GrantId) -> Vec<PermissionPattern> {
        let rights = self.rights(tenant, &grant.to);
        let others: Vec<_> = rights.held.iter().filter(|held| held.grant != *grant).collect();
        let kept = |pattern: &PermissionPattern| others.iter().any(|held| held.includes(pattern, &grant.on, None));
        self.role_permissions(tenant, &grant.role).patterns().filter(|pattern| !kept(pattern)).cloned().collect()
    }

    /// The separations of duties that `principal` breaks.
    pub fn broken_by(&self, tenant: &TenantId, principal: &PrincipalId, now: Timestamp) -> Vec<RuleId> {
        let Some(access) = self.access(tenant).filter(|access| access.separations().next().is_some()) else {
            return Vec::new();
        };
        let rights = self.rights(tenant, principal);
        let held = || {
            let current = rights.held.iter().filter(|held| !held.terms.is_over(now));
            current.map(|held| (&held.grant.role, &held.grant.on))
        };
        let reached = |role: &RoleId| self.role_permissions(tenant, role).roles().cloned().collect::<BTreeSet<_>>();
        let separations = access.separations().filter(|(_, spec)| broken(spec, held(), reached).is_some());
        separations.map(|(name, _)| name.clone()).collect()
    }

    /// Everyone who was granted something in `tenant`, in order.
    pub fn holders(&self, tenant: &TenantId) -> BTreeSet<&PrincipalId> {
        self.access(tenant).into_iter().flat_map(Access::holders).collect()
    }
}
