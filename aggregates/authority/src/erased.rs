//! Whose content nobody may read any more, as far as the log says.

use steward_events::id::TenantId;
use steward_events::sealed::{KeyOwner, KnowsErased};

use super::Authority;

impl KnowsErased for Authority {
    fn erased(&self) -> &[KeyOwner] {
        &self.erased
    }

    fn is_erased(&self, owner: &KeyOwner) -> bool {
        let of = |tenant: &TenantId| self.tenants.get(tenant);
        match owner {
            KeyOwner::Tenant(tenant) => of(tenant).is_some_and(|rules| rules.life.is_erased()),
            KeyOwner::Person(tenant, person) => {
                of(tenant).is_some_and(|rules| rules.life.is_erased() || rules.identity.is_erased(person))
            }
        }
    }
}
