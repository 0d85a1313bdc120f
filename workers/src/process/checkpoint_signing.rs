//! Trees are signed: what has grown since its last checkpoint at every turn, and at once what somebody asks for.
//!
//! Knows what was signed and asked for, from a fold of the log; trees it asks of the read models. A tree that does not
//! go on from what was signed before is not signed: its history was rewritten, and that is said. The tenant steward's
//! own tree grows by every signature; the read models do not call it grown by its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use steward_events::BoxError;
use steward_events::command::SignCheckpoint;
use steward_events::commit::Recorded;
use steward_events::digest::TreeHash;
use steward_events::event::{AggregateKind, CheckpointEvent};
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::shard::STEWARD_SHARD;
use steward_events::view::{Reads, View};
use steward_ports::live::{Live, NotFresh};
use steward_queries::{Due, DueQuery, TreeQuery, TreeState};
use steward_tlog::{Checkpoint, SigningKey, origin, proof};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Transparency;
use crate::dispatch::{Cause, Dispatch};
use crate::process::Error;
use crate::{WorkerPorts, wake};

mod witness;

use witness::Witness;

/// Trees signed at once.
const SIGNING_MAX: usize = 8;
/// How long to wait before what went wrong is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// How long after a start the first turn is, if turns are not quicker: the first seconds belong to others.
const FIRST_TURN: Duration = Duration::from_secs(5);
/// However often the configuration wants it, not more often than this.
const EVERY_MIN: Duration = Duration::from_millis(20);
/// How long a signature may take to be seen in the log after it was recorded.
const SEEN_TIME_MAX: Duration = Duration::from_secs(10);

/// The key of this installation's checkpoints, and what it is called.
#[derive(Clone, Debug)]
pub struct Notary {
    /// Signs.
    pub key: SigningKey,
    /// Begins the origin of every tenant's checkpoints, e.g. `steward.example.com`.
    pub name: String,
}

/// What was signed last of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) size: u64,
    pub(crate) root: TreeHash,
    pub(crate) position: Position,
    pub(crate) note: String,
}

/// What was signed, and up to where somebody wants it to be.
#[derive(Debug, Default)]
pub(crate) struct CheckpointState {
    pub(crate) signed: BTreeMap<TenantId, Signed>,
    wanted: BTreeMap<TenantId, Position>,
}

impl CheckpointState {
    fn want(&mut self, tenant: &TenantId, position: Position) {
        // These events stand in different shards, which are folded side by side.
        if self.signed.get(tenant).is_none_or(|signed| signed.position < position) {
            self.wanted.insert(tenant.clone(), position);
        }
    }

    fn sign(&mut self, tenant: &TenantId, signed: Signed) {
        if self.wanted.get(tenant).is_some_and(|wanted| *wanted <= signed.position) {
            self.wanted.remove(tenant);
        }
        self.signed.insert(tenant.clone(), signed);
    }
}

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = CheckpointState::KINDS;

steward_events::view!(CheckpointState, reads CheckpointEvent);

impl Reads<CheckpointEvent> for CheckpointState {
    fn read(&mut self, event: &CheckpointEvent, recorded: &Recorded<'_>) {
        match event {
            CheckpointEvent::Requested => self.want(&recorded.stream.tenant, recorded.position),
            CheckpointEvent::Signed { tenant, size, root, position, note, .. } => {
                if recorded.stream.tenant.is_steward() {
                    let signed = Signed { size: *size, root: *root, position: *position, note: note.clone() };
                    self.sign(tenant, signed);
                }
            }
        }
    }
}

/// Signs trees and hands checkpoints to witnesses until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, config: Transparency, shutdown: CancellationToken) -> Result<(), Error> {
    let live = Arc::new(Live::<CheckpointState>::start(ports.log.clone(), ports.clock.clone()));
    let mut witnesses = JoinSet::new();
    for place in &config.witnesses {
        match Witness::new(place, &ports.notary.name) {
            Ok(witness) => _ = witnesses.spawn(witness.follow(Arc::clone(&live))),
            Err(error) => tracing::error!(witness = %place, %error, "this witness gets no checkpoints"),
        }
    }
    let signer = Signer { dispatch: Dispatch::new(&ports), live, ports, rewritten: Mutex::default() };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        stopped = signer.sign_as_they_grow(config.checkpoint_every) => Err(stopped.into()),
    }
}

struct Signer {
    ports: WorkerPorts,
    dispatch: Dispatch,
    live: Arc<Live<CheckpointState>>,
    /// Tenants whose history contradicts what was signed; said once each.
    rewritten: Mutex<BTreeSet<TenantId>>,
}

