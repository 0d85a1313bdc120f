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
        "grant" "give" => GiveGrant, Callers, "Give a principal a role at a scope and below";
        "grant" "revoke" => RevokeGrant, Callers, "Take a grant back at once";
    }
}

/// Says what a role means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineRole {
    /// Its name.
    pub role: RoleId,
    /// What it permits by itself.
    pub permissions: Vec<PermissionPattern>,
    /// The roles whose permissions it has too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<RoleId>,
}

impl Body for DefineRole {}

/// Gives a principal a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveGrant {
    /// Whom.
    pub to: PrincipalId,
    /// Which role.
    pub role: RoleId,
    /// Where.
    pub on: Scope,
    /// Until when; until revoked if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Only if this holds.
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
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Takes a grant back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeGrant {
    /// From whom.
    pub to: PrincipalId,
    /// Which role.
    pub role: RoleId,
    /// Where.
    pub on: Scope,
    /// Why.
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
