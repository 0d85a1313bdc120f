//! What a holder needs to know beside the events' names.

use serde::{Deserialize, Serialize};
use steward_events::command::{GrantLease, LeaseRequest, RenewLease};
use steward_events::event::LeaseTerms;
use steward_events::id::{BudgetId, LeaseId};
use steward_events::quantity::{NanoDollars, Turn, Unit};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

use super::room::exhausted;
use super::{Budget, Ledger};

/// What came of `lease.grant` and `lease.renew`, by the state after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// What became of the request.
    pub outcome: Outcome,
    /// The lease as it is now; none if it is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseState>,
    /// Whether calls of others wait for something that this lease may hold: hand back what is free.
    pub others_wait: bool,
    /// What is left of the tightest budget in money once all that is open has come back unused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_left: Option<NanoDollars>,
    /// How many percent of the tightest hard budget, in whatever unit, are left then; none if the scopes touch none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_percent: Option<u8>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was asked for, or the renewal is not the next one.
    Nothing,
    /// There is room for the call.
    Granted,
    /// The call waits in line: ask again.
    Queued,
    /// The call left the line: there is no room, and will be none.
    Refused {
        /// Which budget, and how much of it is left.
        why: Rejection,
    },
    /// Too many wait already.
    LineFull,
    /// One of the lease's windows has turned: ask for another lease.
    Turned,
    /// The lease is over, or its number is too old to be opened.
    Ended,
}

/// An open lease, as far as its holder needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseState {
    /// The last renewal.
    pub turn: Turn,
    /// When that was decided, by the ledger's clock: the terms' times count from there.
    pub decided_at: Timestamp,
    /// With how much and until when.
    pub terms: LeaseTerms,
}

impl Ledger {
    pub(super) fn answer_grant(&self, command: &GrantLease) -> LeaseAnswer {
        let outcome = if self.leases.contains_key(&command.lease) {
            Outcome::Granted
        } else if self.has_seen(&command.lease) {
            Outcome::Ended
        } else {
            self.waiting_or_refused(&command.scopes, &command.request)
        };
        self.answer_about(&command.lease, &command.scopes, Some(&command.request), outcome)
    }

    pub(super) fn answer_renew(&self, command: &RenewLease) -> LeaseAnswer {
        let Some(lease) = self.leases.get(&command.lease) else {
            return LeaseAnswer {
                outcome: Outcome::Ended,
                lease: None,
                others_wait: false,
                budget_left: None,
                left_percent: None,
            };
        };
        let outcome = match &command.request {
            None => Outcome::Nothing,
            Some(_) if command.turn < lease.turn => Outcome::Nothing,
            Some(request) if command.turn == lease.turn && lease.call.as_ref() == Some(&request.call) => {
                Outcome::Granted
            }
            Some(_) if lease.turns_at().is_some_and(|turn| turn <= lease.decided_at) => Outcome::Turned,
            Some(request) => self.waiting_or_refused(&lease.scopes, request),
        };
        self.answer_about(&command.lease, &lease.scopes, command.request.as_ref(), outcome)
    }

    fn waiting_or_refused(&self, scopes: &ScopeSet, request: &LeaseRequest) -> Outcome {
        if self.line.ticket(&request.call).is_some() {
            return Outcome::Queued;
        }
        // Windows that turned since were empty when this was decided, so their zone does not matter here.
        let places = self.places(scopes, request, None, self.at, "UTC");
        let refusing = places
            .iter()
            .find(|place| place.budget.spec.hard && request.whole_min.get(place.budget.key.unit) > place.settled);
        refusing.map_or(Outcome::LineFull, |place| Outcome::Refused { why: exhausted(place, request.whole_min) })
    }

    fn answer_about(
        &self,
        id: &LeaseId,
        scopes: &ScopeSet,
        request: Option<&LeaseRequest>,
        outcome: Outcome,
    ) -> LeaseAnswer {
        let lease = self.leases.get(id);
        let state =
            lease.map(|lease| LeaseState { turn: lease.turn, decided_at: lease.decided_at, terms: lease.terms });
        let own = request.map(|request| &request.call);
        let touched: Vec<_> =
            self.budgets.iter().filter(|(_, budget)| budget.spec.hard && budget.touches(scopes)).collect();
        let others_wait = self.line.iter().any(|ticket| {
            Some(&ticket.call) != own
                && ticket.is_live(self.at)
                && touched.iter().any(|(_, budget)| budget.touches(&ticket.scopes))
        });
        let left = |id: &BudgetId, budget: &Budget| {
            let window = budget.window_at(id, self.at, "UTC");
            let gone = self.book.row(&window).map_or(0, |row| row.spent() + row.unsettled);
            budget.spec.limit.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        let in_money = touched.iter().filter(|(_, budget)| budget.key.unit == Unit::Money);
        let budget_left = in_money.map(|(id, budget)| left(id, budget)).min().map(NanoDollars);
        let percent = |id: &BudgetId, budget: &Budget| {
            let of = u128::from(budget.spec.limit.max(1));
            u8::try_from(u128::from(left(id, budget)) * 100 / of).unwrap_or(100)
        };
        let left_percent = touched.iter().map(|(id, budget)| percent(id, budget)).min();
        LeaseAnswer { outcome, lease: state, others_wait, budget_left, left_percent }
    }
}
