//! Runs one projector over all shards, and reads its rows for queries.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use steward_events::BoxError;
use steward_events::quantity::{Position, Shard};
use steward_ports::log::{EventLog, Filter, LogError};
use steward_ports::store::Store;

use crate::engine::config::Config;
use crate::engine::places;
use crate::engine::progress::{NotReady, Progress, Stage};
use crate::engine::projector::Projector;
use crate::engine::view_store::{Cursor, Snapshot, ViewStore};

mod fold;

/// One projector over all shards.
pub struct Runner<P> {
    log: Arc<dyn EventLog>,
    config: Config,
    shards: Vec<Followed>,
    projector: PhantomData<fn() -> P>,
}

struct Followed {
    shard: Shard,
    store: Arc<ViewStore>,
    /// Received from by the queries that wait.
    progress: watch::Sender<Progress>,
    /// Told when a query begins to wait.
    asked: Notify,
}

impl Followed {
    /// Whether somebody waits for the fold to get on.
    fn is_awaited(&self) -> bool {
        self.progress.receiver_count() > 0
    }
}

impl<P: Projector> Runner<P> {
    /// A runner over the stores of the projector. Nothing is read before [`Self::run`].
    pub fn new(log: Arc<dyn EventLog>, store: &Arc<dyn Store>, config: Config) -> Self {
        let followed = |shard| {
            let store = Arc::new(ViewStore::new(Arc::clone(store), P::NAME, shard));
            let progress = Progress { position: Position(0), stage: Stage::CatchingUp };
            Followed { shard, store, progress: watch::channel(progress).0, asked: Notify::new() }
        };
        let shards = (0..log.shards()).map(|shard| followed(Shard(shard))).collect();
        Self { log, config, shards, projector: PhantomData }
    }

    /// Follows all shards until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut folds = JoinSet::new();
        for index in 0..self.shards.len() {
            let (runner, shutdown) = (Arc::clone(&self), shutdown.clone());
            folds.spawn(async move { runner.keep_folding(index, &shutdown).await });
        }
        while folds.join_next().await.is_some() {}
    }

    /// How far each shard's fold is.
    pub fn progress(&self) -> impl Iterator<Item = (Shard, Progress)> + '_ {
        self.shards.iter().map(|followed| (followed.shard, followed.progress.borrow().clone()))
    }

    /// Waits until no shard's fold has yet to reach the end of the log as it was when it started.
    pub async fn built(&self) {
        for followed in &self.shards {
            let mut progress = followed.progress.subscribe();
            // An error would say that the sender is gone, and it is ours.
            let _ = progress.wait_for(|at| at.stage != Stage::CatchingUp).await;
        }
    }

    /// How many commits each shard's fold has yet to see.
    ///
    /// # Errors
    /// [`LogError`] if the log does not say where it ends.
    pub async fn lag(&self) -> Result<Vec<(Shard, u64)>, LogError> {
        let mut lags = Vec::with_capacity(self.shards.len());
        for followed in &self.shards {
            let end = self.log.last(&Filter::shard(followed.shard)).await?;
            let position = followed.progress.borrow().position;
            lags.push((followed.shard, end.0.saturating_sub(position.0)));
        }
        Ok(lags)
    }

    /// The last commit of `shard` whose events are in the rows, to hold it against the log.
    pub fn cursor(&self, shard: Shard) -> Cursor {
        self.shards.get(usize::from(shard.0)).map_or_else(Cursor::default, |followed| followed.store.cursor())
    }

    /// Reads the rows of every shard as they are, however far that is, on the caller's own thread.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn peek<T>(&self, mut read: impl FnMut(&Snapshot<'_>) -> Result<T, BoxError>) -> Result<Vec<T>, BoxError> {
        self.shards.iter().map(|followed| read(&followed.store.snapshot())).collect()
    }

    /// Reads the rows of `shard` on a thread that may block, from a state that includes `min_position`; without one,
    /// from a state that is as near to the log's end as can be had soon.
    ///
    /// # Errors
    /// [`NotReady`].
    pub async fn read<T: Send + 'static>(
        &self,
        shard: Shard,
        min_position: Option<Position>,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, BoxError> + Send + 'static,
    ) -> Result<T, NotReady> {
        let followed = self.shards.get(usize::from(shard.0)).ok_or(NotReady::NoShard(shard))?;
        self.reach(followed, min_position).await?;
        let _place = places::take().await;
        let store = Arc::clone(&followed.store);
        let reading = tokio::task::spawn_blocking(move || read(&store.snapshot()));
        match reading.await {
            Ok(outcome) => outcome.map_err(NotReady::Store),
            Err(error) => Err(NotReady::Store(error.into())),
        }
    }

    async fn reach(&self, followed: &Followed, min_position: Option<Position>) -> Result<(), NotReady> {
        let (wanted, time_max) = match min_position {
            Some(min_position) => (min_position, self.config.position_wait_max),
            None => (self.log.last(&Filter::shard(followed.shard)).await?, self.config.settle_wait_max),
        };
        let mut progress = followed.progress.subscribe();
        if min_position.is_some() && progress.borrow().position < wanted {
            // What is not in the log need not be waited for.
            let end = self.log.last(&Filter::shard(followed.shard)).await?;
            if wanted > end {
                return Err(NotReady::BeyondEnd { wanted, end });
            }
        }
        followed.asked.notify_one();
        let there = progress.wait_for(|at| at.stage != Stage::CatchingUp && at.position >= wanted || at.has_stopped());
        let _ = tokio::time::timeout(time_max, there).await;
        let Progress { position, stage } = followed.progress.borrow().clone();
        match stage {
            Stage::Stopped(reason) => Err(NotReady::Stopped { view: P::NAME, shard: followed.shard, reason }),
            Stage::Current if position >= wanted || min_position.is_none() => Ok(()),
            Stage::Current | Stage::CatchingUp => {
                Err(NotReady::Behind { view: P::NAME, shard: followed.shard, at: position, wanted })
            }
        }
    }
}
