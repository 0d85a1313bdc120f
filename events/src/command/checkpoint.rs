//! Commands about checkpoints of the transparency log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::digest::TreeHash;
use crate::id::{StreamId, TenantId};
use crate::quantity::Position;

commands! {
    CheckpointCommand of Checkpoint {
        "checkpoint" "request" => RequestCheckpoint, Callers, "Have a tenant's history signed now";
        "checkpoint" "sign" => SignCheckpoint, System, "Record a signed state of a tenant's history";
    }
}

/// Has the tenant's history signed up to this command, at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestCheckpoint {}

impl Body for RequestCheckpoint {}

/// Records a signed state of a tenant's tree; sent to the tenant `steward`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignCheckpoint {
    /// Whose tree.
    pub tenant: TenantId,
    /// How many commits are in it.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
    /// Where the last of these commits stands in the tenant's shard.
    pub position: Position,
    /// The checkpoint with its signature, as a C2SP signed note.
    pub note: String,
    /// What verifies the signature.
    pub key: String,
}

impl Body for SignCheckpoint {
    fn stream(&self) -> StreamId {
        // One stream a tenant, named after it, as in the registry.
        crate::shard::registry_stream(&self.tenant).id
    }
}
