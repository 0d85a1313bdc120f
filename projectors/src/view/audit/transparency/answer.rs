//! Answers about trees and checkpoints, from rows.

use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_queries::{
    Checkpoints, CheckpointsQuery, ConsistencyProof, ConsistencyQuery, Due, DueQuery, InclusionProof, SignedCheckpoint,
    TileHashes, TileQuery, TreeQuery, TreeState,
};
use steward_tlog::proof;
use steward_tlog::tile::{Hashes, LEVELS_MAX, TILE_WIDTH, tile_of};

use super::{StoredTree, TransparencyRow, newest_key, signed_key, signed_prefix};
use crate::engine::view_store::Snapshot;

/// The most checkpoints of one answer.
const CHECKPOINTS_MAX: u32 = 1_000;

/// The most tenants that are looked at for one answer.
const TENANTS_MAX: usize = 1_000;

/// A tenant, and up to which size its tree is worth signing.
type Worth = (TenantId, u64);

/// An answer, or why there is none.
type TreeAnswer<T> = Result<Result<T, Rejection>, BoxError>;

macro_rules! proven {
    ($proof:expr) => {
        match $proof {
            Ok(proof) => proof,
            Err(error @ proof::Error::OutOfRange { .. }) => {
                return Ok(Err(Rejection::invalid("size", error.to_string())));
            }
            Err(proof::Error::Unreadable(error)) => return Err(error),
        }
    };
}

/// The tree of `tenant` now, and that it goes on from the earlier size that was asked for.
///
/// # Errors
/// If the store cannot be read.
pub fn tree_state(rows: &Snapshot<'_>, tenant: &TenantId, query: &TreeQuery) -> TreeAnswer<TreeState> {
    let tree = StoredTree::of(rows, tenant)?;
    let head = tree.head();
    let consistency = match query.from {
        Some(from) => proven!(proof::consistency(&tree, from, head.size)),
        None => Vec::new(),
    };
    let root = proven!(proof::root(&tree, head.size));
    Ok(Ok(TreeState { size: head.size, root, position: head.position, consistency }))
}

/// One tile of the tree of `tenant`.
///
/// # Errors
/// If the store cannot be read.
pub fn tile(rows: &Snapshot<'_>, tenant: &TenantId, query: &TileQuery) -> TreeAnswer<TileHashes> {
    let tree = StoredTree::of(rows, tenant)?;
    let size = query.size.unwrap_or(tree.head().size);
    let first = query.index.checked_mul(TILE_WIDTH);
    let known = query.level < LEVELS_MAX && size <= tree.head().size;
    let tile = first.filter(|_| known).and_then(|first| tile_of(query.level, first, size));
    let (Some(tile), Some(first)) = (tile, first) else {
        return Ok(Err(Rejection::not_found("tile", &format!("{}/{}", query.level, query.index))));
    };
    let hashes = tree.read(tile.level, first, first + tile.width)?;
    Ok(Ok(TileHashes { path: tile.path(), hashes }))
}

/// The proof that the commit at `position` is in the tree of `tenant` of `size` commits, still without the commit's own
/// hash and without a checkpoint: these are elsewhere.
///
/// # Errors
/// If the store cannot be read.
pub fn inclusion(
    rows: &Snapshot<'_>,
    tenant: &TenantId,
    position: Position,
    size: Option<u64>,
) -> TreeAnswer<InclusionProof> {
    let tree = StoredTree::of(rows, tenant)?;
    let size = size.unwrap_or(tree.head().size);
    if size > tree.head().size {
        return Ok(Err(Rejection::invalid("size", format!("the tree has {} commits", tree.head().size))));
    }
    let Some(index) = tree.index_of(position)? else {
        return Ok(Err(Rejection::not_found("commit", &position)));
    };
    let path = proven!(proof::inclusion(&tree, index, size));
    let root = proven!(proof::root(&tree, size));
    let tenant = tenant.clone();
    Ok(Ok(InclusionProof { tenant, position, commit: String::new(), index, size, root, path, checkpoint: None }))
}

