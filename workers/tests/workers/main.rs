//! Workers over the in-memory log, with the real aggregates and a gateway over real HTTP.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod buses;
mod crashes;
mod desk;
mod env;
mod erasure;
mod gateway;
mod life;
mod placing;
mod readers;
mod refusals;
mod signing;

use steward_events::event::{Event, IdentityEvent, LedgerEvent, TaskEvent};

use crate::env::WorkersEnv;
use crate::gateway::{Call, Do};

fn is_plan(call: &Call) -> bool {
    call.idempotency_key.ends_with("-1")
}

fn plan_and_answer(call: &Call) -> Do {
    Do::Say(if is_plan(call) { "I look it up." } else { "A bus." })
}

fn kinds(events: &[TaskEvent]) -> Vec<&'static str> {
    let named = events.iter().filter_map(|event| match event {
        TaskEvent::Submitted { .. } => Some("submitted"),
        TaskEvent::Claimed { .. } => Some("claimed"),
        TaskEvent::ClaimExtended { .. } => None,
        TaskEvent::StepStarted { .. } => Some("started"),
        TaskEvent::StepFinished { .. } => Some("step finished"),
        TaskEvent::Finished { .. } => Some("finished"),
        TaskEvent::Failed { .. } => Some("failed"),
        TaskEvent::Cancelled { .. } => Some("cancelled"),
    });
    named.collect()
}

/// Keys and budgets that are still there.
async fn left_over(env: &WorkersEnv) -> (usize, usize) {
    let (mut keys, mut budgets) = (0, 0);
    for event in env.events("acme").await {
        match event {
            Event::Identity(IdentityEvent::KeyIssued { .. }) => keys += 1,
            Event::Identity(IdentityEvent::KeyRevoked { .. }) => keys -= 1,
            Event::Ledger(LedgerEvent::BudgetSet { .. }) => budgets += 1,
            Event::Ledger(LedgerEvent::BudgetRemoved { .. }) => budgets -= 1,
            _ => {}
        }
    }
    (keys, budgets)
}
