//! No lease stays open after its holder is gone, and what a call used reaches the books however late it is recorded.
//!
//! Follows ledgers. A granted lease gets a timer for the end of its holder's allowed silence, a recalled one another for
//! the end of [`RECALL_MAX`]; when they ring the ledger is looked at again, and a lease that is still due is ended by the
//! fence. Clocks only decide when to look: a lease may be closed at any moment. Journals are read where a lease ended
//! before some of its calls (`lease_expiry/late.rs`); what they hold otherwise changes nothing here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use steward_aggregates::ledger::RECALL_MAX;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_events::id::{LeaseId, StreamId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_ports::log::{Filter, LogError};
use steward_ports::timers::{Due, TimerKey};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::WorkerPorts;
use crate::dispatch::Dispatch;
use crate::process::Error;

mod ending;
mod late;
mod mutations;
mod open_leases;

use open_leases::{OpenLease, OpenLeases, Step};

/// Which kinds this process manager reads.
pub const READS: &[AggregateKind] = &[AggregateKind::Ledger, AggregateKind::Usage];

/// The timer that rings when a holder has been silent for too long.
pub const EXPIRY: &str = "lease-expiry";

/// The timer that rings when a recall has not been answered.
pub const RECALL: &str = "lease-recall";

/// Leases ended and corrections sent at once.
const WORK_MAX: usize = 32;

/// After something could not be read or sent.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a rung timer waits for the fold to catch up, before it is left to ring again.
const FRESH_TIME_MAX: Duration = Duration::from_secs(5);

/// A timer that rings so late tells of an outage: holders could not renew either, and go first …
const OUTAGE: Duration = Duration::from_secs(2);

/// … for so long.
const GRACE: Duration = Duration::from_secs(10);

/// What a timer carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryTimer {
    /// Where the lease's tenant lives.
    pub shard: Shard,
    /// Which lease.
    pub lease: LeaseId,
    /// It has already waited for holders to come back after an outage.
    pub graced: bool,
}

struct Shared {
    ports: WorkerPorts,
    dispatch: Dispatch,
    shards: BTreeMap<Shard, Watched>,
    work: Semaphore,
}

/// One shard's fold, and how far it is.
struct Watched {
    folded: Mutex<(OpenLeases, Position)>,
    /// Told at every step. First come, first woken: with a `watch` that would be chance, and a seed would not repeat.
    moved: Notify,
    /// Told when a lease has ended before some of its calls.
    ended: Notify,
}

/// Ends leases and corrects the books until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let shards = (0..ports.log.shards()).map(Shard);
    let watched = |shard| (shard, Watched { folded: Mutex::default(), moved: Notify::new(), ended: Notify::new() });
    let shared = Arc::new(Shared {
        dispatch: Dispatch::new(&ports),
        shards: shards.map(watched).collect(),
        work: Semaphore::new(WORK_MAX),
        ports,
    });
    let mut parts: JoinSet<Result<(), Error>> = JoinSet::new();
    for shard in shared.shards.keys() {
        parts.spawn(watch_shard(Arc::clone(&shared), *shard));
        parts.spawn(late::correct_shard(Arc::clone(&shared), *shard));
    }
    for kind in [EXPIRY, RECALL] {
        parts.spawn(listen(Arc::clone(&shared), kind));
    }
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        },
    }
}

async fn watch_shard(shared: Arc<Shared>, shard: Shard) -> Result<(), Error> {
    loop {
        match shared.follow(shard).await {
            LogError::Unavailable(error) => {
                tracing::warn!(%shard, %error, "the ledgers cannot be followed; beginning again");
                tokio::time::sleep(PAUSE).await;
            }
            fatal => return Err(fatal.into()),
        }
    }
}

impl Shared {
    /// Folds what is recorded, catches up with what it asks for, and follows. Ends only with an error.
    async fn follow(self: &Arc<Self>, shard: Shard) -> LogError {
        let Some(watched) = self.shards.get(&shard) else { return LogError::Unavailable("no such shard".into()) };
        let run = async || -> Result<(), LogError> {
            let ledgers = Filter::shard(shard).kinds(&[AggregateKind::Ledger]);
            let start = self.ports.log.last(&ledgers).await?;
            let folded = self.fold_ledgers(&ledgers, start).await?;
            let timers = folded.timers();
            *watched.folded() = (folded, start);
            watched.moved.notify_waiters();
            watched.ended.notify_one();
            for timer in timers {
                self.act(watched, shard, timer).await;
            }
            let mut commits = self.ports.paced.follow(&ledgers, start).await?;
            while let Some(stored) = commits.next().await {
                let stored = stored?;
                let steps = {
                    let (open, position) = &mut *watched.folded();
                    let steps = open.fold(stored.commit()?, stored.position);
                    *position = stored.position;
                    steps
                };
                watched.moved.notify_waiters();
                for step in steps {
                    self.act(watched, shard, step).await;
                }
            }
            Err(LogError::Unavailable("the log ended its stream".into()))
        };
        run().await.err().unwrap_or(LogError::Unavailable("the log ended its stream".into()))
    }

