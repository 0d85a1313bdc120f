//! Servers are killed under load: what was acknowledged is there, once, and who follows hears all of it in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use steward_events::commit::Commit;
use steward_events::digest::CommitHash;
use steward_events::event::AggregateKind;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_jetstream::server::{Options, Server};
use steward_jetstream::{JetStreamLog, Role};
use steward_ports::append::{AppendError, append};
use steward_ports::log::{EventLog, Filter, LogError};
use steward_ports::testing::commit;
use support::{Bus, SHARDS, ThreeNodes, kill};
use tokio::task::JoinSet;

const WRITERS: u64 = 8;

fn stream(writer: u64) -> StreamName {
    // Two writers share a stream, so that conflicts happen too.
    let id = format!("s-{}", writer / 2).parse().unwrap();
    StreamName { shard: Shard(0), tenant: "acme".parse().unwrap(), kind: AggregateKind::Tenant, id }
}

/// Appends until told to stop; gives what was acknowledged.
async fn write(log: Arc<dyn EventLog>, writer: u64, stop: Arc<AtomicBool>) -> Vec<(Position, CommitId)> {
    let stream = stream(writer);
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(state) = log.load(&stream, Position(0)).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let last = state.last().map_or(Position(0), |stored| stored.position);
        let prev = state.last().map_or(CommitHash::default(), |stored| CommitHash::of(&stored.bytes));
        let mine = commit(&stream, state.len() as u64 + 1, prev, &format!("writer {writer}"));
        match append(&*log, last, &mine).await {
            Ok(appended) => acknowledged.push((appended.position, mine.id)),
            Err(AppendError::Conflict) => {}
            Err(error) => panic!("writer {writer} learnt nothing: {error:?}"),
        }
    }
    acknowledged
}

/// Follows until it has heard up to `until`, going on where it was whenever the log ends the stream.
async fn hear(
    log: Arc<dyn EventLog>,
    until: tokio::sync::watch::Receiver<Option<Position>>,
) -> Vec<(Position, CommitId)> {
    let mut heard: Vec<(Position, CommitId)> = Vec::new();
    loop {
        let after = heard.last().map_or(Position(0), |(position, _)| *position);
        let mut follow = match log.follow(&Filter::shard(Shard(0)), after).await {
            Ok(follow) => follow,
            Err(LogError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        loop {
            let last = heard.last().map_or(Position(0), |(position, _)| *position);
            if until.borrow().is_some_and(|until| last >= until) {
                return heard;
            }
            match tokio::time::timeout(Duration::from_millis(200), follow.next()).await {
                Err(_) => {}
                Ok(Some(Ok(stored))) => {
                    let commit = Commit::decode(&stored.stream, &stored.bytes).unwrap();
                    heard.push((stored.position, commit.id));
                }
                Ok(Some(Err(LogError::Unavailable(_))) | None) => break,
                Ok(Some(Err(error))) => panic!("{error}"),
            }
        }
    }
}

/// Runs writers and two followers, one of which asks at a pace, while `chaos` goes on, then compares what each of them knows.
async fn nothing_is_lost(log: JetStreamLog, chaos: impl Future<Output = ()>) {
    let paced: Arc<dyn EventLog> = Arc::new(log.clone().paced(Duration::from_millis(10)));
    let log: Arc<dyn EventLog> = Arc::new(log.with_publish_time_max(Duration::from_secs(1)));
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, until) = tokio::sync::watch::channel(None);
    let asking = tokio::spawn(hear(paced, until.clone()));
    let follower = tokio::spawn(hear(Arc::clone(&log), until));
    let mut writers: JoinSet<_> = (0..WRITERS).map(|w| write(Arc::clone(&log), w, Arc::clone(&stop))).collect();
    Box::pin(chaos).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    while let Some(written) = writers.join_next().await {
        acknowledged.extend(written.unwrap());
    }
    acknowledged.sort();
    let last = log.last(&Filter::shard(Shard(0))).await.unwrap();
    tell.send_replace(Some(last));
    let heard = tokio::time::timeout(Duration::from_mins(1), follower).await.expect("heard in time").unwrap();
    let asked = tokio::time::timeout(Duration::from_mins(1), asking).await.expect("heard in time").unwrap();
    assert!(acknowledged.len() > 50, "only {} appends: nothing was tried", acknowledged.len());
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0), "out of order, or twice");
    assert_eq!(heard.len() as u64, last.0, "something was not heard");
    assert_eq!(asked, heard, "a follower that asks heard something else");
    assert_eq!(acknowledged, heard, "what was acknowledged is not what is stored");
    for writer in 0..WRITERS {
        let mut prev = CommitHash::default();
        for stored in log.load(&stream(writer), Position(0)).await.unwrap() {
            assert_eq!(Commit::decode(&stored.stream, &stored.bytes).unwrap().prev, prev);
            prev = CommitHash::of(&stored.bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_killed_three_times_loses_nothing() {
    let mut bus = Bus::start().await;
    let log = JetStreamLog::connect(&bus.server().credentials(Role::Aggregates), SHARDS).await.unwrap();
    let dir = bus.dir.path().to_owned();
    let mut server = bus.server.take();
    Box::pin(nothing_is_lost(log, async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let killed = server.take().unwrap();
            kill(&killed);
            drop(killed);
            server = Some(Server::start(Options::new(&dir)).await.unwrap());
        }
    }))
    .await;
    bus.server = server;
    bus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_each_killed_once_lose_nothing() {
    let mut nodes = ThreeNodes::start().await;
    let log = nodes.log(Role::Aggregates).await;
    Box::pin(nothing_is_lost(log, async {
        // Whichever leads, it is among them.
        for at in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            kill(&nodes.servers[at].take().unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
            let again = nodes.start_node(at).await;
            nodes.servers[at] = Some(again);
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
    }))
    .await;
    nodes.stop().await;
}
