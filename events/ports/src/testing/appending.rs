//! The contract of appending: what is stored is stored once, where it was expected, and everyone learns the truth.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use steward_events::commit::{COMMIT_BYTES_MAX, Commit};
use steward_events::digest::CommitHash;
use steward_events::quantity::Position;
use steward_events::stream::StreamName;

use super::{Bench, Faults, FaultyLog, Seed, commit};
use crate::append::{AppendError, Appended, append};
use crate::log::{EventLog, Filter, LogError, Published};

const RIVALS: usize = 16;

fn encoded(commit: &Commit) -> Bytes {
    commit.encode().unwrap().into()
}

/// The whole stream, its end confirmed at the leader: a replica may lag, and a test log may fail to be read.
pub(super) async fn whole(log: &dyn EventLog, stream: &StreamName) -> Vec<Commit> {
    let last = retry(|| log.last_of(stream)).await;
    loop {
        let loaded = retry(|| log.load(stream, Position(0))).await;
        if loaded.last().map_or(Position(0), |stored| stored.position) >= last {
            return loaded.iter().map(|stored| Commit::decode(stream, &stored.bytes).unwrap()).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn retry<T, F: Future<Output = Result<T, LogError>>>(read: impl Fn() -> F) -> T {
    loop {
        match read().await {
            Ok(found) => return found,
            Err(LogError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("the log cannot be read: {error}"),
        }
    }
}

trait LastOf {
    async fn last_of(&self, stream: &StreamName) -> Result<Position, LogError>;
}

impl LastOf for dyn EventLog + '_ {
    async fn last_of(&self, stream: &StreamName) -> Result<Position, LogError> {
        self.last(&Filter::stream(stream)).await
    }
}

pub(super) async fn a_commit_is_stored_once_where_it_is_expected(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    assert!(log.slot(&stream, Position(0)).await.unwrap().is_none());
    assert!(log.load(&stream, Position(0)).await.unwrap().is_empty());
    assert_eq!(log.last(&Filter::stream(&stream)).await.unwrap(), Position(0));

    let first = commit(&stream, 1, CommitHash::default(), "first");
    let Published::Stored(one) = log.publish(&stream, Position(0), &first.id, encoded(&first)).await else {
        panic!("the first commit is not stored")
    };
    let second = commit(&stream, 2, CommitHash::of(&encoded(&first)), "second");
    let Published::Stored(two) = log.publish(&stream, one, &second.id, encoded(&second)).await else {
        panic!("the second commit is not stored")
    };
    assert!(two > one && one > Position(0));
    for expected in [Position(0), one, Position(two.0 + 1_000_000)] {
        let stray = commit(&stream, 3, CommitHash::default(), "stray");
        let published = log.publish(&stream, expected, &stray.id, encoded(&stray)).await;
        assert!(matches!(published, Published::Conflict), "expected {expected}: {published:?}");
    }
    assert_eq!(whole(log, &stream).await, [first, second]);
}

pub(super) async fn of_rivals_one_wins_and_all_learn_the_truth(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let (mut expected, mut prev) = (Position(0), CommitHash::default());
    let mut winners = Vec::new();
    for version in 1..=4 {
        let rivals: Vec<Commit> = (0..RIVALS).map(|n| commit(&stream, version, prev, &format!("rival {n}"))).collect();
        let outcomes = join_all(rivals.iter().map(|rival| append(log, expected, rival))).await;
        let mut won: Vec<(&Commit, Appended)> = Vec::new();
        for (rival, outcome) in rivals.iter().zip(outcomes) {
            match outcome {
                Ok(appended) => won.push((rival, appended)),
                Err(AppendError::Conflict) => {}
                Err(error) => panic!("a rival learnt nothing: {error:?}"),
            }
        }
        let [(winner, appended)] = won[..] else { panic!("{} of {RIVALS} rivals won", won.len()) };
        assert_eq!(appended.hash, CommitHash::of(&encoded(winner)));
        let slot = retry(|| log.slot(&stream, expected)).await.unwrap();
        assert_eq!((slot.position, &slot.bytes), (appended.position, &encoded(winner)));
        winners.push(winner.clone());
        (expected, prev) = (appended.position, appended.hash);
    }
    assert_eq!(whole(log, &stream).await, winners);
}

pub(super) async fn a_lost_answer_is_found_under_another_writers_commit(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let mine = commit(&stream, 1, CommitHash::default(), "mine");
    // Its answer is lost: the writer knows nothing of it.
    let Published::Stored(at) = log.publish(&stream, Position(0), &mine.id, encoded(&mine)).await else {
        panic!("mine is not stored")
    };
    let on_top = commit(&stream, 2, CommitHash::of(&encoded(&mine)), "on top");
    append(log, at, &on_top).await.unwrap();
    assert_eq!(append(log, Position(0), &mine).await.unwrap().position, at);
    assert_eq!(whole(log, &stream).await, [mine, on_top]);
}

pub(super) async fn a_slot_that_a_rival_took_is_a_conflict(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let theirs = commit(&stream, 1, CommitHash::default(), "theirs");
    let at = append(log, Position(0), &theirs).await.unwrap();
    let on_top = commit(&stream, 2, at.hash, "on top");
    append(log, at.position, &on_top).await.unwrap();
    let mine = commit(&stream, 1, CommitHash::default(), "mine");
    for _ in 0..2 {
        assert!(matches!(append(log, Position(0), &mine).await, Err(AppendError::Conflict)));
    }
    assert_eq!(whole(log, &stream).await, [theirs, on_top]);
}

pub(super) async fn an_append_after_what_is_not_there_is_refused(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let first = append(log, Position(0), &commit(&stream, 1, CommitHash::default(), "first")).await.unwrap();
    let beyond = Position(first.position.0 + 1_000_000);
    let refused = append(log, beyond, &commit(&stream, 2, first.hash, "second")).await.unwrap_err();
    assert!(matches!(refused, AppendError::Refused(_)), "{refused:?}");
}

/// A time-out whose publish lands late: before the writer sends again, after, or after a rival took the slot.
pub(super) async fn a_late_publish_is_stored_once_or_never(bench: Bench) {
    let late_max = Duration::from_millis(100);
    let faults = Faults { lost_before: 0, lost_after: 0, late: 60, late_max, unreadable: 0 };
    for seed in 0..12 {
        let stream = bench.stream(&format!("late-{seed}"));
        let late = FaultyLog::new(Arc::clone(&bench.log), Seed(seed), faults);
        let mine = commit(&stream, 1, CommitHash::default(), "mine");
        let theirs = commit(&stream, 1, CommitHash::default(), "theirs");
        let rival = async {
            tokio::time::sleep(Duration::from_millis(seed * 5)).await;
            append(&*bench.log, Position(0), &theirs).await
        };
        let outcomes = tokio::join!(append(&late, Position(0), &mine), rival);
        // Whatever is still on its way lands now.
        tokio::time::sleep(late_max).await;
        let stored = whole(&*bench.log, &stream).await;
        match outcomes {
            (Ok(_), Err(AppendError::Conflict)) => assert_eq!(stored, [mine], "seed {seed}"),
            (Err(AppendError::Conflict), Ok(_)) => assert_eq!(stored, [theirs], "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

/// One node answers a retry with a conflict, three with a duplicate: nobody may notice.
pub(super) async fn a_retry_is_told_where_the_first_try_is(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let first = commit(&stream, 1, CommitHash::default(), "first");
    let one = append(log, Position(0), &first).await.unwrap();
    assert_eq!(append(log, Position(0), &first).await.unwrap(), one);
    let second = commit(&stream, 2, one.hash, "second");
    let two = append(log, one.position, &second).await.unwrap();
    assert_eq!(append(log, Position(0), &first).await.unwrap(), one);
    assert_eq!(append(log, one.position, &second).await.unwrap(), two);
    assert_eq!(whole(log, &stream).await, [first, second]);
}

/// Writers that read, decide and append through a log that fails as it likes.
pub(super) async fn whatever_fails_every_answer_is_true(bench: Bench) {
    const WRITERS: u64 = 4;
    const COMMITS_EACH: usize = 6;
    let stream = bench.stream("main");
    let writers = (0..WRITERS).map(|writer| {
        let faulty = FaultyLog::new(Arc::clone(&bench.log), Seed(1_000 + writer), Faults::default());
        let stream = stream.clone();
        async move {
            let (mut kept, mut refused) = (Vec::new(), Vec::new());
            while kept.len() < COMMITS_EACH {
                let loaded = retry(|| faulty.load(&stream, Position(0))).await;
                let last = loaded.last().map_or(Position(0), |stored| stored.position);
                let prev = loaded.last().map_or(CommitHash::default(), |stored| CommitHash::of(&stored.bytes));
                let what = format!("{writer}/{}", kept.len());
                let mine = commit(&stream, loaded.len() as u64 + 1, prev, &what);
                match append(&faulty, last, &mine).await {
                    Ok(appended) => kept.push((appended.position, mine)),
                    Err(AppendError::Conflict) => refused.push(mine.id),
                    Err(error) => panic!("a writer learnt nothing: {error:?}"),
                }
            }
            (kept, refused)
        }
    });
    let outcomes = join_all(writers).await;
    tokio::time::sleep(Faults::default().late_max).await;
    let stored = whole(&*bench.log, &stream).await;
    let mut prev = CommitHash::default();
    for (version, commit) in (1..).zip(&stored) {
        assert_eq!((commit.version.0, commit.prev), (version, prev));
        prev = CommitHash::of(&encoded(commit));
    }
    let mut kept_in_all = 0;
    for (kept, refused) in outcomes {
        kept_in_all += kept.len();
        for (position, mine) in kept {
            let at = bench.log.at(stream.shard, position).await.unwrap().expect("what was acknowledged is there");
            assert_eq!(at.bytes, encoded(&mine));
        }
        assert!(!stored.iter().any(|commit| refused.contains(&commit.id)), "what was called a conflict is stored");
    }
    assert_eq!(stored.len(), kept_in_all, "something is stored that nobody was told of");
}

pub(super) async fn what_no_log_can_store_is_refused(bench: Bench) {
    let (log, stream) = (&*bench.log, bench.stream("main"));
    let large = |bytes: usize| commit(&stream, 1, CommitHash::default(), &"x".repeat(bytes));
    let overhead = encoded(&large(COMMIT_BYTES_MAX / 2)).len() - COMMIT_BYTES_MAX / 2;
    let too_large = large(COMMIT_BYTES_MAX - overhead + 1);
    assert!(matches!(append(log, Position(0), &too_large).await, Err(AppendError::Refused(_))));
    let largest = large(COMMIT_BYTES_MAX - overhead);
    append(log, Position(0), &largest).await.unwrap();
    assert_eq!(whole(log, &stream).await, [largest]);
}
