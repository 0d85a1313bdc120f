//! Mutations: each function holds one rule of the ledger, and breaks it when a simulation asks for that, to see that the
//! simulation notices. In a build that serves anyone, none of them can be broken (see [`crate::mutations`]).

use steward_events::event::LedgerEvent;
use steward_events::quantity::Amounts;
use steward_events::rejection::Rejection;

use crate::mutations::{Rule, drops};

/// A report replaces the total before it: it is never added.
pub(super) fn total_after_report(total: Amounts, reported: Amounts) -> Amounts {
    if drops(Rule::DeltaUsed) { total + reported } else { reported }
}

/// A total that is reported is never below the one before it.
pub(super) fn never_below(total: Amounts, reported: Amounts) -> Amounts {
    let monotone = !drops(Rule::NoTurn) && !drops(Rule::DeltaUsed);
    if monotone { reported.max(total) } else { reported }
}

/// Only the next turn of a lease is taken.
pub(super) fn takes_turn(is_next: bool) -> bool {
    is_next || drops(Rule::NoTurn) || drops(Rule::DeltaUsed)
}

/// A lease that has ended is not opened again.
pub(super) fn stays_ended(was_seen: bool) -> bool {
    was_seen && !drops(Rule::ForgetsEnded)
}

/// Holders are asked for what is free when it is short.
pub(super) fn asks_holders(is_short: bool) -> bool {
    is_short && !drops(Rule::NoRecall)
}

/// Those who wait keep what they need from those behind them.
pub(super) fn keeps_the_line() -> bool {
    !drops(Rule::NoQueue)
}

/// A request is refused only by what is settled (`by_settled`), not by what is merely lent now (`by_lent`).
pub(super) fn refusing<T>(by_settled: Option<T>, by_lent: impl FnOnce() -> Option<T>) -> Option<T> {
    if drops(Rule::RefuseOnLeased) { by_lent() } else { by_settled }
}

/// A new budget counts the open leases that it touches.
pub(super) fn new_budget_counts_leases() -> bool {
    !drops(Rule::NewBudgetBlind)
}

/// A new budget counts the unsettled calls that it touches.
pub(super) fn new_budget_counts_unsettled() -> bool {
    new_budget_counts_leases() && !drops(Rule::NewBudgetHalfBlind)
}

/// A correction that comes before its lease's end is sent back, to be tried again: it is not lost.
pub(super) fn correction_before_the_end() -> Result<Vec<LedgerEvent>, Rejection> {
    if drops(Rule::CorrectDropped) {
        return Ok(Vec::new());
    }
    Err(Rejection::stale("the lease is still open; it must end first"))
}
