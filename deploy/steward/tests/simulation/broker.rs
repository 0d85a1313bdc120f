//! The broker: the log as it is, watched by the checker at every commit, and one process's unreliable way to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use steward_events::commit::Commit;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::log::memory::MemoryLog;
use steward_ports::log::{EventLog, Filter, Follow, LogError, Published, Stored};
use tokio::sync::mpsc;

use crate::checker::Checker;
use crate::env::Surroundings;
use crate::process::Process;
use crate::variant::Port;

/// The log as it is.
pub(crate) struct Broker {
    around: Arc<Surroundings>,
    log: MemoryLog,
    /// Three nodes look for a known commit id before they look at the expected position; one node the other way round.
    three_nodes: bool,
    checker: Arc<Mutex<Checker>>,
    seen: Mutex<Position>,
    /// Those who follow, in the order in which they began: they are woken in that order, so that a seed repeats.
    followers: Mutex<Vec<mpsc::UnboundedSender<()>>>,
}

impl Broker {
    pub(crate) fn new(around: Arc<Surroundings>, three_nodes: bool, checker: Arc<Mutex<Checker>>) -> Self {
        let clock = Arc::new(Process::new(around.time, 0));
        Self {
            around,
            log: MemoryLog::new(1, clock),
            three_nodes,
            checker,
            seen: Mutex::default(),
            followers: Mutex::default(),
        }
    }

    pub(crate) fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores or refuses, at this very moment.
    pub(crate) fn store(&self, stream: &StreamName, expected: Position, id: &CommitId, bytes: &Bytes) -> Published {
        let by_version = self.around.drops(Port::MsgIdByVersion);
        let id = if by_version { id_by_version(stream, expected) } else { id.clone() };
        if !self.three_nodes && self.after(stream, expected).is_some() {
            return Published::Conflict;
        }
        let outcome = self.log.publish(stream, expected, &id, bytes.clone()).now_or_never();
        let outcome = outcome.unwrap_or_else(|| Published::Unknown("the memory log waits".into()));
        if let Published::Stored(position) = outcome {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if position > *seen {
                *seen = position;
                let commit = Commit::decode(stream, bytes);
                let mut checker = self.checker();
                match commit {
                    Ok(commit) => checker.commit(&commit, position, self.around.time.now()),
                    Err(error) => checker.fail(error.to_string()),
                }
                let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
                followers.retain(|follower| follower.send(()).is_ok());
            }
        }
        outcome
    }

    /// The first commit of `stream` after `after`.
    pub(crate) fn after(&self, stream: &StreamName, after: Position) -> Option<Stored> {
        self.log.slot(stream, after).now_or_never()?.ok()?
    }

    /// The first commit that matches after `after`, or how far there is none.
    fn next(&self, filter: &Filter, after: Position) -> Result<Stored, Position> {
        let end = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (after.0 + 1..=end.0)
            .filter_map(|at| self.log.at(Shard(0), Position(at)).now_or_never()?.ok()?)
            .find(|stored| filter.matches(&stored.stream))
            .ok_or(end)
    }

    fn follow(self: &Arc<Self>, filter: &Filter, after: Position) -> impl Stream<Item = Stored> + Send + use<> {
        let (wakes, woken) = mpsc::unbounded_channel();
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(wakes);
        let state = (Arc::clone(self), filter.clone(), after, woken);
        futures::stream::unfold(state, |(broker, filter, mut after, mut woken)| async move {
            loop {
                match broker.next(&filter, after) {
                    Ok(stored) => {
                        let after = stored.position;
                        return Some((stored, (broker, filter, after, woken)));
                    }
                    Err(nothing_up_to) => after = nothing_up_to,
                }
                woken.recv().await?;
            }
        })
    }

    /// The last position of `stream`.
    pub(crate) fn end(&self, stream: &StreamName) -> Position {
        let last = self.log.last(&Filter::stream(stream)).now_or_never();
        last.and_then(Result::ok).unwrap_or_default()
    }

    /// Everything, in order.
    pub(crate) fn everything(&self) -> Vec<Stored> {
        let end = self.log.last(&Filter::shard(Shard(0))).now_or_never().and_then(Result::ok).unwrap_or_default();
        (1..=end.0).filter_map(|at| self.log.at(Shard(0), Position(at)).now_or_never()?.ok()?).collect()
    }
}

/// The rule that a commit has an id of its own, dropped.
fn id_by_version(stream: &StreamName, expected: Position) -> CommitId {
    format!("{stream}-{expected}").replace('.', "-").parse().expect("a stream's name is made of tokens")
}

/// One process's way to the log.
pub(crate) struct LogPort {
    pub(crate) broker: Arc<Broker>,
    pub(crate) process: Arc<Process>,
    /// For rules of the append that are dropped: the last publish to this stream did not say "stored".
    doubted: Mutex<Option<(StreamName, bool)>>,
}

