//! `Live<V>`: a fold of the log kept current in memory, with its position and its freshness.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use steward_events::quantity::{Position, Shard};
use steward_events::view::View;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::log::{EventLog, Filter, LogError, Stored};

/// How many commits that have come together are folded together, and …
const TOGETHER_MAX: usize = 64;

/// … about how many bytes of them.
const TOGETHER_BYTES_MAX: usize = 256 * 1024;

/// The view is not known to be fresh: who needs that must refuse.
#[derive(Debug, thiserror::Error)]
pub enum NotFresh {
    /// The log did not say in time where its end is.
    #[error("the end of the log could not be read in time")]
    NoAnswer(#[source] Option<LogError>),
    /// The end is known, but what comes before it has not all arrived.
    #[error("the view has not caught up with the log")]
    Behind,
    /// The fold met something it cannot read and has stopped.
    #[error("the view has stopped: {0}")]
    Stopped(String),
}

/// A view over all shards, kept current by tasks that end with it.
pub struct Live<V> {
    inner: Arc<Inner<V>>,
    _followers: JoinSet<()>,
}

struct Inner<V> {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    view: RwLock<V>,
    shards: Vec<ShardState>,
}

struct ShardState {
    /// How far the fold is, or why it stopped.
    folded: watch::Sender<Result<Position, String>>,
    /// When the last confirmed request about the log's end was *sent*, by the monotonic clock.
    confirmed: watch::Sender<Option<Duration>>,
    /// One asks at a time, and all who wait hear the answer at once: thousands may.
    asking: Mutex<()>,
}

impl<V: View> Live<V> {
    /// Starts to fold; returns at once. See [`Self::caught_up`].
    pub fn start(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        let shards = (0..log.shards())
            .map(|_| ShardState {
                folded: watch::channel(Ok(Position(0))).0,
                confirmed: watch::channel(None).0,
                asking: Mutex::default(),
            })
            .collect();
        let inner = Arc::new(Inner { log, clock, view: RwLock::default(), shards });
        let mut followers = JoinSet::new();
        for shard in 0..inner.log.shards() {
            followers.spawn(Arc::clone(&inner).follow(Shard(shard)));
        }
        Self { inner, _followers: followers }
    }

    /// The view as it is now. Held briefly: the fold waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, V> {
        self.inner.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was recorded when this was called is folded.
    ///
    /// # Errors
    /// [`NotFresh`] if the log cannot be read or holds what this build cannot read.
    pub async fn caught_up(&self, time_max: Duration) -> Result<(), NotFresh> {
        for shard in 0..self.inner.log.shards() {
            self.confirm(Shard(shard), Duration::ZERO, time_max).await?;
        }
        Ok(())
    }

    /// Waits until the fold of `shard` has reached `position`.
    ///
    /// # Errors
    /// [`NotFresh`] if it does not in time.
    pub async fn reached(&self, shard: Shard, position: Position, time_max: Duration) -> Result<(), NotFresh> {
        let Some(state) = self.inner.shards.get(usize::from(shard.0)) else { return Err(NotFresh::Behind) };
        let mut folded = state.folded.subscribe();
        let reached = folded.wait_for(|folded| folded.as_ref().map_or(true, |at| *at >= position));
        match tokio::time::timeout(time_max, reached).await {
            Ok(Ok(state)) => state.as_ref().map(|_| ()).map_err(|why| NotFresh::Stopped(why.clone())),
            Ok(Err(_)) => Err(NotFresh::Stopped("its task ended".to_owned())),
            Err(_) => Err(NotFresh::Behind),
        }
    }

    /// Hears whenever the fold of `shard` has moved on; none if there is no such shard.
    pub fn moves(&self, shard: Shard) -> Option<watch::Receiver<Result<Position, String>>> {
        self.inner.shards.get(usize::from(shard.0)).map(|state| state.folded.subscribe())
    }

    /// Confirms that the view of `shard` held all that was recorded at some moment within the last `age_max`.
    ///
    /// Asked on demand and shared: one request to the log serves all who ask meanwhile. The age counts from when the
    /// request was sent, by this process's own clock.
    ///
    /// # Errors
    /// [`NotFresh`] if that cannot be confirmed within `time_max`: the caller must refuse.
    pub async fn confirm(&self, shard: Shard, age_max: Duration, time_max: Duration) -> Result<(), NotFresh> {
        // Most who ask come within `age_max` of another, and then nothing is waited for.
        if self.is_fresh(shard, age_max) {
            return Ok(());
        }
        let Some(state) = self.inner.shards.get(usize::from(shard.0)) else { return Err(NotFresh::Behind) };
        let clock = &self.inner.clock;
        let began = clock.monotonic();
        // Asked by another while this one waited: good if it was sent late enough, or after this one came.
        let good = |confirmed: Option<Duration>| {
            confirmed.is_some_and(|sent| clock.monotonic().saturating_sub(sent) < age_max || sent >= began)
        };
        let ask = async {
            let mut confirmed = state.confirmed.subscribe();
            let _asking = loop {
                if good(*confirmed.borrow_and_update()) {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    _ = confirmed.changed() => {}
                    asking = state.asking.lock() => break asking,
                }
            };
            if good(*state.confirmed.borrow()) {
                return Ok(());
            }
            let sent = clock.monotonic();
            let filter = Filter::shard(shard).kinds(V::KINDS);
            let last = self.inner.log.last(&filter).await.map_err(|error| NotFresh::NoAnswer(Some(error)))?;
            self.reached(shard, last, time_max).await?;
            state.confirmed.send_replace(Some(sent));
            Ok(())
        };
        tokio::time::timeout(time_max, ask).await.unwrap_or(Err(NotFresh::NoAnswer(None)))
    }

