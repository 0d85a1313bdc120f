//! Groups form by themselves, and one hot stream is quick.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::event::AggregateKind;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::CommandService;
use steward_ports::log::{EventLog, Filter, Follow, LogError, Published, Stored};

use crate::support::{HandlerEnv, TIME_MAX, accepted};

/// A log whose appends take their time.
struct SlowLog {
    inner: Arc<dyn EventLog>,
    append_takes: Duration,
    appends: AtomicUsize,
}

#[async_trait]
impl EventLog for SlowLog {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }
    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        self.appends.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.append_takes).await;
        self.inner.publish(stream, expected, commit, bytes).await
    }
    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        self.inner.slot(stream, after).await
    }
    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        self.inner.load(stream, after).await
    }
    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        self.inner.last(filter).await
    }
    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        self.inner.at(shard, position).await
    }
    async fn time(&self) -> Result<Timestamp, LogError> {
        self.inner.time().await
    }
    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        self.inner.follow(filter, after).await
    }
}

async fn send_at_once(env: &HandlerEnv, commands: usize) {
    let handler = env.handler();
    handler.caught_up(TIME_MAX).await.unwrap();
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..commands {
        let (handler, request) = (Arc::clone(&handler), env.account(&format!("bot-{number}")));
        sent.spawn(async move { accepted(handler.handle(request).await) });
    }
    while let Some(done) = sent.join_next().await {
        assert_eq!(done.unwrap().events.len(), 1);
    }
}

#[tokio::test]
async fn commands_queued_during_an_append_make_the_next_commit() {
    const COMMANDS: usize = 200;
    let mut env = HandlerEnv::new().await;
    let append_takes = Duration::from_millis(30);
    let slow = Arc::new(SlowLog { inner: Arc::clone(&env.log), append_takes, appends: AtomicUsize::new(0) });
    env.log = Arc::clone(&slow) as Arc<dyn EventLog>;
    send_at_once(&env, COMMANDS).await;
    let commits = env.commits(AggregateKind::Identity, "main").await;
    let entries: usize = commits.iter().map(|(_, commit)| commit.entries.len()).sum();
    assert_eq!(entries, COMMANDS);
    assert!(commits.len() <= 5, "{} commits for {COMMANDS} commands sent at once", commits.len());
    assert_eq!(slow.appends.load(Ordering::Relaxed), commits.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hot_stream_decides_hundreds_a_second_even_unoptimised() {
    const COMMANDS: usize = 2_000;
    let env = HandlerEnv::new().await;
    let began = Instant::now();
    send_at_once(&env, COMMANDS).await;
    let taken = began.elapsed();
    let commits = env.commits(AggregateKind::Identity, "main").await.len();
    println!("{COMMANDS} commands on one stream in {taken:?}, {commits} commits");
    // An unoptimised build on a busy machine; the figure for users is measured elsewhere.
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}
