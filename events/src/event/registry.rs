//! Where tenants are: recorded before anything is written for them.

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::quantity::{SchemaVersion, Shard};

/// Events of one tenant's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum RegistryEvent {
    /// The name is taken and the tenant lives in this shard, for ever.
    TenantPlaced {
        /// The tenant.
        tenant: TenantId,
        /// The shard that holds all its streams.
        shard: Shard,
        /// IANA name of the time zone its budget windows turn in.
        timezone: String,
    },
    /// The tenant was erased. Its name stays taken.
    TenantErased {
        /// The tenant.
        tenant: TenantId,
    },
}

impl RegistryEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}
