//! A tenant's life.

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::quantity::SchemaVersion;
use crate::sealed::DestroyedKey;

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
    /// An operator asked for its content to be erased, which can be cancelled for a while.
    ErasureAsked {
        /// Reason, for people.
        reason: String,
    },
    /// It is not erased after all.
    ErasureCancelled,
    /// Nobody may read its content from now on, for good.
    Erased,
    /// Data keys of it that are gone, and what was kept beside the log: the proof, in one event or several.
    Destroyed {
        /// Keys, each in one event only.
        keys: Vec<DestroyedKey>,
        /// Contents beside the log that were removed; said when all keys are gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contents: Option<u64>,
    },
}

impl TenantEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}
