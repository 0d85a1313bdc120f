//! Quotas, and the plans that give them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::{PlanSpec, QuotaKind};
use steward_events::id::PlanId;
use steward_events::quantity::Position;

list_query! {
    /// Lists quotas.
    ListQuotas {}
}

/// Quotas.
pub type QuotaPage = Page<QuotaRow>;

/// One quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaRow {
    /// What is counted.
    pub quota: QuotaKind,
    /// How many at most: the lowest that anybody says. None: only Steward's own limits bind.
    pub limit: Option<u64>,
    /// How many there are now; none of what is not counted here: rates and bytes.
    pub taken: Option<u64>,
    /// What operators have set.
    pub platform: Option<u64>,
    /// What the tenant has set for itself.
    pub tenant: Option<u64>,
    /// What its plan says; operators' own number counts instead of it.
    pub plan: Option<u64>,
}

list_query! {
    /// Lists plans.
    ListPlans {}
}

/// Plans.
pub type PlanPage = Page<PlanRow>;

/// One plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRow {
    /// Name of the plan.
    pub plan: PlanId,
    /// Which revision of it.
    pub revision: u32,
    /// What it gives.
    pub spec: PlanSpec,
    /// How many tenants are on it; none if asked of a tenant, which sees its own plan only.
    pub tenants: Option<u64>,
}
