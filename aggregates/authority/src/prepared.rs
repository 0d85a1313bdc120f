//! What principals hold and roles mean, found from roles and grants on first use and kept until one of these changes.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{UnitWeighter, Weighter};
use steward_events::event::{AccessEvent, GrantId};
use steward_events::id::{PrincipalId, RoleId, TenantId};
use steward_events::scope::Scope;

use super::Authority;
use super::held_rights::{HeldRights, Membership, RolePermissions};
use super::rights::Rights;
use steward_aggregates::access::Terms;
use steward_aggregates::access::role::{RoleSpec, built_in, closure};

/// How many principals' rights are kept prepared; one with many grants counts as several.
pub const RIGHTS_KEPT_MAX: usize = 20_000;

/// How many grants count as one more principal.
const GRANTS_A_WEIGHT: usize = 16;

/// For how many memory is taken at first.
const RIGHTS_EXPECTED: usize = 512;

/// How many roles' meanings are kept.
const MEANINGS_KEPT_MAX: usize = 10_000;

/// For how many memory is taken at first.
const MEANINGS_EXPECTED: usize = 64;

/// What is prepared; the least used goes when there is too much.
#[derive(Debug)]
pub(super) struct Prepared {
    rights: Cache<(TenantId, PrincipalId), Arc<Rights>, ByGrants>,
    /// What roles permit, each worked out once for all who hold it.
    meanings: Cache<(TenantId, RoleId), RolePermissions>,
}

#[derive(Clone, Debug)]
struct ByGrants;

impl Weighter<(TenantId, PrincipalId), Arc<Rights>> for ByGrants {
    fn weight(&self, _: &(TenantId, PrincipalId), rights: &Arc<Rights>) -> u64 {
        1 + (rights.held.len() / GRANTS_A_WEIGHT) as u64
    }
}

impl Default for Prepared {
    fn default() -> Self {
        // There is room for the bounds, but it is not taken at once.
        Self {
            rights: Cache::with_weighter(RIGHTS_EXPECTED, RIGHTS_KEPT_MAX as u64, ByGrants),
            meanings: Cache::with_weighter(MEANINGS_EXPECTED, MEANINGS_KEPT_MAX as u64, UnitWeighter),
        }
    }
}

impl Prepared {
    /// Forgets all of it.
    pub(super) fn clear(&self) {
        self.rights.clear();
        self.meanings.clear();
    }
}

impl Authority {
    /// What a role means to `tenant`: its own, else as steward recorded it, else as it is built in.
    fn role(&self, tenant: &TenantId, role: &RoleId) -> Option<RoleSpec> {
        let of = |tenant: &TenantId| self.tenants.get(tenant)?.access.role(role).cloned();
        let own = if built_in(role).is_some() { None } else { of(tenant) };
        own.or_else(|| of(&TenantId::steward())).or_else(|| built_in(role))
    }

    pub(super) fn role_permissions(&self, tenant: &TenantId, role: &RoleId) -> RolePermissions {
        let place = (tenant.clone(), role.clone());
        if let Some(meaning) = self.prepared.meanings.get(&place) {
            return meaning;
        }
        let meaning = Arc::new(closure(role, |role| self.role(tenant, role)));
        self.prepared.meanings.insert(place, Arc::clone(&meaning));
        meaning
    }

    /// What `principal` holds in `tenant`, prepared on first use and until a grant or role changes.
    pub(super) fn rights(&self, tenant: &TenantId, principal: &PrincipalId) -> Arc<Rights> {
        let place = (tenant.clone(), principal.clone());
        if let Some(rights) = self.prepared.rights.get(&place) {
            return rights;
        }
        let held = self.held(tenant, principal);
        let denials = self.denials(tenant, principal, &held);
        let rights = Arc::new(Rights::new(principal, held, denials));
        self.prepared.rights.insert(place, Arc::clone(&rights));
        rights
    }

    fn held(&self, tenant: &TenantId, principal: &PrincipalId) -> Vec<HeldRights> {
        let steward = TenantId::steward();
        let mut held = Vec::new();
        let mut take = |of: &TenantId, grant: GrantId, through: Option<Arc<Membership>>, terms: Terms| {
            let permissions = self.role_permissions(of, &grant.role);
            held.push(HeldRights { grant, through, terms, permissions });
        };
        let from_steward = !tenant.is_steward() && self.is_operator(principal);
        let tenants = std::iter::once(tenant).chain(from_steward.then_some(&steward));
        for of in tenants {
            let Some(access) = self.access(of) else { continue };
            for (grant, terms) in access.grants_of(principal) {
                take(of, grant, None, terms.clone());
            }
            for (id, group) in access.groups_of(principal) {
                let through = Arc::new(Membership { member: principal.clone(), group: group.name.clone() });
                for (grant, terms) in access.grants_of(id) {
                    take(of, grant, Some(Arc::clone(&through)), terms.clone());
                }
            }
        }
        if principal.as_str().starts_with("agent_")
            && let Ok(role) = RoleId::new("agent")
        {
            take(tenant, GrantId { to: principal.clone(), role, on: Scope::tenant(tenant) }, None, Terms::default());
        }
        held
    }

    /// Forgets what does not hold after `event` of `tenant`, which is about to be taken in.
    pub(super) fn forget_prepared(&mut self, tenant: &TenantId, event: &AccessEvent) {
        let Prepared { rights, meanings } = &self.prepared;
        let forget = |principal: &PrincipalId| _ = rights.remove(&(tenant.clone(), principal.clone()));
        // A group's grants are its members'.
        let forget_with_members = |holder: &PrincipalId| {
            forget(holder);
            let group = self.access(tenant).and_then(|access| access.group(holder));
            group.into_iter().flat_map(|group| &group.members).for_each(forget);
        };
        match event {
            // What steward grants reaches every tenant.
            _ if tenant.is_steward() => self.prepared.clear(),
            AccessEvent::RoleGranted { grant, .. }
            | AccessEvent::GrantRevoked { grant, .. }
            | AccessEvent::TrialStarted { grant, .. }
            | AccessEvent::TrialEnded { grant, .. } => forget_with_members(&grant.to),
            AccessEvent::GroupJoined { member, .. } | AccessEvent::GroupLeft { member, .. } => forget(member),
            AccessEvent::GroupRemoved { group, .. } => forget_with_members(group),
            // Nobody's rights change by these.
            AccessEvent::GroupDefined { .. }
            | AccessEvent::SeparationSet { .. }
            | AccessEvent::SeparationRemoved { .. }
            | AccessEvent::ElevationAllowed { .. }
            | AccessEvent::ElevationDisallowed { .. }
            | AccessEvent::ElevationRequested { .. }
            | AccessEvent::ElevationRefused { .. }
            | AccessEvent::DataClassSet { .. } => {}
            // Roles and denials reach everyone who holds them, elevations and reviews many.
            AccessEvent::RoleDefined { .. }
            | AccessEvent::RoleRemoved { .. }
            | AccessEvent::DenialSet { .. }
            | AccessEvent::DenialRemoved { .. }
            | AccessEvent::ElevationApproved { .. }
            | AccessEvent::ElevationEnded { .. }
            | AccessEvent::ReviewStarted { .. }
            | AccessEvent::GrantsConfirmed { .. }
            | AccessEvent::ReviewClosed { .. } => {
                rights.retain(|(of, _), _| of != tenant);
                meanings.retain(|(of, _), _| of != tenant);
            }
        }
    }
}
