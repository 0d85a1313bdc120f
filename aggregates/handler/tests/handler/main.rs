//! The handler, from request to reply.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

mod behaviour;
mod faults;
mod names;
mod nats;
mod quotas;
mod reuse;
mod speed;
mod support;
