//! A request that the door let in: its key is good, it has its permit, and its body has come within bounds.

use std::time::Duration;

use bytes::Bytes;
use steward_events::id::{CorrelationId, DataClass};

use crate::access::AuthenticatedKey;
use crate::claims::IdempotencyKey;
use crate::limits::{BodyMemory, CallPermit};

/// A request to call a model, as any face hands it over. It holds what it takes of this process until the call is over.
pub struct Accepted {
    /// Who calls.
    pub key: AuthenticatedKey,
    /// Its right to run; none of a call that is a part of another, which has one.
    pub permit: Option<CallPermit>,
    /// The request's body …
    pub body: Bytes,
    /// … and the memory that this takes, as far as that is bounded here.
    pub memory: Option<BodyMemory>,
    /// What it says of itself, for the route.
    pub tags: Vec<String>,
    /// The class of the data in it, if it names one.
    pub data_class: Option<DataClass>,
    /// The request's id.
    pub request: CorrelationId,
    /// When it came, by the monotonic clock.
    pub began: Duration,
    /// True if the caller wants an answer of its own: none that was kept, nor another call's.
    pub anew: bool,
    /// The caller's name for it, by which it may come again.
    pub idempotency_key: Option<IdempotencyKey>,
}
