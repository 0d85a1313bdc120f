//! The tree of RFC 6962: hashes of leaves and nodes, and a tree that only grows.

use steward_events::digest::TreeHash;

/// A tree that grows leaf by leaf, of which only the right edge is kept: one hash a bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the whole subtrees that the size is made of, the largest first.
    peaks: Vec<TreeHash>,
}

impl Frontier {
    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = TreeHash::node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root.
    pub fn root(&self) -> TreeHash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else { return TreeHash::empty() };
        peaks.fold(last, |right, left| TreeHash::node(&left, &right))
    }
}

/// The root of the whole subtree over `hashes`, whose number is a power of two.
pub(super) fn subtree(hashes: &[TreeHash]) -> TreeHash {
    let mut frontier = Frontier::default();
    for hash in hashes {
        frontier.push(*hash);
    }
    frontier.root()
}
