//! What those who answer model calls say: answers, streams, errors, usage, when to come back. The one reader of them, for
//! the gateway and for workers.
//!
//! Strict with what is counted, tolerant of what is only passed on, as the official clients are. It must not know callers,
//! budgets or connections, and it does no I/O.

pub mod chat;
pub mod completions;
pub mod json;
pub mod listed;
pub mod messages;
pub mod problem;
pub mod responses;
pub mod retry_after;
pub mod sse;
pub mod usage;
