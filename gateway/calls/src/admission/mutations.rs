//! Mutations: each function holds one rule of admission, and breaks it when a simulation asks for that, to see that the
//! simulation notices. In a build that serves anyone, none of them can be broken.

use steward_aggregates::mutations::{Rule, drops};
use steward_events::quantity::Amounts;

/// A call waits until its start is acknowledged.
pub(super) fn waits_for_the_start() -> bool {
    !drops(Rule::StartBeforeAck)
}

/// A start is recorded only on a lease that is still good.
pub(super) fn may_start_on(is_usable: bool) -> bool {
    is_usable || drops(Rule::BlindRetry)
}

/// A report counts acknowledged finishes only.
pub(super) fn reports_acknowledged_only() -> bool {
    !drops(Rule::ReportsUnacked)
}

/// A report says the whole total, not what was added since the report `before`.
pub(super) fn report(total: Amounts, before: Amounts) -> Amounts {
    if drops(Rule::DeltaUsed) { total.saturating_sub(before) } else { total }
}

/// What is free is handed back when others wait for it.
pub(super) fn hands_back(others_wait: bool) -> bool {
    others_wait && !drops(Rule::NoRecall)
}

/// A cap that shrinks holds from the moment it is asked for.
pub(super) fn shrinks_at_once() -> bool {
    !drops(Rule::ShrinkLate)
}

/// Terms count only if they are those of the turn that was asked for.
pub(super) fn takes_terms(of_this_turn: bool) -> bool {
    of_this_turn || drops(Rule::NoTurn) || drops(Rule::DeltaUsed)
}
