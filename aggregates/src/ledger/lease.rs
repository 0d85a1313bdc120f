//! Leases as the ledger knows them, and calls that outlive theirs.

use std::time::Duration;

use steward_events::event::{LeaseTerms, WindowBounds};
use steward_events::id::{CallId, LeaseId};
use steward_events::quantity::{Amounts, Turn};
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

/// How long a holder may be silent. Longer than an election of the broker, which is silent for 6 to 7 seconds.
pub const LEASE_TTL: Duration = Duration::from_secs(30);

/// How long a holder may take to answer a recall.
pub const RECALL_MAX: Duration = Duration::from_millis(100);

/// A holder that has just answered a recall is not asked again for so long: it hands back after every finish anyway.
pub const RECALL_AGAIN: Duration = Duration::from_secs(1);

/// The longest call. What is unsettled for longer is spent, as far as a refusal goes.
pub const CALL_TIME_MAX: Duration = Duration::from_mins(10);

/// An open lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// For which scopes.
    pub scopes: ScopeSet,
    /// The windows it takes from.
    pub windows: Vec<WindowBounds>,
    /// The last renewal; 0 is the grant.
    pub turn: Turn,
    /// When that was decided.
    pub decided_at: Timestamp,
    /// What finished calls used, as reported.
    pub used: Amounts,
    /// What went beyond, as reported.
    pub late: Amounts,
    /// With how much and until when.
    pub terms: LeaseTerms,
    /// The call that the last terms made room for.
    pub call: Option<CallId>,
    /// Since when the ledger asks for what is free, unanswered.
    pub recalled: Option<Timestamp>,
    /// When such a request was last answered.
    pub answered: Option<Timestamp>,
}

impl Lease {
    /// What it may still use.
    pub fn held(&self) -> Amounts {
        self.terms.cap_total.saturating_sub(self.used)
    }

    /// True if it counts in this window.
    pub(super) fn counts_in(&self, window: &WindowBounds) -> bool {
        self.windows.iter().any(|own| own.is_same_turn(window))
    }

    /// When the first of its windows turns.
    pub fn turns_at(&self) -> Option<Timestamp> {
        first_turn(&self.windows)
    }
}

/// When the first of these windows turns.
pub(super) fn first_turn(windows: &[WindowBounds]) -> Option<Timestamp> {
    windows.iter().filter_map(|window| window.to).min()
}

/// Until when calls may start, and when silence ends it, if granted or renewed at `now`.
pub(super) fn terms(cap_total: Amounts, now: Timestamp, windows: &[WindowBounds]) -> LeaseTerms {
    let expires = now.plus(LEASE_TTL);
    let until = first_turn(windows).map_or(expires, |turn| turn.min(expires));
    LeaseTerms { cap_total, until, expires }
}

/// The terms of a lease whose window has turned: nothing may start, but calls on their way may finish.
pub(super) fn terms_after_turn(lease: &Lease, cap_total: Amounts, now: Timestamp, turned: Timestamp) -> LeaseTerms {
    let expires = now.plus(LEASE_TTL).min(turned.plus(CALL_TIME_MAX)).max(lease.terms.expires);
    LeaseTerms { cap_total, until: lease.terms.until, expires }
}

/// A call that was started, has not finished, and whose lease has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// What it was paid from.
    pub lease: LeaseId,
    /// For which scopes.
    pub scopes: ScopeSet,
    /// The most it can cost.
    pub worst: Amounts,
    /// The windows it counts in.
    pub windows: Vec<WindowBounds>,
    /// Since when.
    pub since: Timestamp,
    /// An estimate was posted already, and this is what it left open: a second one says nothing new.
    pub estimated: bool,
}
