//! Workers over the in-memory log, with the real aggregates and a gateway over real HTTP.

// Helpers of tests are not tests to clippy; what is not as expected here is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod buses;
mod crashes;
mod desk;
mod gateway;
mod life;
mod placing;
mod refusals;
mod world;

use steward_events::event::{Event, IdentityEvent, TaskEvent};

use crate::gateway::{Call, Do};
use crate::world::World;

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

async fn keys_not_revoked(world: &World) -> usize {
    let events = world.events("acme").await;
    let issued = events.iter().filter(|event| matches!(event, Event::Identity(IdentityEvent::KeyIssued { .. })));
    let revoked = events.iter().filter(|event| matches!(event, Event::Identity(IdentityEvent::KeyRevoked { .. })));
    issued.count() - revoked.count()
}
