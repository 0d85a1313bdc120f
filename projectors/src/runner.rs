//! Keeps one projector's trees current: follows each shard, applies, writes rows and checkpoint together.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use steward_events::BoxError;
use steward_events::commit::{Commit, CommitHash};
use steward_events::log::{EventLog, Filter, LogError, Stored};
use steward_events::quantity::{Position, Shard};
use steward_events::store::Store;

use crate::config::Config;
use crate::projector::Projector;
use crate::rows::Rows;
use crate::tree::{Checkpoint, Snapshot, Tree};

/// The pause after a failure, doubled after each further one up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How far one fold is, and whether it may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last position whose facts are in the rows.
    pub position: Position,
    /// Whether it may be asked.
    pub stage: Stage,
}

/// Whether a fold may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has yet to reach the end of the log as it was when it started.
    CatchingUp,
    /// It has.
    Current,
    /// It has stopped for this reason and will not go on in this process.
    Stopped(String),
}

/// The view cannot answer now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It met what it cannot read, or a log that went back.
    #[error("the view {view} of shard {shard} has stopped: {reason}")]
    Stopped {
        /// Which view.
        view: &'static str,
        /// Of which shard.
        shard: Shard,
        /// Why.
        reason: String,
    },
    /// It is not as far as was demanded, or not yet built.
    #[error("the view {view} of shard {shard} is at {at} and has yet to reach {wanted}")]
    Behind {
        /// Which view.
        view: &'static str,
        /// Of which shard.
        shard: Shard,
        /// How far it is.
        at: Position,
        /// How far it should be.
        wanted: Position,
    },
    /// There is no such shard.
    #[error("there is no shard {0}")]
    NoShard(Shard),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not answer.
    #[error("the store of views fails: {0}")]
    Store(BoxError),
}

/// One projector over all shards.
pub struct Runner<P> {
    log: Arc<dyn EventLog>,
    config: Config,
    shards: Vec<Followed>,
    projector: PhantomData<fn() -> P>,
}

struct Followed {
    shard: Shard,
    tree: Arc<Tree>,
    progress: watch::Sender<Progress>,
}

/// Why a fold ended.
enum End {
    Shutdown,
    /// Try again from the checkpoint.
    Failed(BoxError),
    /// Nothing but a person can help.
    Stopped(String),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => Self::Failed(error.into()),
            LogError::WentBack(_) | LogError::Unreadable(_) => Self::Stopped(error.to_string()),
        }
    }
}

impl<P: Projector> Runner<P> {
    /// A runner over the projector's trees. Nothing is read before [`Self::run`].
    pub fn new(log: Arc<dyn EventLog>, store: &Arc<dyn Store>, config: Config) -> Self {
        let followed = |shard| {
            let tree = Arc::new(Tree::new(Arc::clone(store), P::NAME, shard));
            let progress = Progress { position: Position(0), stage: Stage::CatchingUp };
            Followed { shard, tree, progress: watch::channel(progress).0 }
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

    /// How many positions each shard's fold has yet to come: an upper bound of the commits that are missing.
    ///
    /// # Errors
    /// [`LogError`] if the log does not say where it ends.
    pub async fn lag(&self) -> Result<Vec<(Shard, u64)>, LogError> {
        let mut lags = Vec::with_capacity(self.shards.len());
        for followed in &self.shards {
            let end = self.log.last(&self.filter(followed.shard)).await?;
            let position = followed.progress.borrow().position;
            lags.push((followed.shard, end.0.saturating_sub(position.0)));
        }
        Ok(lags)
    }

    /// The checkpoint of `shard`, to hold it against the log.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn checkpoint(&self, shard: Shard) -> Result<Checkpoint, BoxError> {
        self.shards.get(usize::from(shard.0)).map_or_else(|| Ok(Checkpoint::default()), |at| at.tree.reload())
    }

    /// Reads the rows of every shard as they are, however far that is, on the caller's own thread.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn peek<T>(&self, mut read: impl FnMut(&Snapshot<'_>) -> Result<T, BoxError>) -> Result<Vec<T>, BoxError> {
        self.shards.iter().map(|followed| read(&followed.tree.snapshot())).collect()
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
        let tree = Arc::clone(&followed.tree);
        let reading = tokio::task::spawn_blocking(move || read(&tree.snapshot()));
        match reading.await {
            Ok(outcome) => outcome.map_err(NotReady::Store),
            Err(error) => Err(NotReady::Store(error.into())),
        }
    }

