//! Commands about tenants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;

commands! {
    TenantCommand of Tenant {
        "tenant" "open" => OpenTenant, System, "Open a tenant that was placed";
        "tenant" "suspend" => SuspendTenant, Callers, "Stop everything that a tenant does, until the tenant is resumed";
        "tenant" "resume" => ResumeTenant, Callers, "Let a suspended tenant act again";
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
