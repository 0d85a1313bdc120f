//! The handler, from request to reply.

mod behaviour;
mod faults;
mod speed;
mod support;
