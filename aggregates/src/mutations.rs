//! Rules of the budget protocol that a simulation drops, one at a time, to see that it would notice.
//!
//! Without the cargo feature `mutations` nothing can be dropped: [`drops`] is constant and the compiler removes the
//! branches. No build that serves anyone has the feature.

/// One rule of the protocol, named by what happens without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The holder goes upstream before `CallStarted` is acknowledged.
    StartBeforeAck,
    /// The holder records a start again although it has read `LeaseClosed`.
    BlindRetry,
    /// A lease is ended by the clock alone, without `LeaseClosed` in its journal.
    NoFence,
    /// A renewal is taken whenever it comes.
    NoTurn,
    /// A renewal reports what was used since the last one.
    DeltaUsed,
    /// Timers are set by the handler that appended, not by those that follow the log.
    TimerByHandler,
    /// A timer that rings early is forgotten.
    NoRearm,
    /// Nobody asks holders for what is free.
    NoRecall,
    /// Calls that wait have no order.
    NoQueue,
    /// The holder spends from its old cap while it asks for less.
    ShrinkLate,
    /// A correction before the lease's end is thrown away.
    CorrectDropped,
    /// A new budget does not count what is already out.
    NewBudgetBlind,
    /// A new budget counts open leases but no unsettled calls.
    NewBudgetHalfBlind,
    /// The journal is folded from a replica that lags.
    StaleFold,
    /// What does not fit now is refused although leases may come back.
    RefuseOnLeased,
    /// A late duplicate opens an ended lease again.
    ForgetsEnded,
    /// A renewal counts finishes that are not acknowledged.
    ReportsUnacked,
    /// A call without a bill is given back after a while.
    TimeReleases,
}

#[cfg(feature = "mutations")]
mod chosen {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static DROPPED: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Drops `rule`, and no other, in this thread from now on.
    pub fn drop_rule(rule: Option<Rule>) {
        DROPPED.set(rule);
    }

    /// True if `rule` is dropped in this thread.
    pub fn drops(rule: Rule) -> bool {
        DROPPED.get() == Some(rule)
    }
}

#[cfg(feature = "mutations")]
pub use chosen::{drop_rule, drops};

/// True if `rule` is dropped: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub const fn drops(_: Rule) -> bool {
    false
}
