//! Commands about the names of tenants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::id::{StreamId, TenantId};
use crate::scope::Scope;

commands! {
    RegistryCommand of Registry {
        "tenant" "create" => CreateTenant, Callers, "Create a tenant";
        "tenant" "retire" => RetireTenant, System, "Keep the name of an erased tenant taken, and say so";
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Takes the name and a place; sent to the tenant `steward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Name of the tenant; it never changes.
    pub tenant: TenantId,
    /// IANA time zone of the tenant: days, weeks and months of its budgets follow it.
    #[serde(default = "utc")]
    pub timezone: String,
}

impl Body for CreateTenant {
    fn stream(&self) -> StreamId {
        crate::shard::registry_stream(&self.tenant).id
    }
    fn scope(&self, _: &TenantId) -> Scope {
        Scope::everything()
    }
}

/// Says that the tenant of this name was erased; sent to the tenant `steward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireTenant {
    /// Name of the tenant.
    pub tenant: TenantId,
}

impl Body for RetireTenant {
    fn stream(&self) -> StreamId {
        crate::shard::registry_stream(&self.tenant).id
    }
    fn scope(&self, _: &TenantId) -> Scope {
        Scope::everything()
    }
}
