//! Tenants and their settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flag::FlagRow;
use super::page::{Page, Paging, list_query};
use super::project::ProjectRow;
use super::quota::QuotaRow;
use steward_events::event::TenantSettings;
use steward_events::id::{PlanId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists tenants.
    ListTenants {
        /// Only those in this state: `placed`, `open`, `suspended`, `erasing` or `erased`.
        state: TenantState,
    }
}

/// Shows one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShowTenant {
    /// Answer only from a state that includes this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Tenants.
pub type TenantPage = Page<TenantRow>;

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRow {
    /// Name of the tenant.
    pub tenant: TenantId,
    /// The shard that holds all its streams.
    pub shard: Shard,
    /// IANA name of the time zone its budget windows turn in.
    pub timezone: String,
    /// Whether it may be used.
    pub state: TenantState,
    /// Why it is suspended, if it is.
    pub reason: Option<String>,
    /// When it was opened; when its name was taken, if it is not open yet.
    pub created_at: Timestamp,
    /// What is known of its erasure, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureState>,
    /// What it has set and may have; only where one tenant is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<TenantDetails>,
}

/// How far the erasure of a tenant is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureState {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Since when nobody may read its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Timestamp>,
    /// Data keys that were destroyed up to now.
    pub keys_destroyed: u64,
    /// Contents beside the log that were removed; none until all keys are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents_removed: Option<u64>,
}

/// Begins an export of all that a tenant has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportTenant {}

/// The export may be made, and is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportBegun {
    /// The tenant.
    pub tenant: TenantRow,
    /// What was recorded up to here is in the export, at least.
    pub position: Position,
}

/// What a tenant has set and may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantDetails {
    /// Its settings.
    pub settings: TenantSettings,
    /// Which revision of its settings that is.
    pub revision: u32,
    /// Plan that it is on.
    pub plan: Option<PlanId>,
    /// How many it may have of what, and has.
    pub quotas: Vec<QuotaRow>,
    /// Its feature flags, those of its plan included.
    pub flags: Vec<FlagRow>,
    /// Its projects, archived ones included.
    pub projects: Vec<ProjectRow>,
}

/// Whether a tenant may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// Its name is taken; it opens within moments.
    Placed,
    /// It may be used.
    Open,
    /// Nothing of it may act until it is resumed.
    Suspended,
    /// It is suspended, and its content is about to be erased.
    Erasing,
    /// Its content was erased for good.
    Erased,
}
