//! Signed states of tenants' trees: what an outsider holds a history against.

use serde::{Deserialize, Serialize};

use crate::digest::TreeHash;
use crate::id::TenantId;
use crate::quantity::{Position, SchemaVersion};

/// Events of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CheckpointEvent {
    /// Somebody wants this tenant's history signed up to here, without waiting for the next turn.
    Requested,
    /// A tenant's tree was signed. Stands in the tenant `steward`, in the stream named after the tenant.
    Signed {
        /// Whose tree.
        tenant: TenantId,
        /// How many commits are in it.
        size: u64,
        /// Its root.
        root: TreeHash,
        /// Where the last of these commits stands in the tenant's shard.
        position: Position,
        /// The checkpoint with its signature, as a C2SP signed note.
        note: String,
        /// What verifies the signature: `<name>+<hash>+<key>`.
        key: String,
    },
}

impl CheckpointEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}
