//! Plans: a named bundle of what a tenant gets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flag::FlagState;
use super::quota::QuotaKind;
use crate::id::FlagId;
use crate::quantity::{Limit, Window};

/// What a plan gives to each tenant on it, unless it was set otherwise for the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanSpec {
    /// How many the tenant may have of what, e.g. `{"quota": "agents", "limit": 5}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<PlanQuota>,
    /// Feature flags, e.g. `{"flag": "new-search", "state": "on"}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<PlanFlag>,
    /// Budgets of the platform for the whole tenant, e.g. `{"limit": "$50", "per": "month"}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<PlanBudget>,
}

/// How many a tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanQuota {
    /// Of what.
    pub quota: QuotaKind,
    /// How many at most.
    pub limit: u64,
}

/// A flag of all tenants on a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFlag {
    /// Name of the flag.
    pub flag: FlagId,
    /// For whom it is on.
    pub state: FlagState,
}

/// A budget of all tenants on a plan: hard, of the platform, over the whole tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanBudget {
    /// Limit: `$5.00`, `100 calls` or `50000 tokens`.
    pub limit: Limit,
    /// Window over which it counts.
    #[serde(default)]
    pub per: Window,
}
