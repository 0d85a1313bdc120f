//! One delivery of a shard for all who follow it within a process.
//!
//! Several views read the same shard, or the same kinds in it, to its end and then wait for the same commits. With a delivery each, the log sends
//! and the process reads every commit so many times. Here one is held for a while: each reader takes it at its own pace,
//! and it is decoded once (see [`Stored::commit`]). A reader that is further behind than what is held follows the log by
//! itself until it has caught up; so does everybody while the shared delivery is lost, so that it needs no care.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use steward_events::event::AggregateKind;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::timestamp::Timestamp;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{EventLog, Filter, Follow, LogError, Published, Stored, StreamName};

/// Bytes of commits that wait for the slowest reader of a shard; then that one goes on by itself.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of the newest commits that are held though all have them, so that who catches up finds where to join.
const HELD_BYTES: usize = 256 * 1024;

/// After the shared delivery was lost.
const PAUSE: Duration = Duration::from_millis(200);

/// A log whose followers of a shard share one delivery. All else is passed on.
pub struct SharedLog {
    log: Arc<dyn EventLog>,
    tails: Vec<Arc<Tail>>,
}

impl SharedLog {
    /// Over `log`, for those who follow whole shards. Needs a tokio runtime once somebody follows.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self::bounded(log, &[], WAITING_BYTES_MAX, HELD_BYTES)
    }

    /// The same, for those who follow some of these kinds.
    pub fn of_kinds(log: Arc<dyn EventLog>, kinds: &[AggregateKind]) -> Self {
        Self::bounded(log, kinds, WAITING_BYTES_MAX, HELD_BYTES)
    }

    fn bounded(log: Arc<dyn EventLog>, kinds: &[AggregateKind], waiting_bytes_max: usize, held_bytes: usize) -> Self {
        let tail = |shard| {
            let (log, held, moved) = (Arc::clone(&log), Mutex::default(), Notify::new());
            let delivered = Filter::shard(shard).kinds(kinds);
            Arc::new(Tail { log, delivered, waiting_bytes_max, held_bytes, held, moved })
        };
        let tails = (0..log.shards()).map(|shard| tail(Shard(shard))).collect();
        Self { log, tails }
    }
}

#[async_trait]
impl EventLog for SharedLog {
    fn shards(&self) -> u16 {
        self.log.shards()
    }

    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        self.log.publish(stream, expected, commit, bytes).await
    }

    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        self.log.slot(stream, after).await
    }

    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        self.log.load(stream, after).await
    }

    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        self.log.last(filter).await
    }

    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        self.log.at(shard, position).await
    }

    async fn time(&self) -> Result<Timestamp, LogError> {
        self.log.time().await
    }

    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        match self.tails.get(usize::from(filter.shard.0)) {
            Some(tail) if tail.delivers(filter) => Arc::clone(tail).follow(filter, after).await,
            _ => self.log.follow(filter, after).await,
        }
    }
}

/// The newest commits of one shard.
struct Tail {
    log: Arc<dyn EventLog>,
    /// What is delivered.
    delivered: Filter,
    waiting_bytes_max: usize,
    held_bytes: usize,
    held: Mutex<BufferedCommits>,
    /// Told whenever something comes, and when nothing will.
    moved: Notify,
}

#[derive(Default)]
struct BufferedCommits {
    /// Everything after this is held or has yet to come; none while nothing is delivered.
    floor: Option<Position>,
    /// Up to here everything has come.
    newest: Position,
    commits: VecDeque<Stored>,
    bytes: usize,
    /// How far each reader is that reads from here.
    joined: BTreeMap<u64, Position>,
    /// All readers, also those that read by themselves.
    readers: usize,
    names: u64,
    delivery: Option<AbortHandle>,
}

enum Next {
    Commit(Stored),
    NothingYet,
    /// Not to be had here.
    Elsewhere,
}

impl Tail {
    /// True if all of `filter` is delivered here.
    fn delivers(&self, filter: &Filter) -> bool {
        let kinds = &self.delivered.kinds;
        let all = kinds.is_empty() && filter.kinds.is_empty();
        let these =
            !kinds.is_empty() && !filter.kinds.is_empty() && filter.kinds.iter().all(|kind| kinds.contains(kind));
        filter.tenant.is_none() && filter.id.is_none() && (all || these)
    }

    async fn follow(self: Arc<Self>, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        let mut reader = Reader::new(self, filter.clone(), after);
        if !reader.join() {
            reader.read_alone().await?;
        }
        let next = |mut reader: Reader| async move { reader.next().await.map(|next| (next, reader)) };
        Ok(futures::stream::unfold(reader, next).boxed())
    }

