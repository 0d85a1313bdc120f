//! Picks tasks that nobody drives and drives them, so many at once, tenants in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steward_ports::live::NotFresh;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::task::drive::drive;
use crate::task::fairness::Turns;
use crate::task::open_tasks::TaskRef;
use crate::task::{Left, Shared, Stop};
use crate::wake;

/// How long a task rests that could not be had or was given up, before this worker tries it again.
const REST: Duration = Duration::from_secs(1);
/// How long the claims of broken-off tasks may take to be given up.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(5);

/// Drives tasks. See [`Worker::run`].
pub(crate) struct Worker {
    shared: Arc<Shared>,
    stop: Stop,
    turns: Turns,
    driving: JoinSet<Left>,
    running: HashMap<Id, TaskRef>,
    resting: HashMap<TaskRef, Instant>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            stop: Stop::default(),
            turns: Turns::default(),
            driving: JoinSet::new(),
            running: HashMap::new(),
            resting: HashMap::new(),
        }
    }

    /// Drives tasks until told to stop; then finishes the steps it is in, or gives them up.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), NotFresh> {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            stopped = self.work() => Err(stopped),
        };
        self.drain().await;
        outcome
    }

    async fn work(&mut self) -> NotFresh {
        // Tasks closed long ago look open until the whole past is read.
        if let Err(stopped) = wake::caught_up(&self.shared.live).await {
            return stopped;
        }
        loop {
            let seen = self.shared.live.positions();
            if let Some(why) = self.shared.live.stopped() {
                return NotFresh::Stopped(why);
            }
            self.pick();
            let pause = self.pause();
            tokio::select! {
                Some(left) = self.driving.join_next_with_id(), if !self.driving.is_empty() => self.left(left),
                () = wake::moved(&self.shared.live, &seen, pause) => {}
            }
        }
    }

    fn pick(&mut self) {
        let config = &self.shared.config;
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let free = (config.tasks_concurrent_max.get() as usize).saturating_sub(self.running.len());
        if free == 0 {
            return;
        }
        let mut of_tenant: HashMap<_, usize> = HashMap::new();
        let mut taken: Vec<&TaskRef> = self.running.values().collect();
        for task in &taken {
            *of_tenant.entry(task.tenant.clone()).or_default() += 1;
        }
        taken.extend(self.resting.keys());
        let skip = |task: &TaskRef| taken.contains(&task);
        let each_max = config.tasks_per_tenant_max.get() as usize;
        let waiting = self.shared.live.read().claimable(self.shared.ports.clock.now(), each_max, skip);
        for task in self.turns.take(waiting, &of_tenant, each_max, free) {
            self.start(task);
        }
    }

    fn start(&mut self, task: TaskRef) {
        let (shared, stop, driven) = (Arc::clone(&self.shared), self.stop.clone(), task.clone());
        let span = tracing::info_span!("drive", tenant.id = %task.tenant, task.id = %task.task);
        let handle = self.driving.spawn(async move { drive(&shared, &driven, &stop).await }.instrument(span));
        self.running.insert(handle.id(), task);
    }

    fn left(&mut self, outcome: Result<(Id, Left), JoinError>) {
        let (id, left) = match outcome {
            Ok((id, left)) => (id, left),
            Err(error) => {
                tracing::error!(error = %error, "driving a task broke down; its claim will lapse");
                (error.id(), Left::Lost)
            }
        };
        let Some(task) = self.running.remove(&id) else { return };
        // The view may not show yet that it is closed or claimed.
        tracing::debug!(task.id = %task.task, left = ?left, "task rests here");
        self.resting.insert(task, Instant::now() + REST);
    }

    /// Until a claim lapses or a task has rested, if nothing happens before.
    fn pause(&self) -> Duration {
        let now = self.shared.ports.clock.now();
        let lapse = self.shared.live.read().next_lapse(now).map(|at| at.since(now) + Duration::from_millis(1));
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
        if tokio::time::timeout(self.shared.config.drain_time_max, self.all_left()).await.is_ok() {
            return;
        }
        tracing::info!(tasks = self.running.len(), "breaking off the steps that have not ended in time");
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
