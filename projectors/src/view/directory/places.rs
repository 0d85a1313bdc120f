//! Under which keys the rows of the directory stand.

use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::scope::Scope;

use crate::engine::key::Key;

pub(super) fn people(tenant: &TenantId) -> Key {
    Key::of(tenant).text("person")
}

pub(super) fn person_key(tenant: &TenantId, principal: &PrincipalId) -> Key {
    people(tenant).text(principal.as_str())
}

pub(super) fn accounts(tenant: &TenantId) -> Key {
    Key::of(tenant).text("account")
}

pub(super) fn account_key(tenant: &TenantId, principal: &PrincipalId) -> Key {
    accounts(tenant).text(principal.as_str())
}

pub(super) fn agents(tenant: &TenantId) -> Key {
    Key::of(tenant).text("agent")
}

pub(super) fn keys(tenant: &TenantId) -> Key {
    Key::of(tenant).text("key")
}

pub(super) fn key_key(tenant: &TenantId, key: &KeyId) -> Key {
    keys(tenant).text(key.as_str())
}

pub(super) fn roles(tenant: &TenantId) -> Key {
    Key::of(tenant).text("role")
}

pub(super) fn grants(tenant: &TenantId) -> Key {
    Key::of(tenant).text("grant")
}

pub(super) fn grants_of(tenant: &TenantId, to: &PrincipalId) -> Key {
    grants(tenant).text(to.as_str())
}

pub(super) fn keys_of(tenant: &TenantId, holder: &PrincipalId) -> Key {
    Key::of(tenant).text("key_of").text(holder.as_str())
}

pub(super) fn owned_by(tenant: &TenantId, owner: &PrincipalId) -> Key {
    Key::of(tenant).text("owned").text(owner.as_str())
}

pub(super) fn groups(tenant: &TenantId) -> Key {
    Key::of(tenant).text("group")
}

pub(super) fn group_key(tenant: &TenantId, group: &PrincipalId) -> Key {
    groups(tenant).text(group.as_str())
}

pub(super) fn members_of(tenant: &TenantId, group: &PrincipalId) -> Key {
    Key::of(tenant).text("member").text(group.as_str())
}

pub(super) fn groups_of(tenant: &TenantId, member: &PrincipalId) -> Key {
    Key::of(tenant).text("group_of").text(member.as_str())
}

/// Uses stand in the shard in which they came: an operator's key is used in every tenant's.
pub(super) fn uses(tenant: &TenantId) -> Key {
    Key::of(tenant).text("use")
}

pub(super) fn use_key(tenant: &TenantId, key: &KeyId) -> Key {
    uses(tenant).text(key.as_str())
}

/// Where a key that reaches `scope` belongs: an operator's for everything to the operators' tenant.
pub(super) fn home(tenant: &TenantId, scope: &Scope) -> Scope {
    if *scope == Scope::everything() { Scope::tenant(tenant) } else { scope.clone() }
}
