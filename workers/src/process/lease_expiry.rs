//! No lease stays open after its holder is gone, and what a call used reaches the books however late it is recorded.
//!
//! Follows ledgers and usage journals. A granted lease gets a timer for the end of its holder's allowed silence, a
//! recalled one another for the end of [`RECALL_MAX`]; when they ring the ledger is looked at again, and a lease that is
//! still due is ended by the fence. Clocks only decide when to look: a lease may be closed at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use steward_aggregates::ledger::RECALL_MAX;
use steward_aggregates::sabotage::{Rule, drops};
use steward_events::BoxError;
use steward_events::command::CorrectLease;
use steward_events::commit::Commit;
use steward_events::event::AggregateKind;
use steward_events::id::{LeaseId, StreamId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_ports::log::{Filter, LogError};
use steward_ports::timers::{Due, TimerKey};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::WorkerPorts;
use crate::orders::{Cause, OrderError, Orders};
use crate::process::Error;

mod books;
mod ending;
mod journal;

use books::{Books, Open, Step};

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
pub struct Bell {
    /// Where the lease's tenant lives.
    pub shard: Shard,
    /// Which lease.
    pub lease: LeaseId,
    /// It has already waited for holders to come back after an outage.
    pub graced: bool,
}

struct Shared {
    ports: WorkerPorts,
    orders: Orders,
    shards: BTreeMap<Shard, Watched>,
    work: Semaphore,
}

/// One shard's fold, and how far it is.
struct Watched {
    books: Mutex<(Books, Position)>,
    /// Told at every step. First come, first woken: with a `watch` that would be chance, and a seed would not repeat.
    moved: Notify,
}

/// Ends leases and corrects the books until told to stop.
///
/// # Errors
/// [`Error`] if the log holds what this build cannot read.
pub async fn run(ports: WorkerPorts, shutdown: CancellationToken) -> Result<(), Error> {
    let shards = (0..ports.log.shards()).map(Shard);
    let watched = |shard| (shard, Watched { books: Mutex::default(), moved: Notify::new() });
    let shared = Arc::new(Shared {
        orders: Orders::new(&ports),
        shards: shards.map(watched).collect(),
        work: Semaphore::new(WORK_MAX),
        ports,
    });
    let mut parts: JoinSet<Result<(), Error>> = JoinSet::new();
    for shard in shared.shards.keys() {
        parts.spawn(watch_shard(Arc::clone(&shared), *shard));
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
        let mut corrections = JoinSet::new();
        let mut run = async || -> Result<(), LogError> {
            let both = Filter::shard(shard).kinds(&[AggregateKind::Ledger, AggregateKind::Usage]);
            let start = self.ports.log.last(&both).await?;
            let folded = self.fold_ledgers(shard, start).await?;
            *watched.books() = (folded, start);
            watched.moved.notify_waiters();
            for step in self.what_is_due(shard, start).await? {
                self.act(shard, step, &mut corrections).await;
            }
            let mut commits = self.ports.journals.follow(&both, start).await?;
            while let Some(stored) = commits.next().await {
                let stored = stored?;
                let steps = {
                    let (books, folded) = &mut *watched.books();
                    let steps =
                        if books.concern(&stored) { books.fold(stored.commit()?, stored.position) } else { Vec::new() };
                    *folded = stored.position;
                    steps
                };
                watched.moved.notify_waiters();
                for step in steps {
                    self.act(shard, step, &mut corrections).await;
                }
                while corrections.try_join_next().is_some() {}
            }
            Err(LogError::Unavailable("the log ended its stream".into()))
        };
        run().await.err().unwrap_or(LogError::Unavailable("the log ended its stream".into()))
    }

    /// The ledgers alone, up to `end`: usage is much more, and only of open leases is any of it needed.
    async fn fold_ledgers(&self, shard: Shard, end: Position) -> Result<Books, LogError> {
        let mut books = Books::default();
        let filter = Filter::shard(shard).kinds(&[AggregateKind::Ledger]);
        let last = self.ports.log.last(&filter).await?;
        if last == Position(0) {
            return Ok(books);
        }
        let mut commits = self.ports.log.follow(&filter, Position(0)).await?;
        while let Some(stored) = commits.next().await {
            let stored = stored?;
            if stored.position <= end {
                books.fold(&Commit::decode(&stored.stream, &stored.bytes)?, stored.position);
            }
            if stored.position >= last.min(end) {
                return Ok(books);
            }
        }
        Err(LogError::Unavailable("the log ended its stream".into()))
    }

    /// What a fold that begins in the middle asks for: timers of open leases, and finishes that came late before.
    async fn what_is_due(&self, shard: Shard, start: Position) -> Result<Vec<Step>, LogError> {
        let Some(watched) = self.shards.get(&shard) else { return Ok(Vec::new()) };
        let (mut steps, journals) = {
            let (books, _) = &*watched.books();
            (books.timers(), books.journals(shard))
        };
        for (stream, after) in journals {
            for stored in journal::tail(&*self.ports.log, &stream, after).await? {
                // What comes later is followed.
                if stored.position <= start {
                    let commit = Commit::decode(&stream, &stored.bytes)?;
                    steps.extend(watched.books().0.fold(&commit, stored.position));
                }
            }
        }
        Ok(steps)
    }

    async fn act(self: &Arc<Self>, shard: Shard, step: Step, corrections: &mut JoinSet<()>) {
        match step {
            Step::Expires { tenant, lease, at } if !drops(Rule::TimerByHandler) => {
                self.ring_at(EXPIRY, shard, &tenant, lease, at, false).await;
            }
            Step::Expires { .. } => {}
            Step::Recalled { tenant, lease, at } => {
                self.ring_at(RECALL, shard, &tenant, lease, at.plus(RECALL_MAX), false).await;
            }
            Step::Correct { tenant, order } => {
                corrections.spawn(Arc::clone(self).correct(tenant, order));
            }
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
        let bell = serde_json::to_vec(&Bell { shard, lease, graced }).unwrap_or_default();
        while let Err(error) = self.ports.timers.set(&key, at, bell.clone()).await {
            tracing::warn!(error, "a lease's timer could not be set; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a correction until it is decided. One that comes before the lease's end is kept back and sent again.
    async fn correct(self: Arc<Self>, tenant: TenantId, order: CorrectLease) {
        loop {
            let Ok(_permit) = self.work.acquire().await else { return };
            match self.orders.send(&tenant, order.clone(), &Cause::default()).await {
                Ok(_) => return,
                Err(OrderError::Rejected(Rejection::Stale { .. }) | OrderError::Unanswered { .. }) => {}
                Err(error) => {
                    tracing::error!(tenant.id = %tenant, lease = %order.lease, call = %order.call, %error,
                        "a late finish could not be brought to the books");
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A timer rang: looks at the lease as it is now.
    async fn rang(&self, bell: &Bell, tenant: &TenantId) -> Result<(), BoxError> {
        let lease = self.lease_now(bell, tenant).await?;
        let Some(open) = lease else { return Ok(()) };
        let now = self.ports.clock.now();
        let unanswered = open.recalled.is_some_and(|since| now >= since.plus(RECALL_MAX));
        if !unanswered && now < open.expires {
            if !drops(Rule::NoRearm) {
                if let Some(since) = open.recalled {
                    self.ring_at(RECALL, bell.shard, tenant, bell.lease.clone(), since.plus(RECALL_MAX), false).await;
                }
                self.ring_at(EXPIRY, bell.shard, tenant, bell.lease.clone(), open.expires, false).await;
            }
            return Ok(());
        }
        if !unanswered && !bell.graced && now.since(open.expires) > OUTAGE {
            self.ring_at(EXPIRY, bell.shard, tenant, bell.lease.clone(), now.plus(GRACE), true).await;
            return Ok(());
        }
        let reason = if unanswered { "recalled" } else { "expired" };
        ending::end(&self.ports, &self.orders, bell.shard, tenant, &bell.lease, &open, reason).await
    }

    /// The lease by a fold that holds all that is recorded now; none if it is over.
    async fn lease_now(&self, bell: &Bell, tenant: &TenantId) -> Result<Option<Open>, BoxError> {
        let watched = self.shards.get(&bell.shard).ok_or("no such shard")?;
        let filter = Filter::shard(bell.shard).kinds(&[AggregateKind::Ledger]).tenant(tenant);
        let last = self.ports.log.last(&filter).await?;
        tokio::time::timeout(FRESH_TIME_MAX, watched.reached(last)).await?;
        Ok(watched.books().0.lease(tenant, &bell.lease))
    }
}

impl Watched {
    /// The fold and how far it is.
    fn books(&self) -> MutexGuard<'_, (Books, Position)> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reached(&self, position: Position) {
        let mut moved = std::pin::pin!(self.moved.notified());
        loop {
            moved.as_mut().enable();
            if self.books().1 >= position {
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
        let bell: Bell = match serde_json::from_slice(due.payload()) {
            Ok(bell) => bell,
            Err(error) => {
                tracing::error!(%error, "a lease's timer says nothing that can be read");
                // It will never say more.
                let _ = due.done().await;
                return;
            }
        };
        let outcome = match self.rang(&bell, &tenant).await {
            Ok(()) => due.done().await,
            // Not done: it rings again.
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(tenant.id = %tenant, lease = %bell.lease, error, "a lease is not ended yet");
        }
    }
}