impl LogPort {
    pub(crate) fn new(broker: Arc<Broker>, process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self { broker, process, doubted: Mutex::default() })
    }

    fn around(&self) -> &Surroundings {
        &self.broker.around
    }

    async fn there(&self) {
        self.process.running().await;
        self.around().latency().await;
    }

    async fn and_back(&self) {
        self.around().latency().await;
        self.process.running().await;
    }

    async fn read<T>(&self, what: impl FnOnce(&MemoryLog) -> T) -> Result<T, LogError> {
        self.there().await;
        let read = what(&self.broker.log);
        self.and_back().await;
        if self.around().fault(4) { Err(LogError::Unavailable("no answer from the log".into())) } else { Ok(read) }
    }
}

#[async_trait]
impl EventLog for LogPort {
    fn shards(&self) -> u16 {
        1
    }

    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        let around = Arc::clone(&self.broker.around);
        self.there().await;
        let unknown = || Published::Unknown("no acknowledgement in time".into());
        let outcome = if around.fault(6) {
            unknown() // lost on its way
        } else if around.fault(8) {
            // Buffered on its way: it lands when nobody waits for it any more.
            let (broker, stream, commit) = (Arc::clone(&self.broker), stream.clone(), commit.clone());
            let late = around.rng.skewed_millis(4_000);
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                broker.store(&stream, expected, &commit, &bytes);
            });
            unknown()
        } else {
            let outcome = self.broker.store(stream, expected, commit, &bytes);
            if around.fault(6) {
                let (broker, stream, commit) = (Arc::clone(&self.broker), stream.clone(), commit.clone());
                let again = around.rng.skewed_millis(4_000);
                tokio::spawn(async move {
                    tokio::time::sleep(again).await;
                    broker.store(&stream, expected, &commit, &bytes);
                });
            }
            if around.fault(10) { unknown() } else { outcome }
        };
        if matches!(outcome, Published::Unknown(_)) {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        self.and_back().await;
        let doubt = match outcome {
            Published::Stored(_) | Published::Refused(_) => None,
            Published::Conflict => Some((stream.clone(), false)),
            Published::Unknown(_) => Some((stream.clone(), true)),
        };
        *self.doubted.lock().unwrap_or_else(PoisonError::into_inner) = doubt;
        outcome
    }

    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        let doubt = self.doubted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let doubt = doubt.filter(|(doubted, _)| doubted == stream);
        let (last_only, gives_up) =
            (self.around().drops(Port::LastMessageOnly), self.around().drops(Port::ReadClosesTimeout));
        let broker = Arc::clone(&self.broker);
        self.read(|_| {
            let first = broker.after(stream, after);
            match doubt {
                Some(_) if last_only => {
                    let end = broker.end(stream);
                    (end > after).then(|| broker.after(stream, Position(end.0 - 1))).flatten()
                }
                // "It was not seen, so another may as well have the slot."
                Some((_, true)) if gives_up && first.is_none() => {
                    Some(Stored::new(stream.clone(), Position(u64::MAX), self.around().time.now(), Bytes::new()))
                }
                _ => first,
            }
        })
        .await
    }

    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        let around = Arc::clone(&self.broker.around);
        let read = self.read(|log| log.load(stream, after).now_or_never()).await?;
        let mut read = read.ok_or_else(|| LogError::Unavailable("the memory log waits".into()))??;
        if around.fault(30) {
            // A replica that lags.
            let behind = usize::try_from(1 + around.rng.below(2)).unwrap_or(1);
            read.truncate(read.len().saturating_sub(behind));
        }
        Ok(read)
    }

    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        let last = self.read(|log| log.last(filter).now_or_never()).await?;
        last.ok_or_else(|| LogError::Unavailable("the memory log waits".into()))?
    }

    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        let at = self.read(|log| log.at(shard, position).now_or_never()).await?;
        at.ok_or_else(|| LogError::Unavailable("the memory log waits".into()))?
    }

    async fn time(&self) -> Result<Timestamp, LogError> {
        let time = self.read(|log| log.time().now_or_never()).await?;
        time.ok_or_else(|| LogError::Unavailable("the memory log waits".into()))?
    }

    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        self.there().await;
        let inner = Box::pin(self.broker.follow(filter, after));
        let (around, process) = (Arc::clone(&self.broker.around), Arc::clone(&self.process));
        let unreliable = futures::stream::unfold((inner, around, process), |(mut inner, around, process)| async move {
            let next = inner.next().await?;
            around.latency().await;
            process.running().await;
            let next =
                if around.fault(2) { Err(LogError::Unavailable("the stream broke off".into())) } else { Ok(next) };
            Some((next, (inner, around, process)))
        });
        Ok(unreliable.boxed())
    }
}
