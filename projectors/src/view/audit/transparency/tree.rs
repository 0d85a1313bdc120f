//! A tenant's tree as its rows have it: nodes, the root of any size, and which leaf stands where.

use steward_events::BoxError;
use steward_events::digest::TreeHash;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_tlog::tile::Hashes;

use super::{Head, Leaf, ROW_HASHES, TransparencyRow, hashes_key, head_key, leaves_key};
use crate::engine::view_store::Snapshot;

/// A tenant's tree at one position of its shard.
pub struct StoredTree<'a> {
    rows: &'a Snapshot<'a>,
    tenant: &'a TenantId,
    head: Head,
}

impl<'a> StoredTree<'a> {
    /// The tree of `tenant` in `rows`; empty if nothing of it was recorded.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn of(rows: &'a Snapshot<'a>, tenant: &'a TenantId) -> Result<Self, BoxError> {
        let head = match rows.get(&head_key(tenant))? {
            Some(TransparencyRow::Head(head)) => head,
            _ => Head::default(),
        };
        Ok(Self { rows, tenant, head })
    }

    /// How far it is.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Which leaf is the commit at `position`, if it is in the tree.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn index_of(&self, position: Position) -> Result<Option<u64>, BoxError> {
        // The last row whose first leaf is not behind the position.
        let (mut low, mut high) = (0, self.head.size.div_ceil(ROW_HASHES));
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.leaves(middle)?.first() {
                Some(Leaf(first, _)) if *first <= position => low = middle,
                _ => high = middle,
            }
        }
        let leaves = self.leaves(low)?;
        let found = (low * ROW_HASHES..).zip(&leaves).find(|(_, Leaf(at, _))| *at == position);
        Ok(found.map(|(index, _)| index))
    }

    fn leaves(&self, row: u64) -> Result<Vec<Leaf>, BoxError> {
        Ok(match self.rows.get(&leaves_key(self.tenant, row))? {
            Some(TransparencyRow::Leaves(leaves)) => leaves,
            _ => Vec::new(),
        })
    }
}

impl Hashes for StoredTree<'_> {
    fn read(&self, level: u32, from: u64, to: u64) -> Result<Vec<TreeHash>, BoxError> {
        let mut hashes = Vec::new();
        for row in from / ROW_HASHES..to.div_ceil(ROW_HASHES) {
            let held: Vec<TreeHash> = match self.rows.get(&hashes_key(self.tenant, level, row))? {
                Some(TransparencyRow::Leaves(leaves)) => {
                    leaves.into_iter().map(|Leaf(_, node)| TreeHash(node.0)).collect()
                }
                Some(TransparencyRow::Nodes(nodes)) => nodes.into_iter().map(|node| TreeHash(node.0)).collect(),
                _ => return Ok(hashes),
            };
            let within = |index: &u64| (from..to).contains(index);
            hashes.extend((row * ROW_HASHES..).zip(held).filter(|(index, _)| within(index)).map(|(_, hash)| hash));
        }
        Ok(hashes)
    }
}
