//! Picks work that nobody drives and drives it, so much at once, tenants in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steward_ports::live::NotFresh;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::fairness::Turns;
use super::{Left, Stop, Work};
use crate::wake;

/// How long rests what could not be had or was given up, before this worker tries it again.
const REST: Duration = Duration::from_secs(1);
/// How long the claims of what was broken off may take to be given up.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(5);

/// Drives one kind of work. See [`Worker::run`].
pub(crate) struct Worker<W: Work> {
    work: Arc<W>,
    stop: Stop,
    turns: Turns,
    driving: JoinSet<Left>,
    running: HashMap<Id, W::Item>,
    resting: HashMap<W::Item, Instant>,
}

impl<W: Work> Worker<W> {
    pub(crate) fn new(work: Arc<W>) -> Self {
        Self {
            work,
            stop: Stop::default(),
            turns: Turns::default(),
            driving: JoinSet::new(),
            running: HashMap::new(),
            resting: HashMap::new(),
        }
    }

    /// Drives until told to stop; then finishes what it is in, or gives it up.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), NotFresh> {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            stopped = self.drive() => Err(stopped),
        };
        self.drain().await;
        outcome
    }

    async fn drive(&mut self) -> NotFresh {
        // What was closed long ago looks open until the whole past is read.
        if let Err(stopped) = wake::caught_up(self.work.live()).await {
            return stopped;
        }
        loop {
            let seen = self.work.live().positions();
            if let Some(why) = self.work.live().stopped() {
                return NotFresh::Stopped(why);
            }
            self.pick();
            let pause = self.pause();
            tokio::select! {
                Some(left) = self.driving.join_next_with_id(), if !self.driving.is_empty() => self.left(left),
                () = wake::moved(self.work.live(), &seen, pause) => {}
            }
        }
    }

    fn pick(&mut self) {
        let bounds = self.work.bounds();
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let free = bounds.concurrent_max.saturating_sub(self.running.len());
        if free == 0 {
            return;
        }
        let mut of_tenant: HashMap<_, usize> = HashMap::new();
        let mut taken: Vec<&W::Item> = self.running.values().collect();
        for item in &taken {
            *of_tenant.entry(W::tenant(item).clone()).or_default() += 1;
        }
        taken.extend(self.resting.keys());
        let skip = |item: &W::Item| taken.contains(&item);
        let each_max = bounds.per_tenant_max;
        let waiting = W::claimable(&self.work.live().read(), self.work.clock().now(), each_max, &skip);
        for item in self.turns.take(waiting, &of_tenant, each_max, free) {
            self.start(item);
        }
    }

    fn start(&mut self, item: W::Item) {
        let driven = Arc::clone(&self.work).drive(item.clone(), self.stop.clone());
        let handle = self.driving.spawn(driven.instrument(W::span(&item)));
        self.running.insert(handle.id(), item);
    }

    fn left(&mut self, outcome: Result<(Id, Left), JoinError>) {
        let (id, left) = match outcome {
            Ok((id, left)) => (id, left),
            Err(error) => {
                tracing::error!(error = %error, "driving broke down; the claim will lapse");
                (error.id(), Left::Lost)
            }
        };
        let Some(item) = self.running.remove(&id) else { return };
        // The view may not show yet that it is closed or claimed.
        tracing::debug!(item = ?item, left = ?left, "it rests here");
        self.resting.insert(item, Instant::now() + REST);
    }

    /// Until a claim lapses or something has rested, if nothing happens before.
    fn pause(&self) -> Duration {
        let now = self.work.clock().now();
        let lapse = W::next_lapse(&self.work.live().read(), now).map(|at| at.since(now) + Duration::from_millis(1));
        let rested = self.resting.values().min().map(|until| until.saturating_duration_since(Instant::now()));
        [lapse, rested]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(wake::IDLE_MAX)
            .clamp(Duration::from_millis(1), wake::IDLE_MAX)
    }

    async fn drain(&mut self) {
        self.stop.drain.cancel();
        if tokio::time::timeout(self.work.bounds().drain_time_max, self.all_left()).await.is_ok() {
            return;
        }
        tracing::info!(running = self.running.len(), "breaking off what has not ended in time");
        self.stop.now.cancel();
        let _ = tokio::time::timeout(RELEASE_TIME_MAX, self.all_left()).await;
        self.driving.shutdown().await;
    }

    async fn all_left(&mut self) {
        while let Some(left) = self.driving.join_next_with_id().await {
            self.left(left);
        }
    }
}
