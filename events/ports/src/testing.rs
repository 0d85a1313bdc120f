//! For tests: fixtures, a log that fails by seed, and the contract that every log passes.
//!
//! The contract is a list of named cases. Each takes a fresh tenant, so all run on one log, again and again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what this module is for is to fail loudly

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use steward_events::commit::{Commit, Entry};
use steward_events::digest::CommitHash;
use steward_events::event::{AggregateKind, Event, TenantEvent};
use steward_events::id::{CommandId, CommitId, CorrelationId, PrincipalId, StreamId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::{Shard, Version};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

use crate::clock::RandomIds;
use crate::log::EventLog;

mod appending;
mod contents;
mod faulty;
mod reading;

pub use contents::content_contract;
pub use faulty::{Faults, FaultyLog, Seed};

/// The longest that one case may take.
const CASE_TIME_MAX: Duration = Duration::from_mins(2);

/// What a case works on: a log, and a tenant that nobody else has.
#[derive(Clone)]
pub(crate) struct Bench {
    log: Arc<dyn EventLog>,
    tenant: TenantId,
}

impl Bench {
    /// A stream of the tenant, in the first shard.
    fn stream(&self, id: &str) -> StreamName {
        let kind = AggregateKind::Tenant;
        StreamName { shard: Shard(0), tenant: self.tenant.clone(), kind, id: StreamId::new(id).unwrap() }
    }
}

type Case = fn(Bench) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($module:ident::$name:ident,)+) => {
        /// The contract's cases by name.
        const CASES: &[(&str, Case)] = &[$((stringify!($name), |bench| $module::$name(bench).boxed()),)+];
    };
}

cases! {
    appending::a_commit_is_stored_once_where_it_is_expected,
    appending::of_rivals_one_wins_and_all_learn_the_truth,
    appending::a_lost_answer_is_found_under_another_writers_commit,
    appending::a_slot_that_a_rival_took_is_a_conflict,
    appending::a_late_publish_is_stored_once_or_never,
    appending::a_retry_is_told_where_the_first_try_is,
    appending::whatever_fails_every_answer_is_true,
    appending::an_append_after_what_is_not_there_is_refused,
    appending::what_no_log_can_store_is_refused,
    reading::load_slot_last_at_and_follow_agree,
    reading::a_follower_begins_in_the_middle_and_hears_what_comes,
    reading::followers_hear_what_they_asked_for_and_nothing_else,
    reading::a_long_stream_is_loaded_whole,
    reading::many_streams_are_apart,
    reading::a_log_that_went_back_is_noticed,
    reading::a_shard_that_does_not_exist_is_an_error,
}

/// Runs the contract on `log`, which has two shards at least; panics at the first breach, naming the case.
pub async fn log_contract(log: Arc<dyn EventLog>) {
    assert!(log.shards() >= 2, "the contract needs two shards");
    for (name, case) in CASES {
        let tenant = TenantId::new(format!("t-{}", RandomIds::default().unique())).unwrap();
        let ended = tokio::time::timeout(CASE_TIME_MAX, case(Bench { log: Arc::clone(&log), tenant })).await;
        assert!(ended.is_ok(), "contract case {name} did not end within {CASE_TIME_MAX:?}");
        tracing::debug!(case = name, "contract case passed");
    }
}

/// A commit of one event that says `what`.
pub fn commit(stream: &StreamName, version: u64, prev: CommitHash, what: &str) -> Commit {
    let ids = RandomIds::default();
    let entry = Entry {
        command: CommandId::new(ids.unique()).unwrap(),
        at: Timestamp(1_000_000 * version),
        actor: PrincipalId::new("p_test").unwrap(),
        on_behalf_of: None,
        key: None,
        causation: None,
        correlation: CorrelationId::new("test").unwrap(),
        body: None,
        events: vec![Event::Tenant(TenantEvent::Suspended { reason: what.to_owned() })],
    };
    Commit {
        id: CommitId::new(ids.unique()).unwrap(),
        stream: stream.clone(),
        version: Version(version),
        prev,
        entries: vec![entry],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::contents::MemoryContents;
    use crate::log::memory::MemoryLog;

    #[tokio::test]
    async fn the_log_in_memory_keeps_the_contract() {
        log_contract(Arc::new(MemoryLog::default())).await;
    }

    #[tokio::test]
    async fn contents_in_memory_keep_the_contract() {
        content_contract(Arc::new(MemoryContents::new(Arc::new(SystemClock::default())))).await;
    }

    #[tokio::test]
    async fn a_log_that_loses_answers_keeps_the_contract_of_appending() {
        for seed in 0..20 {
            let log = FaultyLog::new(Arc::new(MemoryLog::default()), Seed(seed), Faults::default());
            let bench = Bench { log: Arc::new(log), tenant: TenantId::new("faulty").unwrap() };
            appending::of_rivals_one_wins_and_all_learn_the_truth(bench).await;
        }
    }
}
