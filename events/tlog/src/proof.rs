//! Proofs of RFC 6962: that a leaf is in a tree, and that a tree goes on where an earlier one ended.
//!
//! They are made from whole subtrees, wherever these are kept ([`Nodes`]), and checked without any of them.

use steward_events::BoxError;
use steward_events::digest::TreeHash;

/// The most hashes of one proof: one a level, and one more.
pub const PROOF_HASHES_MAX: usize = 65;

/// Where whole subtrees come from.
pub trait Nodes {
    /// The root of the whole subtree over the leaves from `index << level` to `(index + 1) << level`.
    ///
    /// # Errors
    /// If it cannot be had.
    fn node(&self, level: u32, index: u64) -> Result<TreeHash, BoxError>;
}

/// Why a proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree has no such leaf, or no such earlier size.
    #[error("a tree of {size} leaves does not have {wanted}")]
    OutOfRange {
        /// How many leaves it has.
        size: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// A subtree could not be had.
    #[error("the tree cannot be read: {0}")]
    Unreadable(BoxError),
}

impl From<BoxError> for Error {
    fn from(error: BoxError) -> Self {
        Self::Unreadable(error)
    }
}

/// The root of the first `size` leaves.
///
/// # Errors
/// [`Error::Unreadable`].
pub fn root(nodes: &impl Nodes, size: u64) -> Result<TreeHash, Error> {
    if size == 0 { Ok(TreeHash::empty()) } else { range(nodes, 0, size) }
}

/// The proof that the leaf `index` is in the tree of `size` leaves.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::Unreadable`].
pub fn inclusion(nodes: &impl Nodes, index: u64, size: u64) -> Result<Vec<TreeHash>, Error> {
    if index >= size {
        return Err(Error::OutOfRange { size, wanted: index });
    }
    // Down from the root, the other side of each fork; the proof begins at the leaf.
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `size` leaves begins with the tree of `old` leaves.
///
/// # Errors
/// [`Error::OutOfRange`], [`Error::Unreadable`].
pub fn consistency(nodes: &impl Nodes, old: u64, size: u64) -> Result<Vec<TreeHash>, Error> {
    if old > size {
        return Err(Error::OutOfRange { size, wanted: old });
    }
    if old == 0 || old == size {
        return Ok(Vec::new());
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end != old {
        let middle = begin + split(end - begin);
        if old <= middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    // The old tree's root is known to the checker, unless it is made of several subtrees.
    if begin > 0 {
        path.push(range(nodes, begin, end)?);
    }
    path.reverse();
    Ok(path)
}

/// True if `proof` shows that `leaf` is the leaf `index` of the tree of `size` leaves with this `root`.
pub fn includes(leaf: TreeHash, index: u64, size: u64, proof: &[TreeHash], root: TreeHash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for other in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = TreeHash::node(other, &hash);
            // Up to where this is a right child; the levels between have no sibling.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = TreeHash::node(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// True if `proof` shows that the tree of `size` leaves with `root` begins with the tree of `old` leaves with `old_root`.
pub fn goes_on(old: u64, old_root: TreeHash, size: u64, root: TreeHash, proof: &[TreeHash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return proof.is_empty() && old_root == root;
    }
    if old == 0 {
        return proof.is_empty() && old_root == TreeHash::empty();
    }
    let (mut at, mut last) = (old - 1, size - 1);
    let levels = at.trailing_ones();
    at = at.checked_shr(levels).unwrap_or(0);
    last = last.checked_shr(levels).unwrap_or(0);
    // An old tree that is one whole subtree stands for itself.
    let (first, rest) = if at == 0 {
        (old_root, proof)
    } else {
        let Some((first, rest)) = proof.split_first() else { return false };
        (*first, rest)
    };
    let (mut before, mut now) = (first, first);
    for other in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = TreeHash::node(other, &before);
            now = TreeHash::node(other, &now);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            now = TreeHash::node(&now, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && before == old_root && now == root
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The hash over the leaves from `begin` to `end`: of a whole subtree, or of a tree's right edge.
fn range(nodes: &impl Nodes, begin: u64, end: u64) -> Result<TreeHash, Error> {
    let count = end - begin;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return Ok(nodes.node(level, begin >> level)?);
    }
    let middle = begin + split(count);
    Ok(TreeHash::node(&range(nodes, begin, middle)?, &range(nodes, middle, end)?))
}

#[cfg(test)]
mod tests;
