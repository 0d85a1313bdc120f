//! A tenant's life.

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::quantity::SchemaVersion;

/// Events of a tenant's life and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum TenantEvent {
    /// The tenant may be used.
    Created {
        /// Name of the tenant.
        tenant: TenantId,
        /// IANA name of the time zone its budget windows turn in.
        timezone: String,
    },
    /// Nothing of it may act until it is resumed.
    Suspended {
        /// Reason, shown to everybody whom the tenant's suspension refuses.
        reason: String,
    },
    /// It may act again.
    Resumed,
}

impl TenantEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}
