//! The transparency log: a tree over each tenant's commits, in the order of the log, and what was signed of it.
//!
//! Knows how hashes are kept as rows; must not know who signs. A commit costs one hash of its bytes and one of its leaf
//! here: nothing is decoded but checkpoints, and nodes above the leaves are made when a tile is full or somebody asks.

use serde::{Deserialize, Serialize};

use steward_events::commit::{DecodeError, Recorded};
use steward_events::digest::CommitHash;
use steward_events::digest::HASH_BYTES;
use steward_events::digest::TreeHash;
use steward_events::event::{AggregateKind, CheckpointEvent};
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::stream::StreamName;
use steward_ports::log::Stored;
use steward_queries::SignedCheckpoint;
use steward_tlog::tile::{TILE_HEIGHT, TILE_WIDTH};
use steward_tlog::{Frontier, leaf};

use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::rows::Rows;

mod answer;
mod tree;

pub use answer::{checkpoints, consistency, due, grown, inclusion, newest_checkpoint, tile, tree_state};
pub use tree::StoredTree;

/// Hashes of one row: few enough that a commit rewrites little, enough that rows are not all keys.
pub(super) const ROW_HASHES: u64 = 16;

/// The fold.
pub struct Transparency;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransparencyRow {
    /// How far a tenant's tree is.
    Head(Head),
    /// Leaves: the positions of their commits, and their hashes.
    Leaves(Vec<Leaf>),
    /// Roots of whole tiles of the level below.
    Nodes(Vec<Node>),
    /// A signed checkpoint; in the shard of the tenant steward, under the tenant that it is about.
    Signed(SignedCheckpoint),
    /// The size of the newest signed checkpoint.
    Newest(u64),
}

/// How far a tenant's tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many commits are in it.
    pub size: u64,
    /// Up to which size it is worth signing: all of it, but for the signatures of this very tree.
    pub worth: u64,
    /// Where the last commit stands.
    pub position: Position,
}

/// One leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf(pub Position, pub Node);

/// A hash as rows have it: bytes, not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node(#[serde(with = "serde_bytes")] pub [u8; HASH_BYTES]);

impl Projector for Transparency {
    const NAME: &'static str = "transparency-v1";
    type Row = TransparencyRow;
    // A row is read again rarely: when a tile is full, and after this bound by the next commit of its tenant.
    const ROWS_HELD_MAX: usize = 2_000;

    fn take(stored: &Stored, rows: &mut Rows<TransparencyRow>) -> Result<(), DecodeError> {
        append(&stored.stream, stored.position, &CommitHash::of(&stored.bytes), rows);
        if stored.stream.kind == AggregateKind::Checkpoint {
            for recorded in stored.commit()?.recorded(stored.position) {
                Self::apply(&recorded, rows);
            }
        }
        Ok(())
    }

    reads!(Checkpoint => note_signature);
}

fn note_signature(event: &CheckpointEvent, recorded: &Recorded<'_>, rows: &mut Rows<TransparencyRow>) {
    // In another tenant's stream a signature would be somebody's own invention; deciders do not record one there.
    if !recorded.stream.tenant.is_steward() {
        return;
    }
    match event {
        CheckpointEvent::Signed { tenant, size, root, position, note, key } => {
            let signed = SignedCheckpoint {
                size: *size,
                root: *root,
                position: *position,
                at: recorded.entry.at,
                note: note.clone(),
                key: key.clone(),
            };
            sign(tenant, signed, rows);
        }
        CheckpointEvent::Requested => {}
    }
}

fn sign(tenant: &TenantId, signed: SignedCheckpoint, rows: &mut Rows<TransparencyRow>) {
    let newest = rows.row(&newest_key(tenant));
    let size = match newest {
        Some(TransparencyRow::Newest(size)) => (*size).max(signed.size),
        _ => signed.size,
    };
    *newest = Some(TransparencyRow::Newest(size));
    let key = signed_key(tenant, signed.size);
    *rows.row(&key) = Some(TransparencyRow::Signed(signed));
}

/// Appends a leaf, and the roots of the tiles that are full with it.
fn append(stream: &StreamName, position: Position, hash: &CommitHash, rows: &mut Rows<TransparencyRow>) {
    let tenant = &stream.tenant;
    let TransparencyRow::Head(head) = rows.row(&head_key(tenant)).get_or_insert(TransparencyRow::Head(Head::default()))
    else {
        return;
    };
    let index = head.size;
    head.size += 1;
    head.position = position;
    // Signing the tree of the tenant steward is recorded in that tree: without this it would never end.
    let of_itself = tenant.is_steward()
        && stream.kind == AggregateKind::Checkpoint
        && stream.id.as_str() == TenantId::steward().as_str();
    if !of_itself {
        head.worth = head.size;
    }
    let leaf = Leaf(position, Node(TreeHash::leaf(&leaf(position, hash)).0));
    if let TransparencyRow::Leaves(leaves) =
        rows.row(&leaves_key(tenant, index / ROW_HASHES)).get_or_insert(TransparencyRow::Leaves(vec![]))
    {
        leaves.push(leaf);
    }
    let (mut level, mut count) = (0, index + 1);
    while count.is_multiple_of(TILE_WIDTH) {
        let root = tile_root(tenant, level, count / TILE_WIDTH - 1, rows);
        level += 1;
        count /= TILE_WIDTH;
        let key = nodes_key(tenant, level, (count - 1) / ROW_HASHES);
        if let TransparencyRow::Nodes(nodes) = rows.row(&key).get_or_insert(TransparencyRow::Nodes(vec![])) {
            nodes.push(Node(root.0));
        }
    }
}

/// The root of the whole tile `index` of `level`.
fn tile_root(tenant: &TenantId, level: u32, index: u64, rows: &mut Rows<TransparencyRow>) -> TreeHash {
    let first = index * TILE_WIDTH / ROW_HASHES;
    let mut frontier = Frontier::default();
    for row in first..first + TILE_WIDTH / ROW_HASHES {
        match rows.peek(&hashes_key(tenant, level, row)).as_deref() {
            Some(TransparencyRow::Leaves(leaves)) => {
                for Leaf(_, node) in leaves {
                    frontier.push(TreeHash(node.0));
                }
            }
            Some(TransparencyRow::Nodes(nodes)) => nodes.iter().for_each(|node| frontier.push(TreeHash(node.0))),
            _ => {}
        }
    }
    frontier.root()
}

fn head_key(tenant: &TenantId) -> Key {
    Key::of(tenant).text("head")
}

fn newest_key(tenant: &TenantId) -> Key {
    Key::of(tenant).text("newest")
}

fn signed_prefix(tenant: &TenantId) -> Key {
    Key::of(tenant).text("signed")
}

fn signed_key(tenant: &TenantId, size: u64) -> Key {
    signed_prefix(tenant).number(size)
}

fn leaves_key(tenant: &TenantId, row: u64) -> Key {
    Key::of(tenant).text("leaves").number(row)
}

fn nodes_key(tenant: &TenantId, level: u32, row: u64) -> Key {
    Key::of(tenant).text("nodes").number(u64::from(level)).number(row)
}

fn hashes_key(tenant: &TenantId, level: u32, row: u64) -> Key {
    if level == 0 { leaves_key(tenant, row) } else { nodes_key(tenant, level, row) }
}

// A tile's height and width say the same.
const _: () = assert!(1 << TILE_HEIGHT == TILE_WIDTH && TILE_WIDTH.is_multiple_of(ROW_HASHES));
