//! What a lease holds, reckoned by its holder: always the lower of what may be true.

use std::time::Duration;

use steward_aggregates::ledger::LeaseState;
use steward_events::quantity::{Amounts, Turn};

use super::mutations;

/// A renewal is due so long before calls may no longer start.
const RENEW_AHEAD: Duration = Duration::from_secs(10);

/// A lease as its holder sees it.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each holds by itself; any of them may hold together
pub(super) struct HeldLease {
    pub(super) turn: Turn,
    /// The most that may be used in all. Lowered before less is asked for, raised only by a reply.
    pub(super) cap: Amounts,
    /// By this process's own clock: no call may start after this.
    pub(super) start_until: Duration,
    /// When silence ends the lease.
    pub(super) expires: Duration,
    /// The ledger asked for what is free; it wants an answer even if nothing is.
    pub(super) recalled: bool,
    /// Others wait: hand back what is free, and take nothing that was not granted since.
    pub(super) pressure: bool,
    /// A window has turned: nothing starts here, calls on their way finish.
    pub(super) retiring: bool,
    /// Why it is to be closed, once it is.
    pub(super) closing: Option<&'static str>,
    /// `LeaseClosed` is in the journal, written by any part, or the ledger says that it is over.
    pub(super) closed: bool,
    /// This holder wrote `LeaseClosed` and has yet to tell the ledger.
    pub(super) end_due: bool,
    /// What acknowledged finishes used: the journal's fold, not an opinion.
    pub(super) used: Amounts,
    /// What of that was last reported.
    pub(super) reported: Amounts,
    /// What acknowledged finishes used beyond.
    pub(super) late: Amounts,
    /// What of that the ledger has heard.
    pub(super) late_told: Amounts,
    /// Reserved for calls that have not finished.
    pub(super) running: Amounts,
    /// Used by finishes that are not acknowledged yet …
    pub(super) finishing: Amounts,
    /// … and what their worst cases were beyond that: still charged to the ledger, free to be used here.
    pub(super) finishing_gap: Amounts,
    /// What estimates left open. Nothing frees it.
    pub(super) estimated: Amounts,
    /// Calls started or to be started here that have not finished for good.
    pub(super) calls: usize,
}

impl HeldLease {
    /// As granted by an answer to a command sent at `sent`.
    pub(super) fn granted(state: &LeaseState, sent: Duration) -> Self {
        let mut held = Self {
            turn: state.turn,
            cap: Amounts::ZERO,
            start_until: Duration::ZERO,
            expires: Duration::ZERO,
            recalled: false,
            pressure: false,
            retiring: false,
            closing: None,
            closed: false,
            end_due: false,
            used: Amounts::ZERO,
            reported: Amounts::ZERO,
            late: Amounts::ZERO,
            late_told: Amounts::ZERO,
            running: Amounts::ZERO,
            finishing: Amounts::ZERO,
            finishing_gap: Amounts::ZERO,
            estimated: Amounts::ZERO,
            calls: 0,
        };
        if state.turn == Turn(0) {
            held.take(state, sent);
        }
        held
    }

    /// Takes the terms of a turn that this holder asked for. They count from when it asked, by its own clock, so that
    /// no clock of another can make them longer.
    pub(super) fn take(&mut self, state: &LeaseState, sent: Duration) {
        self.turn = state.turn;
        self.cap = state.terms.cap_total;
        self.start_until = sent + state.terms.until.since(state.decided_at);
        self.expires = sent + state.terms.expires.since(state.decided_at);
    }

    /// All that counts against the cap.
    pub(super) fn spent(&self) -> Amounts {
        self.used + self.finishing + self.running + self.estimated
    }

    /// What may be reserved here and now.
    pub(super) fn free(&self) -> Amounts {
        self.cap.saturating_sub(self.spent())
    }

    /// The lowest cap that covers what the ledger must still hold out.
    pub(super) fn floor(&self) -> Amounts {
        if mutations::reports_acknowledged_only() { self.spent() + self.finishing_gap } else { self.spent() }
    }

    /// What to report as used.
    pub(super) fn report(&self) -> Amounts {
        if mutations::reports_acknowledged_only() { self.used } else { self.used + self.finishing }
    }

    /// The same, remembered as reported.
    pub(super) fn report_now(&mut self) -> Amounts {
        let before = self.reported;
        self.reported = self.report();
        mutations::report(self.reported, before)
    }

    /// True if a call may start here at `now`.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        !self.closed && !self.retiring && self.closing.is_none() && now < self.start_until
    }

    /// When a renewal is due: well before silence ends the lease. The turn of a window is no reason: it cannot be moved.
    pub(super) fn renew_at(&self) -> Duration {
        self.expires.saturating_sub(RENEW_AHEAD)
    }

    /// True if a window has turned, so that nothing starts here any more.
    pub(super) fn has_turned(&self, now: Duration) -> bool {
        self.start_until < self.expires && now >= self.start_until
    }

    /// True if more was billed than the ledger knows of. It hears that at once, and gets back what is free: budgets may be
    /// overdrawn.
    pub(super) fn has_untold_late(&self) -> bool {
        self.late != self.late_told
    }

    pub(super) fn reserve(&mut self, amount: Amounts) {
        self.running += amount;
        self.calls += 1;
    }

    /// A reservation of which nothing was recorded.
    pub(super) fn give_back(&mut self, amount: Amounts) {
        self.running = self.running.saturating_sub(amount);
        self.calls = self.calls.saturating_sub(1);
    }

    /// A call finished: what it used counts from now on, what it left is free, `open` (of an estimate) is not.
    pub(super) fn finish(&mut self, reserved: Amounts, used: Amounts, open: Amounts) {
        self.running = self.running.saturating_sub(reserved);
        self.finishing += used;
        self.finishing_gap += reserved.saturating_sub(used).saturating_sub(open);
        self.estimated += open;
    }

    /// That finish is acknowledged.
    pub(super) fn finished(&mut self, reserved: Amounts, used: Amounts, late: Amounts, open: Amounts) {
        self.finishing = self.finishing.saturating_sub(used);
        self.finishing_gap = self.finishing_gap.saturating_sub(reserved.saturating_sub(used).saturating_sub(open));
        self.used += used;
        self.late += late;
        self.calls = self.calls.saturating_sub(1);
    }
}
