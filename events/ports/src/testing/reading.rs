//! The contract of reading: one truth, whichever way it is read.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use steward_events::digest::CommitHash;
use steward_events::event::AggregateKind;
use steward_events::id::StreamId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;

use super::appending::whole;
use super::{Bench, commit};
use crate::append::append;
use crate::log::{Filter, Follow, LogError, Stored};

/// More than one page of any log.
const LONG: u64 = 1_234;

/// Appends `count` commits to `stream`, which holds `before`.
async fn grow(bench: &Bench, stream: &StreamName, before: &[Stored], count: u64) -> Vec<Stored> {
    let mut last = before.last().map_or(Position(0), |stored| stored.position);
    let mut prev = before.last().map_or(CommitHash::default(), |stored| CommitHash::of(&stored.bytes));
    let mut grown = Vec::new();
    for number in 1..=count {
        let next = commit(stream, before.len() as u64 + number, prev, &format!("number {number}"));
        let appended = append(&*bench.log, last, &next).await.unwrap();
        (last, prev) = (appended.position, appended.hash);
        grown.push(bench.log.at(stream.shard, last).await.unwrap().expect("what was acknowledged is there"));
    }
    grown
}

async fn hear(follow: &mut Follow, count: usize) -> Vec<Stored> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), follow.next()).await;
        heard.push(next.expect("in time").expect("no end").expect("no error"));
    }
    heard
}

async fn nothing_more(follow: &mut Follow) {
    let more = tokio::time::timeout(Duration::from_millis(100), follow.next()).await;
    assert!(more.is_err(), "more was heard: {more:?}");
}

pub(super) async fn load_slot_last_at_and_follow_agree(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let other = bench.stream("other");
    let mut stored = Vec::new();
    for _ in 0..5 {
        let grown = grow(&bench, &stream, &stored, 2).await;
        stored.extend(grown);
        let between = whole(log, &other).await;
        let prev = between.last().map_or(CommitHash::default(), |commit| CommitHash::of(&commit.encode().unwrap()));
        let last = log.last(&Filter::stream(&other)).await.unwrap();
        append(log, last, &commit(&other, between.len() as u64 + 1, prev, "between")).await.unwrap();
    }
    assert!(stored.is_sorted_by_key(|stored| stored.position));
    assert_eq!(whole(log, &stream).await.len(), stored.len());
    assert_eq!(log.load(&stream, Position(0)).await.unwrap(), stored);
    assert_eq!(log.load(&stream, stored[3].position).await.unwrap(), stored[4..]);
    assert_eq!(log.load(&stream, stored[9].position).await.unwrap(), []);
    let mut after = Position(0);
    for expected in &stored {
        assert_eq!(log.slot(&stream, after).await.unwrap().as_ref(), Some(expected));
        after = expected.position;
    }
    assert_eq!(log.slot(&stream, after).await.unwrap(), None);
    assert_eq!(log.last(&Filter::stream(&stream)).await.unwrap(), after);
    assert_eq!(log.at(stream.shard, Position(0)).await.unwrap(), None);
    assert_eq!(log.at(stream.shard, Position(u64::MAX - 1)).await.unwrap(), None);
    let mut follow = log.follow(&Filter::stream(&stream), Position(0)).await.unwrap();
    assert_eq!(hear(&mut follow, stored.len()).await, stored);
}

pub(super) async fn a_follower_begins_in_the_middle_and_hears_what_comes(bench: Bench) {
    let stream = bench.stream("main");
    let mut stored = grow(&bench, &stream, &[], 6).await;
    let filter = Filter::shard(stream.shard).tenant(&bench.tenant);
    let mut follow = bench.log.follow(&filter, stored[2].position).await.unwrap();
    assert_eq!(hear(&mut follow, 3).await, stored[3..]);
    nothing_more(&mut follow).await;
    let grown = grow(&bench, &stream, &stored, 4).await;
    assert_eq!(hear(&mut follow, 4).await, grown);
    stored.extend(grown);
    let mut at_the_end = bench.log.follow(&filter, stored[9].position).await.unwrap();
    nothing_more(&mut at_the_end).await;
    let grown = grow(&bench, &stream, &stored, 1).await;
    assert_eq!(hear(&mut at_the_end, 1).await, grown);
}

