//! Commands about tenants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::id::TenantId;
use crate::sealed::DestroyedKey;

commands! {
    TenantCommand of Tenant {
        "tenant" "open" => OpenTenant, System, "Open a tenant that was placed";
        "tenant" "suspend" => SuspendTenant, Callers, "Stop everything that a tenant does, until the tenant is resumed";
        "tenant" "resume" => ResumeTenant, Callers, "Let a suspended tenant act again";
        "tenant" "erase" => EraseTenant, Callers, "Erase all content of a suspended tenant, for ever; operators only";
        "tenant" "cancel-erase" => CancelErasure, Callers, "Keep a tenant after all, while its content is not yet erased";
        "tenant" "carry-out-erasure" => CarryOutErasure, System, "Erase a tenant whose waiting time is over";
        "tenant" "record-destroyed" => RecordDestroyed, System, "Record which data keys of an erased tenant are gone";
    }
}

/// Opens a placed tenant in its shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTenant {
    /// IANA time zone of the tenant: days, weeks and months of its budgets follow it.
    pub timezone: String,
}

impl Body for OpenTenant {
    fn needs_open_tenant(&self) -> bool {
        false
    }
}

/// Stops everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendTenant {
    /// Reason, shown to everybody whom the tenant's suspension refuses.
    pub reason: String,
}

impl Body for SuspendTenant {}

/// Lets it act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeTenant {}

impl Body for ResumeTenant {}

/// Asks for a tenant's content to be erased: its data key and those of its people are destroyed when the waiting time
/// (`workers.erasure_wait`) is over. History, ids, counts and money stay, and so does the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseTenant {
    /// Name of the tenant once more, to confirm it.
    pub confirm: TenantId,
    /// Reason, for people; it is not erased, so name nobody in it.
    #[serde(default)]
    pub reason: String,
}

impl Body for EraseTenant {}

/// Takes it back, while there is time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelErasure {}

impl Body for CancelErasure {}

/// From now on nobody may read its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarryOutErasure {}

impl Body for CarryOutErasure {}

/// Records what is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDestroyed {
    /// Data keys that are gone.
    pub keys: Vec<DestroyedKey>,
    /// How many contents beside the log were removed; said when all keys are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<u64>,
}

impl Body for RecordDestroyed {}
