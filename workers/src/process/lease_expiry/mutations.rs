//! Mutations: each function holds one rule of lease expiry, and breaks it when a simulation asks for that, to see that
//! the simulation notices. In a build that serves anyone, none of them can be broken.

use steward_aggregates::mutations::{Rule, drops};
use steward_events::quantity::Position;

/// Timers are set by the process that follows the log.
pub(super) fn sets_timers() -> bool {
    !drops(Rule::TimerByHandler)
}

/// A timer that rings early is set again.
pub(super) fn sets_early_timers_again() -> bool {
    !drops(Rule::NoRearm)
}

/// A lease ends only after its journal was closed.
pub(super) fn closes_the_journal() -> bool {
    !drops(Rule::NoFence)
}

/// The journal is folded up to its close, not up to what a replica knows.
pub(super) fn folds_up_to_the_close() -> bool {
    !drops(Rule::StaleFold)
}

/// A finish counts from the close of its lease on, also if it came before the lease's end.
pub(super) fn late_from(closed_at: Position, ended_at: Position) -> Position {
    if drops(Rule::CorrectDropped) { ended_at } else { closed_at }
}

/// What a call costs is settled by its finish alone, never by time.
pub(super) fn settles_by_finishes_alone() -> bool {
    !drops(Rule::TimeReleases)
}
