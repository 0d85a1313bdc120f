//! Keeps one view of one shard current: follows its shard, applies, writes rows and cursor together.
//!
//! Whatever happens between two writes is lost and folded again from the cursor; a cursor that the log no longer
//! holds stops the fold, because what follows would contradict the rows. Commits that change no rows move the cursor in
//! memory only; that is written with the next rows, or by itself once in a while.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use steward_events::BoxError;
use steward_events::digest::CommitHash;
use steward_events::quantity::{Position, Shard};
use steward_ports::log::{Filter, Follow, LogError, Stored};

use super::{Followed, Runner};
use crate::engine::config::Config;
use crate::engine::progress::Stage;
use crate::engine::projector::Projector;
use crate::engine::rows::Rows;
use crate::engine::view_store::Cursor;

/// The pause after a failure, doubled after each further one up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a fold that waits for events looks whether its store is still the one it knows, and how often a cursor that
/// moved without rows is written.
const STORE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a fold ended.
enum FoldEnd {
    Shutdown,
    /// Try again from the cursor.
    Failed(BoxError),
    /// Nothing but a person can help.
    Stopped(String),
}

impl From<LogError> for FoldEnd {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(_) => Self::Failed(error.into()),
            LogError::WentBack(_) | LogError::Unreadable(_) => Self::Stopped(error.to_string()),
        }
    }
}

impl<P: Projector> Runner<P> {
    pub(super) async fn keep_folding(&self, index: usize, shutdown: &CancellationToken) {
        let Some(followed) = self.shards.get(index) else { return };
        let shard = followed.shard;
        let mut pause = PAUSE_MIN;
        loop {
            let before = followed.store.cursor().position;
            match self.fold(followed, shutdown).await {
                FoldEnd::Shutdown => return,
                FoldEnd::Stopped(reason) => {
                    tracing::error!(view = P::NAME, %shard, %reason, "view stopped");
                    followed.progress.send_modify(|progress| progress.stage = Stage::Stopped(reason));
                    return;
                }
                FoldEnd::Failed(error) => {
                    tracing::warn!(view = P::NAME, %shard, %error, "view interrupted; it goes on from its cursor");
                }
            }
            if followed.store.cursor().position > before {
                pause = PAUSE_MIN;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    /// Folds from the cursor on until something ends it. Unwritten rows are lost then, and folded again.
    async fn fold(&self, followed: &Followed, shutdown: &CancellationToken) -> FoldEnd {
        let end = self.try_fold(followed, shutdown).await.err().unwrap_or(FoldEnd::Shutdown);
        // Without it, the commits since that changed no rows are only read again.
        let _ = look(followed).await;
        end
    }

    async fn try_fold(&self, followed: &Followed, shutdown: &CancellationToken) -> Result<(), FoldEnd> {
        // The log may take its time; a process that is to stop does not wait for it.
        let begun = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            begun = self.begin(followed) => begun?,
        };
        let (position, end, mut stream) = begun;
        let mut batch =
            Batch { rows: Rows::<P::Row>::over(Arc::clone(&followed.store)), position, last: None, commits: 0 };
        Self::report(followed, position, end)?;
        // At the end of the log a write for every commit would cost far more than the fold itself, so the next one comes
        // a pause after the last, a short one if a query waits. What comes after a longer silence is written at once.
        let mut due = Due::now();
        let mut caught_up = position >= end;
        loop {
            let next = if batch.commits == 0 {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(()),
                    next = stream.next() => Some(next),
                    () = tokio::time::sleep(STORE_LOOK_EVERY) => {
                        look(followed).await?;
                        continue;
                    }
                }
            } else if batch.commits < self.config.batch_commits_max.get() {
                // What is there already belongs to this batch. Unconstrained, because the runtime's turn-taking would end
                // every batch early; each write yields.
                let there = tokio::task::unconstrained(stream.next()).now_or_never();
                let due = if caught_up && !followed.is_awaited() { due.latest } else { due.soonest };
                if there.is_some() || Instant::now() >= due {
                    there
                } else {
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return Ok(()),
                        // What comes meanwhile is taken together: to wake for each commit costs more than to take it.
                        () = tokio::time::sleep_until(due) => continue,
                        () = followed.asked.notified() => continue,
                        next = stream.next(), if !caught_up => Some(next),
                    }
                }
            } else {
                None
            };
            let ended = match next.map(|next| batch.take_next::<P>(next)) {
                Some(Ok(())) => continue,
                Some(Err(end)) => Some(end),
                None => None,
            };
            batch = write(followed, batch, self.config.rows_held_max.min(P::ROWS_HELD_MAX)).await?;
            due = Due::after_write(&self.config);
            Self::report(followed, batch.position, end)?;
            caught_up = batch.position >= end;
            if let Some(ended) = ended {
                return Err(ended);
            }
        }
    }

