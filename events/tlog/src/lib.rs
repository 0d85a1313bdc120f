//! Proof that a tenant's history is whole: an RFC 6962 tree over its commits, and signed checkpoints of that tree.
//!
//! Pure: knows trees, tiles, notes and what a leaf is; must not know the log, a store or a file. Formats are those of
//! C2SP (signed-note, tlog-checkpoint, tlog-tiles), so that tools of others can check what is written here.
//! docs/AUDIT.md tells what is proven and what is not.

use steward_events::digest::CommitHash;
use steward_events::id::TenantId;
use steward_events::quantity::Position;

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;

pub use checkpoint::Checkpoint;
pub use merkle::Frontier;
pub use note::{Note, SigningKey, VerifierKey};

/// The bytes of one leaf before hashing.
pub const LEAF_BYTES: usize = 40;

/// What stands in a tenant's tree for one commit: its position in the shard (8 bytes, big-endian), then the BLAKE3 of
/// its bytes as stored. Those bytes name tenant, stream, version and the commit before, so the leaf binds these too;
/// the position binds the order over all streams.
pub fn leaf(position: Position, hash: &CommitHash) -> [u8; LEAF_BYTES] {
    let mut leaf = [0; LEAF_BYTES];
    let (front, back) = leaf.split_at_mut(8);
    front.copy_from_slice(&position.0.to_be_bytes());
    back.copy_from_slice(hash.as_bytes());
    leaf
}

/// The origin of `tenant`'s checkpoints in the installation called `name`; also the name of the key that signs them.
pub fn origin(name: &str, tenant: &TenantId) -> String {
    format!("{name}/{tenant}")
}
