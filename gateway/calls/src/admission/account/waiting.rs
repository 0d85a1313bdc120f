//! A call that waits to be admitted: for whom, since when, and where its answer goes.

use std::sync::Arc;
use std::time::Duration;

use steward_events::id::{CallId, HolderId, LeaseId, TenantId};
use steward_events::quantity::{Amounts, NanoDollars};
use steward_events::scope::ScopeSet;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use tracing::Span;

use crate::admission::{Given, Refusal, ReservationRequest};

/// The moment at which something is looked at.
#[derive(Clone, Copy, Debug)]
pub(in crate::admission) struct Now {
    /// By this process's own clock.
    pub(in crate::admission) mono: Duration,
    /// By the wall.
    pub(in crate::admission) wall: Timestamp,
}

/// Whose account it is.
#[derive(Clone, Debug)]
pub(in crate::admission) struct Identity {
    pub(in crate::admission) tenant: TenantId,
    pub(in crate::admission) scopes: ScopeSet,
    pub(in crate::admission) holder: HolderId,
    pub(in crate::admission) journal: StreamName,
}

/// What an admitted call is told.
#[derive(Debug)]
pub(in crate::admission) struct Admitted {
    pub(in crate::admission) call: CallId,
    pub(in crate::admission) lease: LeaseId,
    pub(in crate::admission) granted: Amounts,
    /// What is left of the tightest budget in money, as far as is known.
    pub(in crate::admission) budget_left: Option<NanoDollars>,
}

/// Where the answer to a request goes. False: the caller is gone.
pub(in crate::admission) type ReservationAnswer = Box<dyn FnOnce(Result<Admitted, Refusal>) -> bool + Send>;

/// A call that waits.
pub(in crate::admission) struct Waiting {
    pub(in crate::admission) call: CallId,
    pub(in crate::admission) wanted: Arc<ReservationRequest>,
    /// What it was given, if it needs nobody's answer and no budget.
    pub(in crate::admission) given: Option<Given>,
    /// Since when, by this process's own clock.
    pub(in crate::admission) since: Duration,
    pub(in crate::admission) answer: ReservationAnswer,
    /// Tells whether the caller is still there.
    pub(in crate::admission) is_wanted: Box<dyn Fn() -> bool + Send>,
    /// The span of the request that it is for.
    pub(in crate::admission) span: Span,
}