    /// Whether [`Self::confirm`] would return at once.
    pub fn is_fresh(&self, shard: Shard, age_max: Duration) -> bool {
        let state = self.inner.shards.get(usize::from(shard.0));
        let sent = state.and_then(|state| *state.confirmed.borrow());
        sent.is_some_and(|sent| self.inner.clock.monotonic().saturating_sub(sent) < age_max)
    }

    /// How far the fold of each shard is.
    pub fn positions(&self) -> Vec<Position> {
        self.inner.shards.iter().map(|s| s.folded.borrow().as_ref().map_or(Position(0), |at| *at)).collect()
    }

    /// Why the fold has stopped, if it has.
    pub fn stopped(&self) -> Option<String> {
        self.inner.shards.iter().find_map(|state| state.folded.borrow().as_ref().err().cloned())
    }
}

impl<V: View> Inner<V> {
    async fn follow(self: Arc<Self>, shard: Shard) {
        let Some(state) = self.shards.get(usize::from(shard.0)) else { return };
        let filter = Filter::shard(shard).kinds(V::KINDS);
        let mut pause = Duration::from_millis(50);
        loop {
            let after = state.folded.borrow().as_ref().map_or(Position(0), |at| *at);
            match self.fold_from(&filter, after, state).await {
                LogError::Unavailable(error) => {
                    tracing::warn!(%shard, %error, "live view lost the log; following again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                fatal => {
                    tracing::error!(%shard, error = %fatal, "live view stopped");
                    let _ = state.folded.send_replace(Err(fatal.to_string()));
                    return;
                }
            }
        }
    }

    async fn fold_from(&self, filter: &Filter, after: Position, state: &ShardState) -> LogError {
        let mut stream = match self.log.follow(filter, after).await {
            // Fused: it may end while what has come together is taken.
            Ok(stream) => stream.fuse(),
            Err(error) => return error,
        };
        while let Some(next) = stream.next().await {
            let (mut together, mut bytes, mut next) = (Vec::new(), 0, Some(next));
            let mut failed = None;
            while let Some(stored) = next {
                // Decoded here, before the view is locked.
                match stored.and_then(|stored| stored.commit().map(|_| ()).map_err(LogError::from).map(|()| stored)) {
                    Ok(stored) => {
                        bytes += stored.bytes.len();
                        together.push(stored);
                    }
                    Err(error) => failed = Some(error),
                }
                let room = failed.is_none() && together.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES_MAX;
                next = if room { stream.next().now_or_never().flatten() } else { None };
            }
            self.fold(&together, state);
            if let Some(error) = failed {
                return error;
            }
        }
        LogError::Unavailable("the log ended its stream".into())
    }

    /// Takes in what has come together: it is locked, and who waits is woken, once.
    fn fold(&self, together: &[Stored], state: &ShardState) {
        let Some(last) = together.last() else { return };
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for (commit, position) in together.iter().filter_map(|stored| Some((stored.commit().ok()?, stored.position))) {
            for recorded in commit.recorded(position) {
                view.apply(&recorded);
            }
        }
        drop(view);
        let _ = state.folded.send_replace(Ok(last.position));
    }
}

#[cfg(test)]
mod tests {
    use steward_events::commit::Recorded;
    use steward_events::event::AggregateKind;

    use super::*;
    use crate::clock::SystemClock;
    use crate::log::memory::MemoryLog;

    #[derive(Default)]
    struct Nothing;
    impl View for Nothing {
        const KINDS: &'static [AggregateKind] = &[AggregateKind::Tenant];
        fn apply(&mut self, _: &Recorded<'_>) {}
    }

    #[tokio::test]
    async fn an_empty_log_is_caught_up_at_once() {
        let live = Live::<Nothing>::start(Arc::new(MemoryLog::default()), Arc::new(SystemClock::default()));
        live.caught_up(Duration::from_secs(5)).await.unwrap();
    }
}
