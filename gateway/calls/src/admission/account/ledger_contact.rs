//! Where the account stands with the ledger: what was asked, what was said, when to ask again, and for how much.

use std::time::Duration;

use steward_events::command::LedgerCommand;
use steward_events::id::CallId;
use steward_events::quantity::Amounts;

/// The first pause between two looks at one's place in the line; doubled up to [`POLL_MAX`].
pub(super) const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(320);

/// A lease is for this many calls at first, and at most for that many, where there is plenty.
const CHUNK_CALLS_MIN: u64 = 4;
const CHUNK_CALLS_MAX: u64 = 256;

/// A lease used up sooner than this was too small; later than ten times this, too large.
const CHUNK_TIME: Duration = Duration::from_secs(1);

/// The most calls that wait to be taken out of the ledger's line; more are left to their tickets' end.
const WITHDRAWALS_MAX: usize = 64;

/// Where the account stands with the ledger.
pub(super) struct LedgerContact {
    pub(super) flying: Option<(LedgerCommand, Duration)>,
    /// The call that the last answer made room for.
    pub(super) granted: Option<CallId>,
    /// The call that the last answer said something less than "plenty" to.
    pub(super) short: Option<CallId>,
    /// The call that has a ticket in the ledger's line.
    pub(super) ticket: Option<CallId>,
    pub(super) withdrawals: Vec<CallId>,
    pub(super) poll_at: Duration,
    pub(super) poll_pause: Duration,
    pub(super) pause_until: Duration,
    pub(super) trouble: Option<String>,
    chunk_calls: u64,
    grown_at: Duration,
}

impl Default for LedgerContact {
    fn default() -> Self {
        Self {
            flying: None,
            granted: None,
            short: None,
            ticket: None,
            withdrawals: Vec::new(),
            poll_at: Duration::ZERO,
            poll_pause: POLL_MIN,
            pause_until: Duration::ZERO,
            trouble: None,
            chunk_calls: CHUNK_CALLS_MIN,
            grown_at: Duration::ZERO,
        }
    }
}

impl LedgerContact {
    pub(super) fn was_granted(&self, call: &CallId) -> bool {
        self.granted.as_ref() == Some(call)
    }

    pub(super) fn is_short(&self, call: &CallId) -> bool {
        self.short.as_ref() == Some(call)
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) const fn poll_at(&self) -> Duration {
        self.poll_at
    }

    /// From when on the ledger may be asked; none while a command is under way.
    pub(super) fn may_send_at(&self) -> Option<Duration> {
        self.flying.is_none().then_some(self.pause_until)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flying.is_none() && self.withdrawals.is_empty()
    }

    /// The call left this account's line: admitted here.
    pub(super) fn admitted(&mut self, call: &CallId) {
        let by_the_ledger = self.granted.take_if(|granted| granted == call).is_some();
        if by_the_ledger {
            self.ticket.take_if(|ticket| ticket == call);
        }
        self.forget(call);
        self.poll_at = Duration::ZERO;
        self.poll_pause = POLL_MIN;
    }

    /// The call waits no more: if it has a ticket, that is to be given back.
    pub(super) fn forget(&mut self, call: &CallId) {
        self.granted.take_if(|granted| granted == call);
        self.short.take_if(|short| short == call);
        if self.ticket.take_if(|ticket| ticket == call).is_some() && self.withdrawals.len() < WITHDRAWALS_MAX {
            self.withdrawals.push(call.clone());
        }
    }

    /// Something moved in the ledger: ask again soon.
    pub(super) fn nudge(&mut self, now: Duration) {
        if self.poll_at > now + POLL_MIN {
            self.poll_at = now + POLL_MIN;
        }
    }

    pub(super) fn poll_later(&mut self, now: Duration) {
        self.poll_at = now + self.poll_pause;
        self.poll_pause = (self.poll_pause * 2).min(POLL_MAX);
    }

    pub(super) fn want(&mut self, worst: Amounts, now: Duration) -> Amounts {
        let since = now.saturating_sub(self.grown_at);
        if since < CHUNK_TIME {
            self.chunk_calls = (self.chunk_calls * 2).min(CHUNK_CALLS_MAX);
        } else if since > CHUNK_TIME * 10 {
            self.chunk_calls = (self.chunk_calls / 2).max(CHUNK_CALLS_MIN);
        }
        self.grown_at = now;
        let calls = self.chunk_calls;
        worst.zip(worst, |each, _| each.saturating_mul(calls))
    }
}
