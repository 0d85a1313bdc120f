//! Commands about roles and grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{Condition, GrantId};
use crate::id::{PrincipalId, RoleId, TenantId};
use crate::permission::PermissionPattern;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

commands! {
    AccessCommand of Access {
        "role" "define" => DefineRole, Callers, "Define what a role permits and which roles it inherits";
        "grant" "give" => GiveGrant, Callers, "Give a principal or a group a role for a scope and everything below it";
        "grant" "revoke" => RevokeGrant, Callers, "Revoke a grant at once";
        "group" "define" => DefineGroup, Callers, "Make a group that holds grants for its members, or say what it is for";
        "group" "join" => JoinGroup, Callers, "Put a person or service account into a group: they hold what it holds";
        "group" "leave" => LeaveGroup, Callers, "Take somebody out of a group at once";
        "group" "remove" => RemoveGroup, Callers, "Remove a group at once, with its grants";
    }
}

/// Says what a role means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineRole {
    /// Name of the role.
    pub role: RoleId,
    /// Permissions of the role itself, e.g. `task:*`.
    pub permissions: Vec<PermissionPattern>,
    /// Roles whose permissions this role inherits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<RoleId>,
}

impl Body for DefineRole {}

/// Gives a principal a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveGrant {
    /// Principal or group that gets the role.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// End of the grant; if left out, the grant holds until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl GiveGrant {
    /// The grant it makes.
    pub fn id(&self) -> GrantId {
        GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
    }
}

impl Body for GiveGrant {
    fn begins_in_project(&self) -> bool {
        true
    }
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Takes a grant back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeGrant {
    /// Principal or group that loses the role.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl RevokeGrant {
    /// The grant it ends.
    pub fn id(&self) -> GrantId {
        GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
    }
}

impl Body for RevokeGrant {
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Makes a group, or changes what it is for; its id follows from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineGroup {
    /// Name of the group, unique in the tenant: `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
}

impl Body for DefineGroup {}

/// Puts somebody into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Person or service account that gets what the group holds.
    pub member: PrincipalId,
}

impl Body for JoinGroup {}

/// Takes somebody out of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Member that loses what the group holds.
    pub member: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for LeaveGroup {}

/// Removes a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveGroup {
    /// Group, `g_…`.
    pub group: PrincipalId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RemoveGroup {}