impl Signer {
    async fn sign_as_they_grow(&self, every: Duration) -> NotFresh {
        // Without the whole past, what was signed would be signed again.
        if let Err(stopped) = wake::caught_up(&self.live).await {
            return stopped;
        }
        let every = every.max(EVERY_MIN);
        let mut turn = Instant::now() + every.min(FIRST_TURN);
        loop {
            let seen = self.live.positions();
            if let Some(why) = self.live.stopped() {
                return NotFresh::Stopped(why);
            }
            let wanted: Vec<_> = self.live.read().wanted.iter().map(|(t, at)| (t.clone(), Some(*at))).collect();
            let mut well = self.sign_all(wanted).await;
            if Instant::now() >= turn {
                well &= self.turn().await;
                turn = Instant::now() + every;
            }
            let pause = if well { wake::IDLE_MAX } else { RETRY_PAUSE };
            wake::moved(&self.live, &seen, pause.min(turn.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Signs every tree that has grown. True if nothing went wrong.
    async fn turn(&self) -> bool {
        let mut well = true;
        for shard in 0..self.ports.log.shards() {
            let mut query = DueQuery { shard, after: None };
            loop {
                let due: Due = match self.dispatch.query(&TenantId::steward(), "audit", "due", &query).await {
                    Ok(due) => due,
                    Err(error) => {
                        tracing::debug!(shard, %error, "which trees have grown is not known now");
                        return false;
                    }
                };
                well &= self.sign_all(due.tenants.into_iter().map(|tenant| (tenant, None)).collect()).await;
                match due.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        well
    }

    async fn sign_all(&self, trees: Vec<(TenantId, Option<Position>)>) -> bool {
        let signed = stream::iter(trees).map(|(tenant, up_to)| async move {
            let signed = self.sign(&tenant, up_to).await;
            signed.inspect_err(|error| tracing::warn!(tenant.id = %tenant, %error, "tree not signed yet")).is_ok()
        });
        signed.buffer_unordered(SIGNING_MAX).fold(true, |well, signed| async move { well && signed }).await
    }

    /// Signs the tree of `tenant` as it is, at least `up_to` there.
    async fn sign(&self, tenant: &TenantId, up_to: Option<Position>) -> Result<(), BoxError> {
        let before = self.live.read().signed.get(tenant).cloned();
        let query = TreeQuery { from: before.as_ref().map(|signed| signed.size), min_position: up_to };
        let tree: TreeState = self.dispatch.query(tenant, "audit", "tree", &query).await?;
        if let Some(before) = &before {
            if tree.size == before.size && tree.root == before.root {
                return Ok(());
            }
            if !proof::goes_on(before.size, before.root, tree.size, tree.root, &tree.consistency) {
                self.refuse(tenant, before, &tree);
                return Ok(());
            }
        }
        let Notary { key, name } = &*self.ports.notary;
        let origin = origin(name, tenant);
        let state = Checkpoint { origin: origin.clone(), size: tree.size, root: tree.root };
        let sign = SignCheckpoint {
            tenant: tenant.clone(),
            size: tree.size,
            root: tree.root,
            position: tree.position,
            note: key.sign(&state.text(), &origin)?.to_string(),
            key: key.verifier(&origin)?.to_string(),
        };
        let reply = self.dispatch.send(&TenantId::steward(), sign, &Cause::default()).await?;
        self.live.reached(STEWARD_SHARD, reply.position, SEEN_TIME_MAX).await?;
        Ok(())
    }

    fn refuse(&self, tenant: &TenantId, before: &Signed, tree: &TreeState) {
        if self.rewritten.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone()) {
            tracing::error!(
                tenant.id = %tenant,
                signed_size = before.size,
                signed_root = %before.root,
                size = tree.size,
                root = %tree.root,
                "log-went-back: this history does not go on from what was signed of it; it is not signed any more"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(position: u64) -> Signed {
        Signed { size: position, root: TreeHash::empty(), position: Position(position), note: String::new() }
    }

    #[test]
    fn a_request_ends_with_its_signature_in_either_order() {
        let acme: TenantId = "acme".parse().unwrap();
        let mut known = CheckpointState::default();
        known.want(&acme, Position(7));
        known.sign(&acme, signed(5));
        assert_eq!(known.wanted.get(&acme), Some(&Position(7)));
        known.sign(&acme, signed(9));
        assert_eq!(known.wanted, BTreeMap::new());
        known.want(&acme, Position(8));
        assert_eq!(known.wanted, BTreeMap::new(), "it was signed before the request was seen");
        known.want(&acme, Position(10));
        assert_eq!(known.wanted.get(&acme), Some(&Position(10)));
    }
}
