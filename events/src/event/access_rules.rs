//! Rules of a tenant's access beside its roles and grants: denials, separations of duties, elevations, reviews.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Condition;
use crate::id::{PrincipalId, RoleId, RuleId};
use crate::permission::PermissionPattern;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

/// Whom a denial is for: everyone, or those who are named or hold one of the roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    /// `true`: everyone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// These principals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<PrincipalId>,
    /// Those who hold one of these roles, also through another role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleId>,
}

/// What is denied, where and to whom: it wins over every grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenialSpec {
    /// What is denied, e.g. `secret:*`.
    pub permissions: Vec<PermissionPattern>,
    /// At which scope and below.
    pub on: Scope,
    /// To whom.
    pub whom: Whom,
    /// Only requests that meet this are denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// `true` turns the condition round: all requests are denied but those that meet it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unless: bool,
    /// Until when; none is until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl DenialSpec {
    /// True once it has ended by itself.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Roles of which nobody may hold two at scopes that overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeparationSpec {
    /// The roles; one that is inherited counts as held.
    pub roles: Vec<RoleId>,
    /// At which scope and below it is looked at.
    pub on: Scope,
    /// Why.
    pub reason: String,
    /// Who held them together when it was set, and may until a grant is revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub existing: Vec<PrincipalId>,
}

/// Who may ask for a role for a time, and who says yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElevationRule {
    /// The role that can be asked for.
    pub role: RoleId,
    /// At which scope it is then held, and below.
    pub on: Scope,
    /// Principals who may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub askers: Vec<PrincipalId>,
    /// Those who hold one of these roles may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asker_roles: Vec<RoleId>,
    /// Principals who may approve, whatever they hold themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PrincipalId>,
    /// Those who hold one of these roles may approve, if they also hold what they approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approver_roles: Vec<RoleId>,
    /// `true`: who asks may approve it themselves, with a reason and an alert. For emergencies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_approval: bool,
    /// The longest time for which it can be asked, in seconds.
    pub longest_s: u64,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElevationRequest {
    /// By which rule.
    pub rule: RuleId,
    /// Who asks.
    pub by: PrincipalId,
    /// The role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
    /// For how long from the approval on, in seconds.
    pub duration_s: u64,
    /// Why.
    pub reason: String,
    /// When nobody can approve it any more.
    pub lapses: Timestamp,
}

/// A look at who holds what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewSpec {
    /// Grants at this scope and below are looked at.
    pub on: Scope,
    /// Until when.
    pub due: Timestamp,
    /// Who looks; if nobody is named, all who hold the permission and what they confirm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<PrincipalId>,
    /// `true`: a grant that nobody has confirmed ends when the review is due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoke_unreviewed: bool,
}
