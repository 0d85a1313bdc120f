//! The log in memory: for tests and simulations, by the same contract as the real one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use tokio::sync::watch;

use crate::clock::{Clock, SystemClock};
use crate::log::{EventLog, Filter, Follow, LogError, Published, Stored};

/// A log that lives as long as the process.
#[derive(Clone)]
pub struct MemoryLog(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<MemoryShard>>,
    grown: watch::Sender<u64>,
}

#[derive(Default)]
struct MemoryShard {
    commits: Vec<Stored>,
    last: HashMap<StreamName, Position>,
    ids: HashMap<CommitId, Position>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(8, Arc::new(SystemClock::default()))
    }
}

impl MemoryLog {
    /// An empty log with this many shards.
    pub fn new(shards: u16, clock: Arc<dyn Clock>) -> Self {
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { clock, shards, grown: watch::channel(0).0 }))
    }
}

impl Inner {
    fn held(&self, shard: Shard) -> Result<MutexGuard<'_, MemoryShard>, LogError> {
        let held = self.shards.get(usize::from(shard.0));
        let held = held.ok_or_else(|| LogError::Unavailable(format!("there is no shard {shard}").into()))?;
        Ok(held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn store(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        let mut held = match self.held(stream.shard) {
            Ok(held) => held,
            Err(error) => return Published::Refused(error.into()),
        };
        if let Some(position) = held.ids.get(commit) {
            return Published::Stored(*position);
        }
        if held.last.get(stream).copied().unwrap_or_default() != expected {
            return Published::Conflict;
        }
        let position = Position(held.commits.len() as u64 + 1);
        held.ids.insert(commit.clone(), position);
        held.last.insert(stream.clone(), position);
        held.commits.push(Stored::new(stream.clone(), position, self.clock.now(), bytes));
        drop(held);
        self.grown.send_modify(|grown| *grown += 1);
        Published::Stored(position)
    }

    /// The first commit that matches after `after`, or the position up to which there is none.
    fn next(&self, filter: &Filter, after: Position) -> Result<Result<Stored, Position>, LogError> {
        let held = self.held(filter.shard)?;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(held.commits.len());
        let found = held.commits[from..].iter().find(|stored| filter.matches(&stored.stream));
        Ok(found.cloned().ok_or(Position(held.commits.len() as u64)))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn shards(&self) -> u16 {
        u16::try_from(self.0.shards.len()).unwrap_or(u16::MAX)
    }

    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        self.0.store(stream, expected, commit, bytes)
    }

    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        Ok(self.0.next(&Filter::stream(stream), after)?.ok())
    }

    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        let held = self.0.held(stream.shard)?;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX).min(held.commits.len());
        Ok(held.commits[from..].iter().filter(|stored| stored.stream == *stream).cloned().collect())
    }

    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        let held = self.0.held(filter.shard)?;
        let last = held.commits.iter().rev().find(|stored| filter.matches(&stored.stream));
        Ok(last.map_or(Position(0), |stored| stored.position))
    }

    async fn time(&self) -> Result<Timestamp, LogError> {
        Ok(self.0.clock.now())
    }

    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        let index = usize::try_from(position.0).ok().and_then(|number| number.checked_sub(1));
        let held = self.0.held(shard)?;
        Ok(index.and_then(|index| held.commits.get(index).cloned()))
    }

    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        let held = self.0.held(filter.shard)?.commits.len();
        if after.0 > held as u64 {
            return Err(LogError::WentBack(format!(
                "shard {} ends at {held} and was read up to {after}",
                filter.shard
            )));
        }
        let state = (Arc::clone(&self.0), filter.clone(), after, self.0.grown.subscribe());
        let next = |(inner, filter, mut after, mut grown): (Arc<Inner>, Filter, Position, watch::Receiver<u64>)| async move {
            loop {
                grown.mark_unchanged();
                match inner.next(&filter, after) {
                    Ok(Ok(stored)) => {
                        let after = stored.position;
                        return Some((Ok(stored), (inner, filter, after, grown)));
                    }
                    Ok(Err(nothing_up_to)) => after = after.max(nothing_up_to),
                    Err(error) => return Some((Err(error), (inner, filter, after, grown))),
                }
                grown.changed().await.ok()?;
            }
        };
        Ok(futures::stream::unfold(state, next).boxed())
    }
}