    /// From where to go on, where the log ends now, and what comes in between and after.
    async fn begin(&self, followed: &Followed) -> Result<(Position, Position, Follow), FoldEnd> {
        // All of the shard, also what this view does not read: then its position is the shard's, and a query that
        // demands a position, or asks how far it is, needs no search in the log.
        let filter = Filter::shard(followed.shard);
        let cursor = followed.store.reload().map_err(FoldEnd::Failed)?;
        let end = self.log.last(&filter).await?;
        self.log_still_has(followed.shard, cursor, end).await?;
        let stream = self.log.follow(&filter, cursor.position).await?;
        Ok((cursor.position, end, stream))
    }

    /// A shorter or another log than the one folded so far must not be folded on: its events contradict the rows.
    async fn log_still_has(&self, shard: Shard, cursor: Cursor, end: Position) -> Result<(), LogError> {
        let Cursor { position, hash } = cursor;
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
    fn report(followed: &Followed, position: Position, end: Position) -> Result<(), FoldEnd> {
        let caught_up = position >= end;
        if caught_up && followed.progress.borrow().stage == Stage::CatchingUp {
            for older in P::REPLACES {
                followed.store.drop_other(older, followed.shard).map_err(FoldEnd::Failed)?;
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

/// When the next batch is written.
struct Due {
    /// If a query waits for it.
    soonest: Instant,
    /// If none does.
    latest: Instant,
}

impl Due {
    fn now() -> Self {
        let now = Instant::now();
        Self { soonest: now, latest: now }
    }

    fn after_write(config: &Config) -> Self {
        let now = Instant::now();
        Self { soonest: now + config.write_pause, latest: now + config.write_pause.max(config.write_pause_max) }
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
    /// Takes what the log gave, or says why it goes no further.
    fn take_next<P: Projector<Row = R>>(&mut self, next: Option<Result<Stored, LogError>>) -> Result<(), FoldEnd> {
        let stored = next.ok_or_else(|| FoldEnd::Failed("the log ended its stream".into()))??;
        Ok(self.take::<P>(stored)?)
    }

    fn take<P: Projector<Row = R>>(&mut self, stored: Stored) -> Result<(), LogError> {
        if stored.position <= self.position {
            let (shard, at, now) = (stored.stream.shard, self.position, stored.position);
            return Err(LogError::WentBack(format!("shard {shard} gave {now} after {at}")));
        }
        P::take(&stored, &mut self.rows)?;
        self.position = stored.position;
        self.commits += 1;
        self.last = Some(stored);
        Ok(())
    }
}

/// Whether the rows are still those that were written. Writes a cursor that moved without rows.
async fn look(followed: &Followed) -> Result<(), FoldEnd> {
    let store = Arc::clone(&followed.store);
    let looking = tokio::task::spawn_blocking(move || store.look().and_then(|()| store.keep_cursor()));
    looking.await.unwrap_or_else(|error| Err(error.into())).map_err(FoldEnd::Failed)
}

/// Writes on a thread that may block: a store has no other way. Without a changed row there is mostly nothing to write.
async fn write<R>(followed: &Followed, mut batch: Batch<R>, rows_held_max: usize) -> Result<Batch<R>, FoldEnd>
where
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let Some(last) = batch.last.take() else { return Ok(batch) };
    let cursor = Cursor { position: last.position, hash: CommitHash::of(&last.bytes) };
    let store = Arc::clone(&followed.store);
    if batch.rows.unchanged() && store.pass(cursor, STORE_LOOK_EVERY) {
        batch.commits = 0;
        return Ok(batch);
    }
    let writing = tokio::task::spawn_blocking(move || {
        store.write(batch.rows.take_writes()?, cursor)?;
        batch.rows.trim(rows_held_max);
        batch.commits = 0;
        Ok(batch)
    });
    match writing.await {
        Ok(outcome) => outcome.map_err(FoldEnd::Failed),
        Err(error) => Err(FoldEnd::Failed(error.into())),
    }
}
