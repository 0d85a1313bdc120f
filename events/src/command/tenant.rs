//! Orders about tenants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::ContentMode;
use crate::id::{StreamId, TenantId};
use crate::scope::Scope;

fn utc() -> String {
    "UTC".to_owned()
}

/// Takes the name and a place; sent to the tenant `steward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its name, for ever.
    pub tenant: TenantId,
    /// IANA time zone in which its budget windows turn.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Whether prompts and answers are kept.
    #[serde(default)]
    pub content: ContentMode,
}

impl Body for CreateTenant {
    fn stream(&self) -> StreamId {
        crate::shard::registry_stream(&self.tenant).id
    }
    fn scope(&self, _: &TenantId) -> Scope {
        Scope::everything()
    }
}

/// Opens a placed tenant in its shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTenant {
    /// IANA time zone in which its budget windows turn.
    pub timezone: String,
    /// Whether prompts and answers are kept.
    pub content: ContentMode,
}

impl Body for OpenTenant {}

/// Stops everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendTenant {
    /// Why, for its administrators.
    pub reason: String,
}

impl Body for SuspendTenant {}

/// Lets it act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeTenant {}

impl Body for ResumeTenant {}