    fn held(&self) -> MutexGuard<'_, BufferedCommits> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is delivered, for as long as there are readers.
    async fn take_deliveries(self: Arc<Self>) {
        loop {
            if let Err(error) = self.take_one_delivery().await {
                tracing::debug!(shard = %self.delivered.shard, %error, "the shared delivery of a shard was lost; beginning another");
            }
            self.held().end();
            self.moved.notify_waiters();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn take_one_delivery(&self) -> Result<(), LogError> {
        let start = self.log.last(&self.delivered).await?;
        // Fused: it may end while what has come together is taken.
        let mut commits = self.log.follow(&self.delivered, start).await?.fuse();
        self.held().begin(start);
        while let Some(next) = commits.next().await {
            let mut next = Some(next);
            while let Some(stored) = next {
                let stored = stored?;
                self.held().push(stored, self.waiting_bytes_max, self.held_bytes)?;
                // What has come together is told together.
                next = commits.next().now_or_never().flatten();
            }
            self.moved.notify_waiters();
        }
        Ok(())
    }
}

impl BufferedCommits {
    fn begin(&mut self, start: Position) {
        (self.floor, self.newest) = (Some(start), start);
    }

    fn end(&mut self) {
        self.floor = None;
        self.commits.clear();
        self.bytes = 0;
    }

    fn push(&mut self, stored: Stored, waiting_bytes_max: usize, held_bytes: usize) -> Result<(), LogError> {
        if stored.position <= self.newest {
            return Err(LogError::WentBack(format!("{} came after {}", stored.position, self.newest)));
        }
        self.newest = stored.position;
        self.bytes += stored.bytes.len();
        self.commits.push_back(stored);
        let read_by_all = self.joined.values().min().copied();
        while self.bytes > held_bytes
            && let Some(oldest) = self.commits.front()
            && (self.bytes > waiting_bytes_max || read_by_all.is_none_or(|all| oldest.position <= all))
        {
            self.floor = Some(oldest.position);
            self.bytes = self.bytes.saturating_sub(oldest.bytes.len());
            self.commits.pop_front();
        }
        Ok(())
    }

    /// True if a reader that has read up to `at` finds here everything that follows.
    fn goes_on_from(&self, at: Position) -> bool {
        self.floor.is_some_and(|floor| floor <= at) && at <= self.newest
    }

    fn next(&mut self, reader: u64, at: Position) -> Next {
        if !self.goes_on_from(at) {
            self.joined.remove(&reader);
            return Next::Elsewhere;
        }
        self.joined.insert(reader, at);
        let from = self.commits.partition_point(|stored| stored.position <= at);
        self.commits.get(from).map_or(Next::NothingYet, |stored| Next::Commit(stored.clone()))
    }
}

/// Somebody who follows.
struct Reader {
    tail: Arc<Tail>,
    /// What it wants of that.
    filter: Filter,
    name: u64,
    at: Position,
    /// What it follows by itself, while it is behind.
    alone: Option<Follow>,
}

impl Reader {
    fn new(tail: Arc<Tail>, filter: Filter, at: Position) -> Self {
        let mut held = tail.held();
        held.names += 1;
        held.readers += 1;
        let name = held.names;
        if held.delivery.is_none() {
            held.delivery = Some(tokio::spawn(Arc::clone(&tail).take_deliveries()).abort_handle());
        }
        drop(held);
        Self { tail, filter, name, at, alone: None }
    }

    /// Reads from what is held from now on, if everything that it lacks is or will be there.
    fn join(&mut self) -> bool {
        let mut held = self.tail.held();
        if !held.goes_on_from(self.at) {
            return false;
        }
        held.joined.insert(self.name, self.at);
        self.alone = None;
        true
    }

    async fn read_alone(&mut self) -> Result<(), LogError> {
        self.alone = Some(self.tail.log.follow(&self.filter, self.at).await?);
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<Stored, LogError>> {
        loop {
            if let Some(alone) = &mut self.alone {
                let next = alone.next().await;
                if let Some(Ok(stored)) = &next {
                    self.at = stored.position;
                    self.join();
                }
                return next;
            }
            let tail = Arc::clone(&self.tail);
            let mut moved = pin!(tail.moved.notified());
            moved.as_mut().enable();
            let next = tail.held().next(self.name, self.at);
            match next {
                Next::Commit(stored) => {
                    self.at = stored.position;
                    if self.filter.matches(&stored.stream) {
                        return Some(Ok(stored));
                    }
                }
                Next::NothingYet => moved.await,
                Next::Elsewhere => {
                    if let Err(error) = self.read_alone().await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut held = self.tail.held();
        held.joined.remove(&self.name);
        held.readers -= 1;
        if held.readers == 0 {
            let delivery = held.delivery.take();
            *held = BufferedCommits { names: held.names, ..BufferedCommits::default() };
            drop(held);
            if let Some(delivery) = delivery {
                delivery.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::RandomIds;
    use crate::log::memory::MemoryLog;
    use crate::testing::{commit, log_contract};
    use steward_events::digest::CommitHash;
    use steward_events::id::{StreamId, TenantId};
    use steward_events::ids::Ids;

    /// Counts how often a shard is followed, and ends each delivery after so many commits.
    struct Counting {
        log: MemoryLog,
        follows: AtomicUsize,
        ends_after: usize,
    }

    #[async_trait]
    impl EventLog for Counting {
        fn shards(&self) -> u16 {
            self.log.shards()
        }
        async fn publish(&self, stream: &StreamName, expected: Position, id: &CommitId, bytes: Bytes) -> Published {
            self.log.publish(stream, expected, id, bytes).await
        }
        async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
            self.log.slot(stream, after).await
        }
        async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
            self.log.load(stream, after).await
        }
        async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
            self.log.last(filter).await
        }
        async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
            self.log.at(shard, position).await
        }
        async fn time(&self) -> Result<Timestamp, LogError> {
            self.log.time().await
        }
        async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
            self.follows.fetch_add(1, Ordering::Relaxed);
            let followed = self.log.follow(filter, after).await?;
            // Ends as real ones do: to ask once more is a fault.
            let next = |(mut followed, left): (Follow, usize)| async move {
                let left = left.checked_sub(1)?;
                Some((followed.next().await?, (followed, left)))
            };
            Ok(futures::stream::unfold((followed, self.ends_after), next).boxed())
        }
    }

    fn counting(ends_after: usize) -> Arc<Counting> {
        Arc::new(Counting { log: MemoryLog::default(), follows: AtomicUsize::new(0), ends_after })
    }

    fn whole() -> Filter {
        Filter::shard(Shard(0))
    }

    /// Commits in streams of their own.
    async fn grow(log: &MemoryLog, count: usize) {
        grow_of(AggregateKind::Tenant, log, count).await;
    }

    async fn grow_of(kind: AggregateKind, log: &MemoryLog, count: usize) {
        for _ in 0..count {
            let (tenant, id) = (TenantId::new("acme").unwrap(), StreamId::new(RandomIds::default().unique()).unwrap());
            let stream = StreamName { shard: Shard(0), tenant, kind, id };
            let mut commit = commit(&stream, 1, CommitHash::default(), "one more");
            if kind != AggregateKind::Tenant {
                // What it holds is the business of tenants.
                commit.entries.clear();
            }
            let bytes = Bytes::from(commit.encode().unwrap());
            assert!(matches!(log.publish(&stream, Position(0), &commit.id, bytes).await, Published::Stored(_)));
        }
    }

    async fn positions(follow: &mut Follow, count: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.push(follow.next().await.unwrap().unwrap().position.0);
        }
        seen
    }

    #[tokio::test]
    async fn it_passes_the_contract() {
        log_contract(Arc::new(SharedLog::new(Arc::new(MemoryLog::default())))).await;
    }

    #[tokio::test]
    async fn current_readers_share_one_delivery_and_its_decoded_commit() {
        let counting = counting(usize::MAX);
        let log = SharedLog::new(Arc::clone(&counting) as _);
        grow(&counting.log, 3).await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(log.follow(&whole(), Position(0)).await.unwrap());
        }
        for reader in &mut readers {
            assert_eq!(positions(reader, 3).await, [1, 2, 3]);
        }
        // One more: a reader that read alone sees with it that it may join.
        tokio::task::yield_now().await;
        grow(&counting.log, 1).await;
        for reader in &mut readers {
            assert_eq!(positions(reader, 1).await, [4]);
        }
        let before = counting.follows.load(Ordering::Relaxed);
        grow(&counting.log, 50).await;
        let mut commits = Vec::new();
        for reader in &mut readers {
            let stored = reader.next().await.unwrap().unwrap();
            commits.push(std::ptr::from_ref(stored.commit().unwrap()));
            assert_eq!(positions(reader, 49).await, (6..=54).collect::<Vec<_>>());
        }
        assert!(commits.windows(2).all(|two| two[0] == two[1]), "decoded once");
        assert_eq!(counting.follows.load(Ordering::Relaxed), before, "nobody follows alone any more");
    }

    #[tokio::test]
    async fn readers_of_some_kinds_share_one_delivery_of_all_of_these() {
        const SHARED: &[AggregateKind] = &[AggregateKind::Tenant, AggregateKind::Agent];
        let counting = counting(usize::MAX);
        let log = SharedLog::of_kinds(Arc::clone(&counting) as _, SHARED);
        let mut both = log.follow(&whole().kinds(SHARED), Position(0)).await.unwrap();
        let mut agents = log.follow(&whole().kinds(&[AggregateKind::Agent]), Position(0)).await.unwrap();
        for kind in [AggregateKind::Agent, AggregateKind::Tenant, AggregateKind::Agent] {
            grow_of(kind, &counting.log, 1).await;
        }
        assert_eq!(positions(&mut both, 3).await, [1, 2, 3]);
        assert_eq!(positions(&mut agents, 2).await, [1, 3]);
        tokio::task::yield_now().await;
        let before = counting.follows.load(Ordering::Relaxed);
        for kind in [AggregateKind::Agent, AggregateKind::Tenant, AggregateKind::Ledger, AggregateKind::Agent] {
            grow_of(kind, &counting.log, 1).await;
        }
        assert_eq!(positions(&mut agents, 2).await, [4, 7]);
        assert_eq!(positions(&mut both, 3).await, [4, 5, 7]);
        assert_eq!(counting.follows.load(Ordering::Relaxed), before, "nobody follows alone any more");
        // What is not delivered to all is followed apart.
        let mut ledgers = log.follow(&whole().kinds(&[AggregateKind::Ledger]), Position(0)).await.unwrap();
        assert_eq!(positions(&mut ledgers, 1).await, [6]);
        assert_eq!(counting.follows.load(Ordering::Relaxed), before + 1);
    }

    #[tokio::test]
    async fn a_slow_reader_misses_nothing_and_delays_no_other() {
        let memory = MemoryLog::default();
        let log = SharedLog::bounded(Arc::new(memory.clone()), &[], 4_000, 1_000);
        let (mut quick, mut slow) =
            (log.follow(&whole(), Position(0)).await.unwrap(), log.follow(&whole(), Position(0)).await.unwrap());
        grow(&memory, 1).await;
        assert_eq!(positions(&mut slow, 1).await, [1]);
        for round in 0..40 {
            grow(&memory, 5).await;
            if round == 0 {
                assert_eq!(positions(&mut quick, 6).await, (1..=6).collect::<Vec<_>>());
            } else {
                assert_eq!(positions(&mut quick, 5).await.last(), Some(&(6 + round * 5)));
            }
            assert!(log.tails[0].held().bytes <= 4_000);
        }
        assert_eq!(positions(&mut slow, 200).await, (2..=201).collect::<Vec<_>>());
        grow(&memory, 1).await;
        assert_eq!(positions(&mut slow, 1).await, [202]);
    }

    #[tokio::test]
    async fn a_lost_delivery_is_repeated_to_all_readers() {
        let counting = counting(40);
        let log = SharedLog::bounded(Arc::clone(&counting) as _, &[], 4_000, 1_000);
        // Somebody who keeps the delivery going while the other one follows anew.
        let _keeper = log.follow(&whole(), Position(0)).await.unwrap();
        let (mut seen, mut at, mut joined, mut lost) = (Vec::new(), Position(0), 0, 0);
        while seen.len() < 200 {
            // As views do: after an end they follow again from where they are.
            let mut follow = log.follow(&whole(), at).await.unwrap();
            while seen.len() < 200 {
                tokio::task::yield_now().await;
                grow(&counting.log, 1).await;
                let next = tokio::time::timeout(Duration::from_secs(10), follow.next()).await;
                let Some(Ok(stored)) = next.expect("nobody waits for a delivery that is lost") else { break };
                at = stored.position;
                seen.push(at.0);
                joined += usize::from(!log.tails[0].held().joined.is_empty());
                if log.tails[0].held().floor.is_none() {
                    lost += 1;
                    // Until there is another delivery.
                    tokio::time::sleep(PAUSE / 10).await;
                }
            }
        }
        assert!(joined > 50 && lost > 2, "joined at {joined}, lost at {lost}");
        assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_log_that_went_back_is_noticed() {
        let counting = counting(usize::MAX);
        let log = SharedLog::new(Arc::clone(&counting) as _);
        grow(&counting.log, 3).await;
        let mut reader = log.follow(&whole(), Position(2)).await.unwrap();
        assert_eq!(positions(&mut reader, 1).await, [3]);
        assert!(matches!(log.follow(&whole(), Position(4)).await.err(), Some(LogError::WentBack(_))));
    }

    #[tokio::test]
    async fn without_readers_nothing_is_held_or_delivered() {
        let log = SharedLog::new(Arc::new(MemoryLog::default()));
        let first = log.follow(&whole(), Position(0)).await.unwrap();
        assert!(log.tails[0].held().delivery.is_some());
        drop(first);
        let held = log.tails[0].held();
        assert!(held.delivery.is_none() && held.floor.is_none() && held.commits.is_empty());
    }
}
