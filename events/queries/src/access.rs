//! Who may do what, and why.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use steward_events::id::PrincipalId;
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

/// Asks whether someone may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// Who.
    pub principal: PrincipalId,
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From which address, for a key that is bound to some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// Whether, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Whether.
    pub allowed: bool,
    /// The grant and the path of roles that allow it, or which check fails.
    pub reason: String,
    /// What would allow it, as a command; none if it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_allow: Option<String>,
}

/// Asks who may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoCanQuery {
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Who may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCan {
    /// The principals, each with its reason.
    pub principals: Vec<MayDo>,
}

/// Someone who may, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MayDo {
    /// Who.
    pub principal: PrincipalId,
    /// A service account's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The grant and the path of roles.
    pub reason: String,
}