    /// The ledgers up to `end`.
    async fn fold_ledgers(&self, ledgers: &Filter, end: Position) -> Result<OpenLeases, LogError> {
        let mut open = OpenLeases::default();
        if end == Position(0) {
            return Ok(open);
        }
        let mut commits = self.ports.paced.follow(ledgers, Position(0)).await?;
        while let Some(stored) = commits.next().await {
            let stored = stored?;
            open.fold(stored.commit()?, stored.position);
            if stored.position >= end {
                return Ok(open);
            }
        }
        Err(LogError::Unavailable("the log ended its stream".into()))
    }

    async fn act(&self, watched: &Watched, shard: Shard, step: Step) {
        match step {
            Step::Expires { tenant, lease, at } if mutations::sets_timers() => {
                self.ring_at(EXPIRY, shard, &tenant, lease, at, false).await;
            }
            Step::Expires { .. } => {}
            Step::Recalled { tenant, lease, at } => {
                self.ring_at(RECALL, shard, &tenant, lease, at.plus(RECALL_MAX), false).await;
            }
            Step::Ended => watched.ended.notify_one(),
        }
    }

    /// Sets a timer, until it is set: without it a lease might stay open for ever.
    async fn ring_at(
        &self,
        kind: &str,
        shard: Shard,
        tenant: &TenantId,
        lease: LeaseId,
        at: steward_events::timestamp::Timestamp,
        graced: bool,
    ) {
        let Ok(id) = StreamId::new(format!("{}-{}", lease.holder, lease.number)) else {
            tracing::error!(%lease, "the lease's name is too long for a timer");
            return;
        };
        let key = TimerKey { tenant: tenant.clone(), kind: kind.to_owned(), id };
        let timer = serde_json::to_vec(&ExpiryTimer { shard, lease, graced }).unwrap_or_default();
        while let Err(error) = self.ports.timers.set(&key, at, timer.clone()).await {
            tracing::warn!(error, "a lease's timer could not be set; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A timer rang: looks at the lease as it is now.
    async fn rang(&self, timer: &ExpiryTimer, tenant: &TenantId) -> Result<(), BoxError> {
        let lease = self.lease_now(timer, tenant).await?;
        let Some(open) = lease else { return Ok(()) };
        if self.ports.clock.off().is_some() {
            return Err("the clock of this process is wrong: no lease is ended by it".into());
        }
        let now = self.ports.clock.now();
        let unanswered = open.recalled.is_some_and(|since| now >= since.plus(RECALL_MAX));
        if !unanswered && now < open.expires {
            if mutations::sets_early_timers_again() {
                if let Some(since) = open.recalled {
                    self.ring_at(RECALL, timer.shard, tenant, timer.lease.clone(), since.plus(RECALL_MAX), false).await;
                }
                self.ring_at(EXPIRY, timer.shard, tenant, timer.lease.clone(), open.expires, false).await;
            }
            return Ok(());
        }
        if !unanswered && !timer.graced && now.since(open.expires) > OUTAGE {
            self.ring_at(EXPIRY, timer.shard, tenant, timer.lease.clone(), now.plus(GRACE), true).await;
            return Ok(());
        }
        let reason = if unanswered { "recalled" } else { "expired" };
        ending::end(&self.ports, &self.dispatch, timer.shard, tenant, &timer.lease, &open, reason).await
    }

    /// The lease by a fold that holds all that is recorded now; none if it is over.
    async fn lease_now(&self, timer: &ExpiryTimer, tenant: &TenantId) -> Result<Option<OpenLease>, BoxError> {
        let watched = self.shards.get(&timer.shard).ok_or("no such shard")?;
        let filter = Filter::shard(timer.shard).kinds(&[AggregateKind::Ledger]).tenant(tenant);
        let last = self.ports.log.last(&filter).await?;
        tokio::time::timeout(FRESH_TIME_MAX, watched.reached(last)).await?;
        Ok(watched.folded().0.lease(tenant, &timer.lease))
    }
}

impl Watched {
    /// The fold and how far it is.
    fn folded(&self) -> MutexGuard<'_, (OpenLeases, Position)> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reached(&self, position: Position) {
        let mut moved = std::pin::pin!(self.moved.notified());
        loop {
            moved.as_mut().enable();
            if self.folded().1 >= position {
                return;
            }
            moved.as_mut().await;
            moved.set(self.moved.notified());
        }
    }
}

async fn listen(shared: Arc<Shared>, kind: &'static str) -> Result<(), Error> {
    loop {
        match shared.ports.timers.due(kind).await {
            Ok(ringing) => {
                let shared = &shared;
                ringing.for_each_concurrent(WORK_MAX, |due| async move { shared.hear(due).await }).await;
            }
            Err(error) => tracing::warn!(error, kind, "timers cannot be heard; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Shared {
    async fn hear(&self, due: Box<dyn Due>) {
        let tenant = due.key().tenant.clone();
        let timer: ExpiryTimer = match serde_json::from_slice(due.payload()) {
            Ok(timer) => timer,
            Err(error) => {
                tracing::error!(%error, "a lease's timer says nothing that can be read");
                // It will never say more.
                let _ = due.done().await;
                return;
            }
        };
        let outcome = match self.rang(&timer, &tenant).await {
            Ok(()) => due.done().await,
            // Not done: it rings again.
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(tenant.id = %tenant, lease = %timer.lease, error, "a lease is not ended yet");
        }
    }
}
