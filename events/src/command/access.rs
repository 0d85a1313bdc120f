//! Commands about roles and grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{Condition, GrantId};
use crate::id::{PrincipalId, RoleId, TenantId};
use crate::permission::{Permission, PermissionPattern};
use crate::scope::Scope;
use crate::timestamp::Timestamp;

commands! {
    AccessCommand of Access {
        "role" "define" => DefineRole, Callers, "Define what a role permits and which roles it inherits";
        "grant" "give" => GiveGrant, Callers, "Give a principal a role for a scope and everything below it";
        "grant" "revoke" => RevokeGrant, Callers, "Revoke a grant at once";
        "trial" "start" => StartTrial, Callers, "Set a grant aside to see whether it is needed: its first use gives it back";
        "trial" "stop" => StopTrial, Callers, "End a trial and let the grant count as before";
        "trial" "need" => NeedTrial, System, "Give back a grant that was needed during its trial";
        "trial" "end" => EndTrial, System, "Revoke a grant that was not needed during its trial";
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
    /// Principal that gets the role.
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
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Takes a grant back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeGrant {
    /// Principal that loses the role.
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

/// Sets a grant aside for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// End of the trial: the grant is revoked then, unless it was needed before.
    pub until: Timestamp,
}

/// Ends a trial by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant: `tenant` or `tenant/project`.
    pub on: Scope,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

/// Gives back a grant that was needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeedTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant.
    pub on: Scope,
    /// The trial, by its end: of another one nothing is decided.
    pub until: Timestamp,
    /// What it was needed for, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// Where it was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Ends a trial whose time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndTrial {
    /// Principal that holds the grant.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// Scope of the grant.
    pub on: Scope,
    /// The trial, by its end: of another one nothing is decided.
    pub until: Timestamp,
}

macro_rules! of_a_grant {
    ($($body:ident),+) => {$(
        impl $body {
            /// The grant it is about.
            pub fn id(&self) -> GrantId {
                GrantId { to: self.to.clone(), role: self.role.clone(), on: self.on.clone() }
            }
        }

        impl Body for $body {
            fn scope(&self, _: &TenantId) -> Scope {
                self.on.clone()
            }
        }
    )+};
}

of_a_grant!(StartTrial, StopTrial, NeedTrial, EndTrial);
