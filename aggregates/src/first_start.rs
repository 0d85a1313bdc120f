//! What the first start records: the reserved tenant, the built-in roles, the operator and their key.
//!
//! Pure, like every decision, but of no command: at the first start there is nobody who could be allowed to send one.
//! Each function says what its stream still lacks, so that a start that died half-way is finished by the next.

use steward_events::event::{AccessEvent, GrantId, IdentityEvent, KeyHash, RegistryEvent, TenantEvent};
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::scope::Scope;
use steward_events::shard::STEWARD_SHARD;

use crate::access::Access;
use crate::access::role::{built_in, built_in_ids};
use crate::identity::Identity;
use crate::registry::Registry;
use crate::tenant::Tenant;

/// The name of the first operator's account.
pub const OPERATOR: &str = "operator";

/// The account and key that are made if there is no operator yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperator {
    /// The account.
    pub account: PrincipalId,
    /// Its key.
    pub key: KeyId,
    /// The hash of the key's secret.
    pub hash: KeyHash,
}

/// The place of the tenant `steward`.
pub fn place(registry: &Registry) -> Vec<RegistryEvent> {
    if registry.shard().is_some() {
        return vec![];
    }
    vec![RegistryEvent::TenantPlaced { tenant: TenantId::steward(), shard: STEWARD_SHARD, timezone: "UTC".to_owned() }]
}

/// The operator and their key.
pub fn operator(identity: &Identity, new: &NewOperator) -> Vec<IdentityEvent> {
    if find_operator(identity).is_some() {
        return vec![];
    }
    vec![
        IdentityEvent::AccountCreated { principal: new.account.clone(), name: OPERATOR.to_owned() },
        IdentityEvent::KeyIssued {
            key: new.key.clone(),
            principal: new.account.clone(),
            hash: new.hash.clone(),
            scope: Scope::everything(),
            models: vec![],
            expires: None,
            agent: None,
            task: None,
            permissions: vec![],
            parent: None,
            addresses: vec![],
            hours: vec![],
            line: None,
        },
    ]
}

/// The first operator, once recorded.
pub fn find_operator(identity: &Identity) -> Option<PrincipalId> {
    let named = identity.principals().find(|(_, known)| known.name.as_deref() == Some(OPERATOR));
    named.map(|(id, _)| id.clone())
}

/// The key with this hash.
pub fn key(identity: &Identity, hash: &KeyHash) -> Option<KeyId> {
    identity.key_of_hash(hash).cloned()
}

/// The built-in roles, and that `operator` owns everything.
pub fn roles(access: &Access, operator: &PrincipalId) -> Vec<AccessEvent> {
    let unknown = built_in_ids().filter(|role| access.role(role).is_none());
    let mut events: Vec<AccessEvent> = unknown
        .filter_map(|role| {
            let spec = built_in(&role)?;
            Some(AccessEvent::RoleDefined { role, permissions: spec.permissions, inherits: spec.inherits })
        })
        .collect();
    let owner = built_in_ids().find(|role| role.as_str() == "owner");
    let grant = owner.map(|role| GrantId { to: operator.clone(), role, on: Scope::everything() });
    let lacking = grant.filter(|grant| !access.grants_of(operator).any(|(held, _)| held == *grant));
    events.extend(lacking.map(|grant| AccessEvent::RoleGranted { grant, expires: None, condition: None }));
    events
}

/// That the tenant `steward` is open: recorded last, so it says that all is done.
pub fn open(tenant: &Tenant) -> Vec<TenantEvent> {
    if tenant.is_open() {
        return vec![];
    }
    vec![TenantEvent::Created { tenant: TenantId::steward(), timezone: "UTC".to_owned() }]
}
