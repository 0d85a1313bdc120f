//! Queries about the proof of a history: trees, checkpoints, proofs, and the commits themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use steward_events::digest::TreeHash;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::timestamp::Timestamp;

/// Asks for a check of all chains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyQuery {}

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Commits read.
    pub commits: u64,
    /// Streams, each one hash chain.
    pub chains: u64,
    /// What is wrong; empty if every chain is whole.
    pub broken: Vec<BrokenChain>,
    /// The newest signed checkpoint whose tree is that of these commits; none if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckedCheckpoint>,
}

/// One break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenChain {
    /// The stream.
    pub stream: String,
    /// Where in the shard.
    pub position: Position,
    /// What is wrong.
    pub reason: String,
}

/// A checkpoint that a check of the whole log has met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedCheckpoint {
    /// How many commits it covers.
    pub size: u64,
    /// Their root.
    pub root: TreeHash,
    /// The key that has signed it.
    pub key: String,
}

/// Asks for signed checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointsQuery {
    /// Those of larger trees than this.
    pub after: u64,
    /// Only the newest.
    pub newest: bool,
    /// At most so many (1000 at most).
    pub count_max: Option<u32>,
    /// Answer only from a state of the tenant steward's shard that includes this position.
    pub min_position: Option<Position>,
}

/// Signed checkpoints, the smallest tree first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoints {
    /// The checkpoints.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// Ask again with `after` set to this; none at the end.
    pub next: Option<u64>,
}

/// One signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedCheckpoint {
    /// How many commits it covers.
    pub size: u64,
    /// Their root.
    pub root: TreeHash,
    /// Where the last of them stands in the tenant's shard.
    pub position: Position,
    /// When it was recorded.
    pub at: Timestamp,
    /// The checkpoint with its signature, as a C2SP signed note.
    pub note: String,
    /// What verifies the signature.
    pub key: String,
}

/// Asks for the state of a tenant's tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TreeQuery {
    /// Also prove that the tree goes on from this earlier size.
    pub from: Option<u64>,
    /// Answer only from a state that includes this position.
    pub min_position: Option<Position>,
}

/// A tenant's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeState {
    /// How many commits are in it.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
    /// Where the last commit stands in the tenant's shard.
    pub position: Position,
    /// The proof of consistency with the earlier size that was asked for.
    pub consistency: Vec<TreeHash>,
}

/// Asks for a tile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TileQuery {
    /// Its level: 0 holds leaves.
    pub level: u32,
    /// Which one of the level.
    pub index: u64,
    /// Of the tree of this size; as it is now if left out.
    pub size: Option<u64>,
}

/// A tile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TileHashes {
    /// Its file's name as C2SP tlog-tiles lays a log out.
    pub path: String,
    /// Its hashes, 1 to 256.
    pub hashes: Vec<TreeHash>,
}

/// Asks for an inclusion proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InclusionQuery {
    /// Where the commit stands in the tenant's shard.
    pub position: Position,
    /// In the tree of this size; in the newest signed one that holds it if left out.
    pub size: Option<u64>,
}

/// The proof that a commit is in a tree. It can be handed on: with the commit's bytes, or their BLAKE3, and the key that
/// signs, it is verified without anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Whose commit.
    pub tenant: TenantId,
    /// Where it stands in the shard.
    pub position: Position,
    /// BLAKE3 of its bytes, as hex.
    pub commit: String,
    /// Which leaf it is, from 0.
    pub index: u64,
    /// Of how many.
    pub size: u64,
    /// The tree's root.
    pub root: TreeHash,
    /// The proof, from the leaf up.
    pub path: Vec<TreeHash>,
    /// The signed note that vouches for the root; none if this size was not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// Asks for a consistency proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsistencyQuery {
    /// From the tree of this size …
    pub from: u64,
    /// … to the tree of this size; as it is now if left out.
    pub to: Option<u64>,
}

/// The proof that one tree begins with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsistencyProof {
    /// The smaller size.
    pub from: u64,
    /// Its root.
    pub from_root: TreeHash,
    /// The larger size.
    pub to: u64,
    /// Its root.
    pub to_root: TreeHash,
    /// The proof.
    pub path: Vec<TreeHash>,
}

/// Asks for commits as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommitsQuery {
    /// After this position.
    pub after: Position,
    /// At most so many (1000 at most).
    pub count_max: Option<u32>,
}

/// Commits as stored, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commits {
    /// The commits.
    pub commits: Vec<StoredCommit>,
    /// Ask again with `after` set to this; none at the end.
    pub next: Option<Position>,
}

/// One commit as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredCommit {
    /// Its stream: `evt.<shard>.<tenant>.<aggregate>.<id>`.
    pub subject: String,
    /// Where it stands in the shard.
    pub position: Position,
    /// Its bytes, as base64.
    pub bytes: String,
}

/// Asks which tenants' trees have grown since they were signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DueQuery {
    /// Of this shard.
    pub shard: u16,
    /// After this tenant, in the order of names.
    pub after: Option<TenantId>,
}

/// Tenants whose trees have grown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Due {
    /// The tenants.
    pub tenants: Vec<TenantId>,
    /// Ask again with `after` set to this; none at the end.
    pub next: Option<TenantId>,
}
