//! A log whose answers are lost, late or never sent: whatever is acknowledged happened, and once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steward_events::event::{AggregateKind, Event, IdentityEvent};
use steward_ports::bus::CommandService;
use steward_ports::clock::{Clock, SystemClock};
use steward_ports::log::EventLog;
use steward_ports::log::memory::MemoryLog;
use steward_ports::testing::{Faults, FaultyLog, Seed};

use crate::support::{HandlerEnv, SHARDS};

const COMMANDS: usize = 40;
const TRIES_MAX: usize = 100;

/// `patience` is how long a sender waits at its attempt of this number before it goes away.
async fn every_command_once(seed: u64, patience: fn(usize) -> Duration) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let sound: Arc<dyn EventLog> = Arc::new(MemoryLog::new(SHARDS, Arc::clone(&clock)));
    let mut env = HandlerEnv::on(Arc::clone(&sound), clock).await;
    env.log = Arc::new(FaultyLog::new(Arc::clone(&sound), Seed(seed), Faults::default()));
    let handlers = [env.handler(), env.handler()];
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..COMMANDS {
        let (handlers, request) = (handlers.clone(), env.account(&format!("bot-{number}")));
        senders.spawn(async move {
            // As a sender does: the same command again, to whichever replica, until there is an answer.
            for attempt in 0..TRIES_MAX {
                let handled = handlers[(number + attempt) % 2].handle(request.clone());
                match tokio::time::timeout(patience(attempt), handled).await {
                    Ok(Ok(reply)) => {
                        assert!(reply.accepted, "{:?}", reply.message);
                        return reply.events;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            panic!("command {number} got no answer in {TRIES_MAX} tries");
        });
    }
    while let Some(events) = senders.join_next().await {
        assert_eq!(events.unwrap(), ["identity.account_created"]);
    }
    // Late publishes have landed or never will.
    tokio::time::sleep(Faults::default().late_max * 2).await;
    env.log = sound;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for event in env.events(AggregateKind::Identity, "main").await {
        if let Event::Identity(IdentityEvent::AccountCreated { name, .. }) = event {
            *names.entry(name).or_default() += 1;
        }
    }
    assert_eq!(names.len(), COMMANDS);
    assert!(names.values().all(|count| *count == 1), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_lose_no_command_and_repeat_no_decision() {
    for seed in 0..8 {
        every_command_once(seed, |_| Duration::from_secs(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_that_go_away_in_the_middle_hold_nothing_up() {
    for seed in 0..8 {
        every_command_once(seed, |attempt| Duration::from_millis(2 * attempt as u64)).await;
    }
}