pub(super) async fn followers_hear_what_they_asked_for_and_nothing_else(bench: Bench) {
    let log = &*bench.log;
    let (one, two) = (bench.stream("one"), bench.stream("two"));
    let elsewhere = StreamName { shard: Shard(1), ..one.clone() };
    let mut of_one = log.follow(&Filter::stream(&one), Position(0)).await.unwrap();
    let kinds = [AggregateKind::Ledger, AggregateKind::Tenant, AggregateKind::Usage];
    let filter = Filter::shard(Shard(0)).tenant(&bench.tenant);
    let mut of_kinds = log.follow(&filter.clone().kinds(&kinds), Position(0)).await.unwrap();
    let mut of_usage = log.follow(&filter.kinds(&kinds[2..]), Position(0)).await.unwrap();
    let first = grow(&bench, &one, &[], 2).await;
    let second = grow(&bench, &two, &[], 2).await;
    let third = grow(&bench, &elsewhere, &[], 1).await;
    assert_eq!(hear(&mut of_one, 2).await, first);
    nothing_more(&mut of_one).await;
    assert_eq!(hear(&mut of_kinds, 4).await, [first, second].concat());
    nothing_more(&mut of_kinds).await;
    nothing_more(&mut of_usage).await;
    assert_eq!(log.load(&elsewhere, Position(0)).await.unwrap(), third);
    let ledgers = Filter::shard(Shard(0)).tenant(&bench.tenant).kinds(&kinds[..1]);
    assert_eq!(log.last(&ledgers).await.unwrap(), Position(0));
}

pub(super) async fn a_long_stream_is_loaded_whole(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let mut prev = CommitHash::default();
    let mut last = Position(0);
    for version in 1..=LONG {
        let appended = append(log, last, &commit(&stream, version, prev, "long")).await.unwrap();
        (last, prev) = (appended.position, appended.hash);
    }
    let versions: Vec<u64> = whole(log, &stream).await.iter().map(|commit| commit.version.0).collect();
    assert_eq!(versions, (1..=LONG).collect::<Vec<_>>());
    let mut follow = log.follow(&Filter::stream(&stream), Position(0)).await.unwrap();
    let heard = hear(&mut follow, versions.len()).await;
    assert_eq!(heard.last().unwrap().position, last);
    assert!(heard.is_sorted_by_key(|stored| stored.position));
}

pub(super) async fn many_streams_are_apart(bench: Bench) {
    const STREAMS: u64 = 100;
    let streams: Vec<StreamName> = (0..STREAMS).map(|n| bench.stream(&format!("s-{n}"))).collect();
    let grown = join_all(streams.iter().map(|stream| grow(&bench, stream, &[], 3))).await;
    for (stream, stored) in streams.iter().zip(&grown) {
        assert_eq!(whole(&*bench.log, stream).await.len(), 3);
        assert_eq!(bench.log.last(&Filter::stream(stream)).await.unwrap(), stored[2].position);
    }
    let mut all: Vec<Stored> = grown.concat();
    all.sort_by_key(|stored| stored.position);
    let filter = Filter::shard(Shard(0)).tenant(&bench.tenant);
    let mut follow = bench.log.follow(&filter, Position(0)).await.unwrap();
    assert_eq!(hear(&mut follow, all.len()).await, all);
    assert_eq!(bench.log.last(&filter).await.unwrap(), all.last().unwrap().position);
}

pub(super) async fn a_log_that_went_back_is_noticed(bench: Bench) {
    let stream = bench.stream("main");
    let stored = grow(&bench, &stream, &[], 1).await;
    let beyond = Position(stored[0].position.0 + 1_000_000);
    let followed = match bench.log.follow(&Filter::stream(&stream), beyond).await {
        Ok(mut follow) => follow.next().await.expect("an answer").map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(followed, Err(LogError::WentBack(_))), "{followed:?}");
}

pub(super) async fn a_shard_that_does_not_exist_is_an_error(bench: Bench) {
    let log = &*bench.log;
    let shard = Shard(log.shards());
    let nowhere = StreamName { shard, tenant: bench.tenant.clone(), kind: AggregateKind::Tenant, id: StreamId::main() };
    assert!(append(log, Position(0), &commit(&nowhere, 1, CommitHash::default(), "lost")).await.is_err());
    assert!(log.load(&nowhere, Position(0)).await.is_err());
    assert!(log.slot(&nowhere, Position(0)).await.is_err());
    assert!(log.last(&Filter::shard(shard)).await.is_err());
    assert!(log.at(shard, Position(1)).await.is_err());
    assert!(log.follow(&Filter::shard(shard), Position(0)).await.is_err());
}
