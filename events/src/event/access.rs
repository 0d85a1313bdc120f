//! Who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ModelId, PrincipalId, RoleId};
use crate::permission::PermissionPattern;
use crate::quantity::{NanoDollars, SchemaVersion};
use crate::scope::Scope;
use crate::timestamp::Timestamp;

/// Events of a tenant's roles and grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AccessEvent {
    /// A role means this from now on.
    RoleDefined {
        /// Name of the role.
        role: RoleId,
        /// What it permits by itself.
        permissions: Vec<PermissionPattern>,
        /// Roles whose permissions this role inherits.
        inherits: Vec<RoleId>,
    },
    /// A principal holds a role at a scope and below.
    RoleGranted {
        /// The grant.
        grant: GrantId,
        /// Until when; none is until revoked.
        expires: Option<Timestamp>,
        /// The grant counts only for calls that meet this condition.
        condition: Option<Condition>,
    },
    /// The grant is gone.
    GrantRevoked {
        /// Which.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// A group is there, or is for something else from now on.
    GroupDefined {
        /// Its id, which holds its grants.
        group: PrincipalId,
        /// Its name, unique in the tenant.
        name: String,
        /// What it is for, for people.
        description: String,
    },
    /// Somebody holds what the group holds.
    GroupJoined {
        /// The group.
        group: PrincipalId,
        /// Who.
        member: PrincipalId,
    },
    /// Somebody holds it no more.
    GroupLeft {
        /// The group.
        group: PrincipalId,
        /// Who.
        member: PrincipalId,
        /// Why.
        reason: String,
    },
    /// The group is gone, with its grants and memberships.
    GroupRemoved {
        /// Which.
        group: PrincipalId,
        /// Why.
        reason: String,
    },
}

impl AccessEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}

/// A grant is known by what it says: giving it twice changes only its end and condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantId {
    /// Who holds it.
    pub to: PrincipalId,
    /// Role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
}

impl std::fmt::Display for GrantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} on {}", self.to, self.role, self.on)
    }
}

/// What else must hold for a grant to count; every part that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The call names one of these models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// The call's worst case costs no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<NanoDollars>,
}
