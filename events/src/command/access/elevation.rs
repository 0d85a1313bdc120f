//! Commands about roles that are asked for, for a limited time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::id::{ElevationId, PrincipalId, RoleId, RuleId, TenantId};
use crate::ids::Ids;
use crate::scope::Scope;

/// Lets somebody ask for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowElevation {
    /// Name of the rule; one that exists is replaced.
    pub rule: RuleId,
    /// Role that can be asked for.
    pub role: RoleId,
    /// Scope at which it is then held: `tenant` or `tenant/project`.
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
    /// Longest time for which it can be asked, in seconds; at most 604800, which is a week.
    pub longest_s: u64,
}

impl Body for AllowElevation {
    fn scope(&self, _: &TenantId) -> Scope {
        self.on.clone()
    }
}

/// Ends a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisallowElevation {
    /// Name of the rule.
    pub rule: RuleId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for DisallowElevation {}

/// Asks for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestElevation {
    /// Id of the elevation; made up if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationId>,
    /// Rule by which it is asked.
    pub rule: RuleId,
    /// For how long, in seconds from the approval on.
    pub duration_s: u64,
    /// Reason, for those who approve it.
    pub reason: String,
    /// `true`: approve it yourself at once, where the rule allows that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_approve: bool,
}

impl Body for RequestElevation {
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.elevation.is_none() {
            self.elevation = ElevationId::new(format!("elv_{}", fresh.unique())).ok();
        }
    }
}

/// Approves what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveElevation {
    /// Id of the elevation.
    pub elevation: ElevationId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for ApproveElevation {}

/// Refuses what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefuseElevation {
    /// Id of the elevation.
    pub elevation: ElevationId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for RefuseElevation {}

/// Ends an elevation, or takes back what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndElevation {
    /// Id of the elevation.
    pub elevation: ElevationId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for EndElevation {}
