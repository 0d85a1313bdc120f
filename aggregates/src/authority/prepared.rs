//! What principals hold, found from roles and grants on first use and kept until one of these changes.

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use steward_events::event::{AccessEvent, GrantId};
use steward_events::id::{PrincipalId, RoleId, TenantId};
use steward_events::scope::Scope;

use super::Authority;
use super::held_rights::{HeldRights, RolePermissions};
use super::rights::Rights;
use crate::access::Terms;
use crate::access::role::{RoleSpec, built_in, closure};

/// How many principals' rights are kept prepared.
pub const RIGHTS_KEPT_MAX: usize = 20_000;

/// For how many memory is taken at first.
const RIGHTS_EXPECTED: usize = 512;

/// The rights that are prepared; the least used go when there are too many.
#[derive(Debug)]
pub(super) struct Prepared(Cache<(TenantId, PrincipalId), Arc<Rights>>);

impl Default for Prepared {
    fn default() -> Self {
        // There is room for the bound, but it is not taken at once.
        Self(Cache::with_weighter(RIGHTS_EXPECTED, RIGHTS_KEPT_MAX as u64, UnitWeighter))
    }
}

impl Prepared {
    /// Forgets all of them.
    pub(super) fn clear(&self) {
        self.0.clear();
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
        Arc::new(closure(role, |role| self.role(tenant, role)))
    }

    /// What `principal` holds in `tenant`, prepared on first use and until a grant or role changes.
    pub(super) fn rights(&self, tenant: &TenantId, principal: &PrincipalId) -> Arc<Rights> {
        let place = (tenant.clone(), principal.clone());
        if let Some(rights) = self.prepared.0.get(&place) {
            return rights;
        }
        let rights = Arc::new(Rights::new(principal, self.held(tenant, principal)));
        self.prepared.0.insert(place, Arc::clone(&rights));
        rights
    }

    fn held(&self, tenant: &TenantId, principal: &PrincipalId) -> Vec<HeldRights> {
        let steward = TenantId::steward();
        let mut meanings: HashMap<(TenantId, RoleId), RolePermissions> = HashMap::new();
        let mut held = Vec::new();
        let mut take = |of: &TenantId, grant: GrantId, terms: Terms| {
            let meaning = meanings.entry((of.clone(), grant.role.clone()));
            let meaning = meaning.or_insert_with(|| self.role_permissions(of, &grant.role));
            held.push(HeldRights::new(held.len(), grant, terms, Arc::clone(meaning)));
        };
        let from_steward = !tenant.is_steward() && self.is_operator(principal);
        let tenants = std::iter::once(tenant).chain(from_steward.then_some(&steward));
        for of in tenants {
            for (grant, terms) in self.tenants.get(of).into_iter().flat_map(|rules| rules.access.grants_of(principal)) {
                take(of, grant, terms.clone());
            }
        }
        if principal.as_str().starts_with("agent_")
            && let Ok(role) = RoleId::new("agent")
        {
            take(tenant, GrantId { to: principal.clone(), role, on: Scope::tenant(tenant) }, Terms::default());
        }
        held
    }

    /// Forgets what no longer holds after `event` of `tenant`.
    pub(super) fn forget_prepared(&mut self, tenant: &TenantId, event: &AccessEvent) {
        let prepared = &self.prepared.0;
        match event {
            AccessEvent::RoleGranted { grant, .. } | AccessEvent::GrantRevoked { grant, .. }
                if !tenant.is_steward() =>
            {
                _ = prepared.remove(&(tenant.clone(), grant.to.clone()));
            }
            // Roles reach everyone who holds them, and what steward grants reaches every tenant.
            AccessEvent::RoleDefined { .. } if !tenant.is_steward() => prepared.retain(|(of, _), _| of != tenant),
            _ => prepared.clear(),
        }
    }
}
