//! The gateway over real HTTP: its own listener, a real handler behind a bus in the process, a log in memory, and
//! upstreams that behave badly on request.

// Helpers of tests are tests too: what must hold is unwrapped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alike;
mod batches;
mod bounds;
mod calls;
mod cases;
mod claims;
mod failures;
mod files;
mod freezing;
mod freshness;
mod in_common;
mod installation;
mod kept;
mod kept_responses;
mod management;
mod messages;
mod operations;
mod raw;
mod refusals;
mod responses;
mod routing;
mod secrets;
mod shares;
mod sharing;
mod spared;
mod stops;
mod streams;
mod targets;
mod upstream;
