//! Refusals worth keeping.

use serde::{Deserialize, Serialize};

use crate::id::PrincipalId;
use crate::permission::Permission;
use crate::quantity::SchemaVersion;
use crate::scope::Scope;

/// Events of refusals. One writer a journal, at a bounded rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum DenialEvent {
    /// Somebody was told no.
    Denied {
        /// Who.
        principal: PrincipalId,
        /// What they wanted.
        permission: Permission,
        /// Where.
        scope: Scope,
        /// Why not.
        reason: String,
        /// How many more of the same were left out since the last one kept.
        more: u64,
    },
}

impl DenialEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}
