//! Who may act at all: somebody who exists, is not disabled, and whose owner may act.

use steward_events::id::{AgentId, PrincipalId, TenantId};

use super::Authority;
use super::key_door::set_owner;
use steward_aggregates::identity::Identity;

impl Authority {
    /// Why `principal` may do nothing in `tenant`, whatever it was granted; none if it is active.
    pub(super) fn inactive(&self, tenant: &TenantId, principal: &PrincipalId) -> Option<String> {
        let identity = |tenant: &TenantId| self.tenants.get(tenant).map(|rules| &rules.identity);
        let among = |of: Option<&'_ Identity>| of.is_some_and(|identity| identity.principal(principal).is_some());
        let steward = || identity(&TenantId::steward()).filter(|_| is_of_steward(principal));
        let own = identity(tenant);
        let Some(identity) = (if among(own) { own } else { steward().filter(|of| among(Some(of))) }) else {
            let group = self.access(tenant).is_some_and(|access| access.group(principal).is_some());
            return Some(if group {
                format!("{principal} is a group: its members act, and it does not")
            } else {
                format!("there is no principal {principal} in tenant {tenant}")
            });
        };
        let known = identity.principal(principal)?;
        if let Some(reason) = &known.disabled {
            return Some(format!("{principal} is disabled: {reason}"));
        }
        let owner = known.owner.as_ref()?;
        let gone = identity.principal(owner).is_none_or(|owner| owner.disabled.is_some());
        gone.then(|| format!("{principal} may act only while its owner {owner} may, who is disabled"))
    }

    /// True if `principal` is a service account that may not act because its owner may not.
    pub(super) fn is_ownerless(&self, tenant: &TenantId, principal: &PrincipalId) -> bool {
        let Some(identity) = self.identity(tenant) else { return false };
        let owner =
            identity.principal(principal).filter(|known| known.disabled.is_none()).and_then(|of| of.owner.as_ref());
        owner.is_some_and(|owner| identity.principal(owner).is_none_or(|owner| owner.disabled.is_some()))
    }

    /// What would help where `principal` may not act.
    pub(super) fn who_would_act(&self, tenant: &TenantId, principal: &PrincipalId) -> String {
        if self.is_ownerless(tenant, principal) { set_owner(principal) } else { "somebody who is active".to_owned() }
    }
}

/// True for ids that only the tenant `steward` makes: see `Identity`.
pub(super) fn is_of_steward(principal: &PrincipalId) -> bool {
    principal.as_str().starts_with("op_")
}

/// As whom an agent's own grants are held.
pub fn agent_principal(agent: &AgentId) -> PrincipalId {
    // An agent's name of the greatest length would make the id too long; its beginning and its hash do not.
    PrincipalId::new(format!("agent_{agent}")).unwrap_or_else(|_| {
        let hash = steward_events::digest::CommitHash::of(agent.as_str().as_bytes()).to_string();
        PrincipalId::new(format!("agent_{}_{}", &agent.as_str()[..40], &hash[..26]))
            .unwrap_or_else(|_| PrincipalId::system(steward_events::id::SystemPart::Bootstrap))
    })
}
