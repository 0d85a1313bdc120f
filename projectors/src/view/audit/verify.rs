//! Checks every hash chain of a tenant, that its tree is the one that was signed, and that the log still holds what the
//! views have read.

use std::time::Duration;

use steward_events::digest::CommitHash;
use steward_events::digest::TreeHash;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::shard::registry_stream;
use steward_ports::log::{EventLog, Filter, Stored};
use steward_queries::{BrokenChain, CheckedCheckpoint, SignedCheckpoint, Verification};
use steward_tlog::{Checkpoint as State, Frontier, Note, VerifierKey, leaf};

use crate::chains::Chains;
use crate::engine::reading;
use crate::engine::view_store::Cursor;

/// The most breaks that are listed; the first ones matter.
pub const BROKEN_MAX: usize = 100;

/// What was seen of a tenant beside its commits.
pub struct Witnessed<'a> {
    /// What views of the tenant's shard have read: a chain alone cannot show that its end was cut off.
    pub views: &'a [(&'static str, Cursor)],
    /// What was signed of the tenant's tree, the smallest first.
    pub signed: &'a [SignedCheckpoint],
}

/// Reads all of `tenant`, which lives in `shard`, and where its name is registered, and holds it against what was
/// `witnessed`.
///
/// # Errors
/// If the log cannot be read.
pub async fn verify(
    log: &dyn EventLog,
    shard: Shard,
    tenant: &TenantId,
    witnessed: &Witnessed<'_>,
    time_max: Duration,
) -> Result<Verification, reading::Error> {
    let mut check = Check {
        found: Verification::default(),
        chains: Chains::default(),
        signed: witnessed.signed,
        tree: Frontier::default(),
    };
    let each = |stored: Stored| {
        let hash = check.chain(&stored);
        check.grow(shard, stored.position, &hash);
        true
    };
    reading::each(log, &Filter::shard(shard).tenant(tenant), Position(0), time_max, each).await?;
    if !tenant.is_steward() {
        let registered = Filter::stream(&registry_stream(tenant));
        let each = |stored: Stored| {
            check.chain(&stored);
            true
        };
        reading::each(log, &registered, Position(0), time_max, each).await?;
    }
    for signed in check.signed {
        let reason = format!(
            "log-went-back: a history of {} commits was signed, the log has {}",
            signed.size,
            check.tree.size()
        );
        check.broken(format!("tree of {tenant}"), signed.position, reason);
    }
    for (view, cursor) in witnessed.views {
        if cursor.position == Position(0) {
            continue;
        }
        let stored = log.at(shard, cursor.position).await?;
        if stored.is_none_or(|stored| CommitHash::of(&stored.bytes) != cursor.hash) {
            let reason = format!("log-went-back: {view} has read a commit here that the log no longer has");
            check.broken(format!("shard {shard}"), cursor.position, reason);
        }
    }
    check.found.chains = check.chains.count();
    Ok(check.found)
}

/// A check under way.
struct Check<'a> {
    found: Verification,
    chains: Chains,
    /// What was signed of larger trees than the one so far.
    signed: &'a [SignedCheckpoint],
    tree: Frontier,
}

impl Check<'_> {
    fn broken(&mut self, stream: String, position: Position, reason: String) {
        if self.found.broken.len() < BROKEN_MAX {
            self.found.broken.push(BrokenChain { stream, position, reason });
        }
    }

    fn chain(&mut self, stored: &Stored) -> CommitHash {
        self.found.commits += 1;
        let hash = CommitHash::of(&stored.bytes);
        for reason in self.chains.follow(&stored.stream, &stored.bytes, hash) {
            self.broken(format!("{}/{}", stored.stream.kind, stored.stream.id), stored.position, reason);
        }
        hash
    }

    fn grow(&mut self, shard: Shard, position: Position, hash: &CommitHash) {
        self.tree.push(TreeHash::leaf(&leaf(position, hash)));
        while let Some((signed, later)) = self.signed.split_first()
            && signed.size <= self.tree.size()
        {
            self.signed = later;
            match holds(signed, self.tree.root()) {
                Ok(()) => {
                    let SignedCheckpoint { size, root, key, .. } = signed.clone();
                    self.found.checkpoint = Some(CheckedCheckpoint { size, root, key });
                }
                Err(reason) => self.broken(format!("shard {shard}"), position, reason),
            }
        }
    }
}

/// Whether a checkpoint is signed and says this root.
fn holds(signed: &SignedCheckpoint, root: TreeHash) -> Result<(), String> {
    let of = |error: &dyn std::fmt::Display| format!("the checkpoint of {} commits: {error}", signed.size);
    let note: Note = signed.note.parse().map_err(|error| of(&error))?;
    let key: VerifierKey = signed.key.parse().map_err(|error| of(&error))?;
    key.verify(&note).map_err(|error| of(&error))?;
    let state = State::read(&note).map_err(|error| of(&error))?;
    if state.size != signed.size || state.root != root {
        return Err(of(&format!("another history was signed: its root is {}, that of the log is {root}", state.root)));
    }
    Ok(())
}
