//! Commands about rules of access: roles that go, denials, separations of duties, classes of data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{Condition, Whom};
use crate::id::{DataClass, RoleId, RuleId, TenantId};
use crate::permission::PermissionPattern;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

/// Removes a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRole {
    /// Name of the role.
    pub role: RoleId,
    /// `true`: revoke all grants of it in the same commit; otherwise a role that is held is not removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_grants: bool,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RemoveRole {}

/// Denies something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDenial {
    /// Name of the denial; one that exists is replaced.
    pub denial: RuleId,
    /// What is denied, e.g. `secret:*`.
    pub permissions: Vec<PermissionPattern>,
    /// Scope of the denial: `tenant` or `tenant/project`.
    pub on: Scope,
    /// To whom.
    pub whom: Whom,
    /// Only requests that meet this are denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// `true`: all requests are denied but those that meet the condition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unless: bool,
    /// End of the denial; if left out, it holds until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Reason, told to those who are denied.
    pub reason: String,
}

impl Body for SetDenial {
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Ends a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveDenial {
    /// Name of the denial.
    pub denial: RuleId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RemoveDenial {}

/// Separates duties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSeparation {
    /// Name of the separation; one that exists is replaced.
    pub separation: RuleId,
    /// Roles of which nobody may hold two at scopes that overlap; one that is inherited counts.
    pub roles: Vec<RoleId>,
    /// At which scope and below it is looked at; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Scope>,
    /// `true`: who holds them together now may go on; otherwise it is refused, and they are named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_existing: bool,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for SetSeparation {
    fn scope(&self, tenant: &TenantId) -> Scope {
        self.on.clone().unwrap_or_else(|| Scope::tenant(tenant))
    }
}

/// Ends a separation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveSeparation {
    /// Name of the separation.
    pub separation: RuleId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RemoveSeparation {}

/// Says of which class the data at a scope is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDataClass {
    /// Scope and everything below it.
    pub scope: Scope,
    /// Class of requests there that name none; if left out, that of the scope above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DataClass>,
}

impl Body for SetDataClass {
    fn scope(&self, _: &TenantId) -> Scope {
        self.scope.clone()
    }
}
