//! Pure decisions: each aggregate guards one rule over one stream.
//!
//! This crate knows what is allowed and what follows from a command. It must not know buses, stores, clocks or tokio:
//! time and ids come in, facts or a rejection come out.

pub mod aggregate;
#[cfg(any(test, feature = "testing"))]
pub mod spec;
