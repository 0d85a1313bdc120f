//! Who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ModelId, PrincipalId, RoleId};
use crate::permission::{Permission, PermissionPattern};
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
    /// The grant is set aside to see whether it is needed: it counts only for what nothing else allows, and the first such
    /// use gives it back.
    TrialStarted {
        /// Which.
        grant: GrantId,
        /// Until when; it is revoked then.
        until: Timestamp,
    },
    /// The grant is given back: it counts as before.
    TrialEnded {
        /// Which.
        grant: GrantId,
        /// The trial, by its end.
        until: Timestamp,
        /// What it was needed for, if that ended the trial and is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
        /// Why, for people.
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
