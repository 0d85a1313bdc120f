//! A log that fails by seed: before an append takes effect, after it, or so that it takes effect later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

use crate::log::{EventLog, Filter, Follow, LogError, Published, Stored};

/// Where a random sequence begins; the same seed gives the same faults in the same order of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// How often what fails, in percent of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// An append never leaves; its outcome is unknown.
    pub lost_before: u8,
    /// An append takes effect, its answer is lost.
    pub lost_after: u8,
    /// An append's outcome is unknown now and it takes effect later, if it still can.
    pub late: u8,
    /// How late at most.
    pub late_max: Duration,
    /// A read fails.
    pub unreadable: u8,
}

impl Default for Faults {
    fn default() -> Self {
        Self { lost_before: 15, lost_after: 15, late: 15, late_max: Duration::from_millis(60), unreadable: 15 }
    }
}

/// A log whose calls fail as [`Faults`] say.
pub struct FaultyLog {
    inner: Arc<dyn EventLog>,
    faults: Faults,
    random: Mutex<u64>,
}

enum Fate {
    Good,
    LostBefore,
    LostAfter,
    Late(Duration),
}

impl FaultyLog {
    /// `inner`, with faults.
    pub fn new(inner: Arc<dyn EventLog>, Seed(seed): Seed, faults: Faults) -> Self {
        Self { inner, faults, random: Mutex::new(seed) }
    }

    /// splitmix64.
    fn next(&self) -> u64 {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fate(&self) -> Fate {
        let Faults { lost_before, lost_after, late, late_max, .. } = self.faults;
        let (before, after, late) = (u64::from(lost_before), u64::from(lost_after), u64::from(late));
        match self.next() % 100 {
            dice if dice < before => Fate::LostBefore,
            dice if dice < before + after => Fate::LostAfter,
            dice if dice < before + after + late => {
                let micros = u64::try_from(late_max.as_micros()).unwrap_or(u64::MAX).max(1);
                Fate::Late(Duration::from_micros(self.next() % micros))
            }
            _ => Fate::Good,
        }
    }

    fn readable(&self) -> Result<(), LogError> {
        if self.next() % 100 < u64::from(self.faults.unreadable) {
            return Err(LogError::Unavailable("a fault by seed: unreadable".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        match self.fate() {
            Fate::Good => self.inner.publish(stream, expected, commit, bytes).await,
            Fate::LostBefore => Published::Unknown("a fault by seed: lost before".into()),
            Fate::LostAfter => {
                self.inner.publish(stream, expected, commit, bytes).await;
                Published::Unknown("a fault by seed: lost after".into())
            }
            Fate::Late(by) => {
                let (inner, stream, commit) = (Arc::clone(&self.inner), stream.clone(), commit.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    inner.publish(&stream, expected, &commit, bytes).await;
                });
                Published::Unknown("a fault by seed: late".into())
            }
        }
    }

    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        self.readable()?;
        self.inner.slot(stream, after).await
    }

    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        self.readable()?;
        self.inner.load(stream, after).await
    }

    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        self.readable()?;
        self.inner.last(filter).await
    }

    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        self.readable()?;
        self.inner.at(shard, position).await
    }

    async fn time(&self) -> Result<Timestamp, LogError> {
        self.inner.time().await
    }

    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        self.readable()?;
        self.inner.follow(filter, after).await
    }
}