/// The proof that the tree of `tenant` only grew.
///
/// # Errors
/// If the store cannot be read.
pub fn consistency(rows: &Snapshot<'_>, tenant: &TenantId, query: &ConsistencyQuery) -> TreeAnswer<ConsistencyProof> {
    let tree = StoredTree::of(rows, tenant)?;
    let (from, to) = (query.from, query.to.unwrap_or(tree.head().size));
    if to > tree.head().size {
        return Ok(Err(Rejection::invalid("to", format!("the tree has {} commits", tree.head().size))));
    }
    let path = proven!(proof::consistency(&tree, from, to));
    let (from_root, to_root) = (proven!(proof::root(&tree, from)), proven!(proof::root(&tree, to)));
    Ok(Ok(ConsistencyProof { from, from_root, to, to_root, path }))
}

/// Checkpoints of `tenant`, from the rows of the tenant steward's shard.
///
/// # Errors
/// If the store cannot be read.
pub fn checkpoints(rows: &Snapshot<'_>, tenant: &TenantId, query: &CheckpointsQuery) -> Result<Checkpoints, BoxError> {
    if query.newest {
        let newest = newest_checkpoint(rows, tenant)?.filter(|signed| signed.size > query.after);
        return Ok(Checkpoints { checkpoints: newest.into_iter().collect(), next: None });
    }
    let count_max = query.count_max.unwrap_or(CHECKPOINTS_MAX).clamp(1, CHECKPOINTS_MAX);
    let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
    let mut page = Checkpoints::default();
    rows.scan(&signed_prefix(tenant), Some(&signed_key(tenant, query.after)), |_, row: TransparencyRow| {
        let TransparencyRow::Signed(signed) = row else { return true };
        if page.checkpoints.len() == count_max {
            page.next = page.checkpoints.last().map(|last: &SignedCheckpoint| last.size);
            return false;
        }
        page.checkpoints.push(signed);
        true
    })?;
    Ok(page)
}

/// The newest checkpoint of `tenant`, from the rows of the tenant steward's shard.
///
/// # Errors
/// If the store cannot be read.
pub fn newest_checkpoint(rows: &Snapshot<'_>, tenant: &TenantId) -> Result<Option<SignedCheckpoint>, BoxError> {
    let Some(TransparencyRow::Newest(size)) = rows.get(&newest_key(tenant))? else { return Ok(None) };
    Ok(match rows.get(&signed_key(tenant, size))? {
        Some(TransparencyRow::Signed(signed)) => Some(signed),
        _ => None,
    })
}

/// The trees of a shard and up to which size each is worth signing, one page.
///
/// # Errors
/// If the store cannot be read.
pub fn grown(rows: &Snapshot<'_>, query: &DueQuery) -> Result<(Vec<Worth>, Option<TenantId>), BoxError> {
    let mut trees = Vec::new();
    let mut at = query.after.as_ref().map(|tenant| tenant.as_str().to_owned());
    for _ in 0..TENANTS_MAX {
        let Some(name) = rows.next_tenant(at.as_deref())? else { return Ok((trees, None)) };
        if let Ok(tenant) = TenantId::new(&name) {
            let worth = StoredTree::of(rows, &tenant)?.head().worth;
            if worth > 0 {
                trees.push((tenant, worth));
            }
        }
        at = Some(name);
    }
    Ok((trees, at.and_then(|name| TenantId::new(name).ok())))
}

/// Which of `trees` have not been signed as far as they are worth, from the rows of the tenant steward's shard.
///
/// # Errors
/// If the store cannot be read.
pub fn due(rows: &Snapshot<'_>, trees: Vec<Worth>, next: Option<TenantId>) -> Result<Due, BoxError> {
    let mut due = Due { tenants: Vec::new(), next };
    for (tenant, worth) in trees {
        let signed = match rows.get(&newest_key(&tenant))? {
            Some(TransparencyRow::Newest(size)) => size,
            _ => 0,
        };
        if signed < worth {
            due.tenants.push(tenant);
        }
    }
    Ok(due)
}