    async fn reach(&self, followed: &Followed, min_position: Option<Position>) -> Result<(), NotReady> {
        // Only some of the shard's commits concern this view, so it need not stand at `min_position` itself.
        let end = self.log.last(&self.filter(followed.shard)).await?;
        let wanted = min_position.map_or(end, |min_position| min_position.min(end));
        let time_max = match min_position {
            Some(_) => self.config.position_wait_max,
            None => self.config.settle_wait_max,
        };
        let mut progress = followed.progress.subscribe();
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

    fn filter(&self, shard: Shard) -> Filter {
        Filter::shard(shard).kinds(P::KINDS)
    }

    async fn keep_folding(&self, index: usize, shutdown: &CancellationToken) {
        let Some(followed) = self.shards.get(index) else { return };
        let shard = followed.shard;
        let mut pause = PAUSE_MIN;
        loop {
            let before = followed.tree.checkpoint().position;
            match self.fold(followed, shutdown).await {
                End::Shutdown => return,
                End::Stopped(reason) => {
                    tracing::error!(view = P::NAME, %shard, %reason, "view stopped");
                    followed.progress.send_modify(|progress| progress.stage = Stage::Stopped(reason));
                    return;
                }
                End::Failed(error) => {
                    tracing::warn!(view = P::NAME, %shard, %error, "view interrupted; it goes on from its checkpoint");
                }
            }
            if followed.tree.checkpoint().position > before {
                pause = PAUSE_MIN;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    /// Folds from the checkpoint on until something ends it. Unwritten rows are lost then, and folded again.
    async fn fold(&self, followed: &Followed, shutdown: &CancellationToken) -> End {
        match self.try_fold(followed, shutdown).await {
            Ok(()) => End::Shutdown,
            Err(end) => end,
        }
    }

    async fn try_fold(&self, followed: &Followed, shutdown: &CancellationToken) -> Result<(), End> {
        let filter = self.filter(followed.shard);
        let checkpoint = followed.tree.reload().map_err(End::Failed)?;
        let end = self.log.last(&filter).await?;
        self.log_still_has(followed.shard, checkpoint, end).await?;
        let mut batch = Batch {
            rows: Rows::<P::Row>::over(Arc::clone(&followed.tree)),
            position: checkpoint.position,
            last: None,
            commits: 0,
        };
        self.report(followed, checkpoint.position, end)?;
        let mut stream = self.log.follow(&filter, checkpoint.position).await?;
        loop {
            let next = if batch.commits == 0 {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(()),
                    next = stream.next() => Some(next),
                }
            } else if batch.commits < self.config.batch_commits_max.get() {
                // What is there already belongs to this batch; nothing waits for more. Unconstrained, because the
                // runtime's turn-taking would end every batch early; each write yields.
                tokio::task::unconstrained(stream.next()).now_or_never()
            } else {
                None
            };
            let ended = match next {
                None => None,
                Some(None) => Some(End::Failed("the log ended its stream".into())),
                Some(Some(Err(error))) => Some(error.into()),
                Some(Some(Ok(stored))) => match batch.take::<P>(stored) {
                    Ok(()) => continue,
                    Err(error) => Some(error.into()),
                },
            };
            batch = write(followed, batch, self.config.rows_held_max).await?;
            self.report(followed, batch.position, end)?;
            if let Some(ended) = ended {
                return Err(ended);
            }
        }
    }

    /// A shorter or another log than the one folded so far must not be folded on: its facts contradict the rows.
    async fn log_still_has(&self, shard: Shard, checkpoint: Checkpoint, end: Position) -> Result<(), LogError> {
        let Checkpoint { position, hash } = checkpoint;
        if position == Position(0) {
            return Ok(()); // nothing was read yet
        }
        if end < position {
            return Err(LogError::WentBack(format!("shard {shard} ends at {end}; {} had read {position}", P::NAME)));
        }
        match self.log.at(shard, position).await? {
            Some(stored) if CommitHash::of(&stored.bytes) == hash => Ok(()),
            _ => {
                let name = P::NAME;
                Err(LogError::WentBack(format!(
                    "shard {shard} no longer has the commit that {name} read at {position}"
                )))
            }
        }
    }

    /// Tells how far the fold is; once it has caught up, older versions of the view are no longer needed.
    fn report(&self, followed: &Followed, position: Position, end: Position) -> Result<(), End> {
        let caught_up = position >= end;
        if caught_up && followed.progress.borrow().stage == Stage::CatchingUp {
            for older in P::REPLACES {
                followed.tree.drop_other(older, followed.shard).map_err(End::Failed)?;
            }
        }
        followed.progress.send_modify(|progress| {
            progress.position = position;
            if caught_up {
                progress.stage = Stage::Current;
            }
        });
        Ok(())
    }
}

impl Progress {
    fn has_stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopped(_))
    }
}

/// What was applied and has yet to be written.
struct Batch<R> {
    rows: Rows<R>,
    position: Position,
    last: Option<Stored>,
    commits: usize,
}

impl<R> Batch<R> {
    fn take<P: Projector<Row = R>>(&mut self, stored: Stored) -> Result<(), LogError> {
        if stored.position <= self.position {
            let (shard, at, now) = (stored.stream.shard, self.position, stored.position);
            return Err(LogError::WentBack(format!("shard {shard} gave {now} after {at}")));
        }
        let commit = Commit::decode(&stored.stream, &stored.bytes)?;
        for recorded in commit.recorded(stored.position) {
            P::apply(&recorded, &mut self.rows);
        }
        self.position = stored.position;
        self.commits += 1;
        self.last = Some(stored);
        Ok(())
    }
}

/// Writes on a thread that may block: a store has no other way.
async fn write<R>(followed: &Followed, mut batch: Batch<R>, rows_held_max: usize) -> Result<Batch<R>, End>
where
    R: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let Some(last) = batch.last.take() else { return Ok(batch) };
    let tree = Arc::clone(&followed.tree);
    let writing = tokio::task::spawn_blocking(move || {
        let checkpoint = Checkpoint { position: last.position, hash: CommitHash::of(&last.bytes) };
        tree.write(batch.rows.take_writes()?, checkpoint)?;
        batch.rows.trim(rows_held_max);
        batch.commits = 0;
        Ok(batch)
    });
    match writing.await {
        Ok(outcome) => outcome.map_err(End::Failed),
        Err(error) => Err(End::Failed(error.into())),
    }
}
