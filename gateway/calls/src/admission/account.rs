//! An account: what one gateway run does for one set of scopes. A state, without input, output or clock.
//!
//! Calls wait in its line; the first is served from the current lease or, if that has too little, from what the ledger
//! grants. One journal commit and one command to the ledger are under way at a time; while they are, the next gather.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::usage::Usage;
use steward_events::event::CallOutcome;
use steward_events::id::{CallId, LeaseId};
use steward_events::ids::Ids;
use steward_events::quantity::{Amounts, NanoDollars};
use steward_events::rejection::Rejection;
use tokio::sync::oneshot;

use super::held_lease::HeldLease;
use super::{AdmissionConfig, Finish, Refusal, ReservationRequest, Settled, Sharing};

mod journal;
mod ledger_commands;
mod ledger_contact;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use journal::never_sent;
pub(super) use journal::{Job, fresh};
pub(super) use ledger_commands::{CommandOutcome, Numbers, PendingCommand};
pub(super) use waiting::{Admitted, Identity, Now, Waiting};

use journal::{Head, Outbox};
use ledger_contact::LedgerContact;

/// A call that was admitted and has not finished for good.
struct Call {
    lease: LeaseId,
    reserved: Amounts,
    wanted: Arc<ReservationRequest>,
    /// The finish is on its way to the journal.
    finishing: bool,
}

/// The state.
pub(super) struct Account {
    me: Identity,
    config: AdmissionConfig,
    ids: Arc<dyn Ids>,
    /// What the journal says.
    usage: Usage,
    head: Head,
    outbox: Outbox,
    leases: BTreeMap<LeaseId, HeldLease>,
    current: Option<LeaseId>,
    line: VecDeque<Waiting>,
    calls: BTreeMap<CallId, Call>,
    contact: LedgerContact,
    /// Calls whose end is recorded and whose excess the ledger has yet to hear of.
    unreleased: Vec<(LeaseId, Settled, oneshot::Sender<Settled>)>,
    /// Nothing is admitted any more, for this reason.
    stopped: Option<String>,
    used_at: Duration,
    /// What the ledger last said is left, and what this account had used by then.
    left: Option<(NanoDollars, NanoDollars)>,
    /// How many percent of the tightest budget were left then.
    left_percent: Option<u8>,
}

impl Account {
    pub(super) fn new(me: Identity, config: AdmissionConfig, ids: Arc<dyn Ids>, now: Now) -> Self {
        Self {
            me,
            config,
            ids,
            usage: Usage::default(),
            head: Head::default(),
            outbox: Outbox::default(),
            leases: BTreeMap::new(),
            current: None,
            line: VecDeque::new(),
            calls: BTreeMap::new(),
            contact: LedgerContact::default(),
            unreleased: Vec::new(),
            stopped: None,
            used_at: now.mono,
            left: None,
            left_percent: None,
        }
    }

    /// A call asks to be admitted.
    pub(super) fn reserve(&mut self, waiting: Waiting) {
        self.used_at = waiting.since;
        if let Some(why) = &self.stopped {
            (waiting.answer)(Err(Refusal::Closed(why.clone())));
        } else if waiting.given.is_some() {
            // It needs nothing that those before it wait for, and its permit bounds it.
            self.line.push_front(waiting);
        } else if self.line.len() >= self.config.line_max {
            (waiting.answer)(Err(Refusal::WaitedTooLong { retry_after: RETRY_AFTER }));
        } else {
            self.line.push_back(waiting);
        }
    }

    /// The call that has waited longest: what is asked of the ledger now is asked for its sake.
    pub(super) fn first_waiting(&self) -> Option<&Waiting> {
        self.line.front()
    }

    /// A call is over. What it used beyond its reservation first takes what the lease has free.
    pub(super) fn finish(
        &mut self,
        call: &CallId,
        finish: Finish,
        now: Now,
        settled: Option<oneshot::Sender<Settled>>,
    ) {
        self.used_at = now.mono;
        let Some(known) = self.calls.get_mut(call).filter(|known| !known.finishing) else { return };
        known.finishing = true;
        let billed = match finish.outcome {
            CallOutcome::NotBilled { .. } => Amounts::ZERO,
            CallOutcome::Completed | CallOutcome::Estimated { .. } => {
                // A provider was asked for one of those who share.
                let calls = u64::from(!matches!(finish.sharing, Sharing::Followed(_)));
                Amounts { calls, tokens: finish.tokens.total(), money: finish.cost }
            }
        };
        let Some(held) = self.leases.get_mut(&known.lease) else { return };
        let over = billed.saturating_sub(known.reserved);
        let free = if held.is_usable(now.mono) { held.free() } else { Amounts::ZERO };
        let used = billed.min(known.reserved) + over.min(free);
        let late = billed.saturating_sub(used);
        let open = if finish.outcome.leaves_open() { known.reserved.saturating_sub(used) } else { Amounts::ZERO };
        held.finish(known.reserved, used, open);
        let finished = journal::Finished { call: call.clone(), finish, used, late, open, settled };
        self.outbox.finishes.push_back(finished);
    }

    /// The ledger asks for what `lease` has free.
    pub(super) fn recalled(&mut self, lease: &LeaseId) {
        if let Some(held) = self.leases.get_mut(lease) {
            held.recalled = true;
            held.pressure = true;
        }
    }

    /// Something moved in the ledger: what waits may fit now.
    pub(super) fn nudged(&mut self, now: Now) {
        self.contact.nudge(now.mono);
    }

    /// What the leases rest on was revoked: close them, whatever is on its way.
    pub(super) fn revoke(&mut self, reason: &'static str) {
        self.refuse_all(reason);
        for held in self.leases.values_mut() {
            held.closing.get_or_insert(reason);
        }
        self.current = None;
    }

    /// No more calls; hand everything back once those on their way have finished.
    pub(super) fn drain(&mut self) {
        self.stopped = Some("this gateway is stopping".to_owned());
        self.refuse_all("this gateway is stopping");
    }

    fn refuse_all(&mut self, why: &str) {
        for waiting in self.line.drain(..) {
            self.contact.forget(&waiting.call);
            (waiting.answer)(Err(Refusal::Closed(why.to_owned())));
        }
    }

    /// Lets time pass: admits what fits, gives up what waited too long, retires and closes leases.
    pub(super) fn step(&mut self, now: Now) {
        self.age(now);
        self.give_up(now);
        while let Some(first) = self.line.front() {
            let granted = self.contact.was_granted(&first.call);
            let cut = self.contact.is_short(&first.call);
            let Some(lease) = self.current.clone() else { break };
            let Some(held) = self.leases.get_mut(&lease) else { break };
            // While others wait, nothing is taken that was not granted for this very call.
            let may_take = granted || first.given.is_some() || !(held.pressure || held.recalled);
            if !held.is_usable(now.mono) || !may_take {
                break;
            }
            let Some(amount) = fitting(&first.wanted, held.free(), cut, self.line.len()) else { break };
            let Some(waiting) = self.line.pop_front() else { break };
            held.reserve(amount);
            self.contact.admitted(&waiting.call);
            let (wanted, finishing) = (Arc::clone(&waiting.wanted), false);
            let call = Call { lease: lease.clone(), reserved: amount, wanted, finishing };
            self.calls.insert(waiting.call.clone(), call);
            self.outbox.starts.push_back(waiting);
        }
    }

    /// Leases grow old: a window turns, a drained or idle one is closed.
    fn age(&mut self, now: Now) {
        let idle = self.line.is_empty() && (self.stopped.is_some() || now.mono >= self.used_at + self.config.idle_max);
        for (id, held) in &mut self.leases {
            if held.closed {
                continue;
            }
            if held.has_turned(now.mono) {
                held.retiring = true;
            }
            if held.calls == 0 && held.closing.is_none() {
                if held.retiring {
                    held.closing = Some("turned");
                } else if idle {
                    held.closing = Some(if self.stopped.is_some() { "drained" } else { "idle" });
                }
            }
            if self.current.as_ref() == Some(id) && (held.retiring || held.closing.is_some()) {
                self.current = None;
            }
        }
        if self.current.as_ref().and_then(|id| self.leases.get(id)).is_none_or(|held| held.closed) {
            self.current = None;
        }
    }

    fn give_up(&mut self, now: Now) {
        let mut kept = VecDeque::with_capacity(self.line.len());
        for waiting in self.line.drain(..) {
            let over = now.mono >= waiting.since + self.config.wait_max;
            if !over && (waiting.is_wanted)() {
                kept.push_back(waiting);
                continue;
            }
            self.contact.forget(&waiting.call);
            let refusal = match self.contact.trouble() {
                Some(trouble) => Refusal::Unavailable(trouble.to_owned().into()),
                None => Refusal::WaitedTooLong { retry_after: RETRY_AFTER },
            };
            (waiting.answer)(Err(refusal));
        }
        self.line = kept;
    }

    /// Settled amounts leave no room for the call that asked, so none for those behind it that need as much.
    fn refuse(&mut self, call: &CallId, why: &Rejection, now: Now) {
        let Some(least) = self.line.iter().find(|waiting| waiting.call == *call).map(|w| w.wanted.worst_min) else {
            return;
        };
        let mut kept = VecDeque::with_capacity(self.line.len());
        for waiting in self.line.drain(..) {
            if waiting.call != *call && !least.fits(waiting.wanted.worst_min) {
                kept.push_back(waiting);
                continue;
            }
            self.contact.forget(&waiting.call);
            (waiting.answer)(Err(refusal(why, now)));
        }
        self.line = kept;
    }

    /// A call whose start was not recorded goes back to the front of the line.
    fn put_back(&mut self, waiting: Waiting) {
        if let Some(call) = self.calls.remove(&waiting.call)
            && let Some(held) = self.leases.get_mut(&call.lease)
        {
            held.give_back(call.reserved);
        }
        match &self.stopped {
            Some(why) => _ = (waiting.answer)(Err(Refusal::Closed(why.clone()))),
            None => self.line.push_front(waiting),
        }
    }

    /// When to look again, if nothing happens before.
    pub(super) fn wake_at(&self, now: Now) -> Duration {
        let mut wake = now.mono + WAKE_MAX;
        let mut at = |moment: Duration| wake = wake.min(moment);
        // While a command is under way, its answer is what happens next.
        let may_send = self.contact.may_send_at();
        if let Some(oldest) = self.line.iter().map(|waiting| waiting.since).min() {
            at(oldest + self.config.wait_max);
            // Whoever asked may go away; nobody says so.
            at(now.mono + WANTED_CHECK);
            if let Some(may_send) = may_send {
                at(may_send.max(self.contact.poll_at()));
            }
        }
        for held in self.leases.values().filter(|held| !held.closed) {
            if let Some(may_send) = may_send {
                at(if held.has_untold_late() { may_send } else { may_send.max(held.renew_at()) });
            }
            for moment in [held.start_until, self.used_at + self.config.idle_max] {
                if moment > now.mono {
                    at(moment);
                }
            }
        }
        wake.max(now.mono + TICK)
    }

    /// What a call could reserve now, without asking the ledger and without taking it from another.
    pub(super) fn free(&self, now: Now) -> Amounts {
        let current = self.current.as_ref().and_then(|lease| self.leases.get(lease));
        let held = current.filter(|held| held.is_usable(now.mono) && !held.pressure && !held.recalled);
        held.filter(|_| self.line.is_empty()).map_or(Amounts::ZERO, HeldLease::free)
    }

    /// True if a call waits for the ledger.
    pub(super) fn is_waiting(&self) -> bool {
        !self.line.is_empty()
    }

    /// True if the journal lacks something.
    pub(super) fn has_to_record(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// True if more than one call waits, is at work or is about to be recorded.
    pub(super) fn has_several_calls(&self) -> bool {
        self.calls.len() + self.line.len() > 1
    }

    /// True if it holds nothing and nothing is under way: it may be forgotten.
    pub(super) fn is_over(&self, now: Now) -> bool {
        let idle = self.stopped.is_some() || now.mono >= self.used_at + self.config.idle_max;
        idle && self.leases.is_empty()
            && self.line.is_empty()
            && self.calls.is_empty()
            && self.outbox.is_empty()
            && self.contact.is_idle()
    }

    /// How many percent of the tightest hard budget are left, as the ledger said last; none if it touches none.
    pub(super) const fn left_percent(&self) -> Option<u8> {
        self.left_percent
    }

    fn budget_left(&self) -> Option<NanoDollars> {
        let (left, before) = self.left?;
        Some(NanoDollars(left.0.saturating_sub(self.used_money().0.saturating_sub(before.0))))
    }

    fn used_money(&self) -> NanoDollars {
        self.leases.values().map(|held| held.used + held.late).sum::<Amounts>().money
    }
}

/// Asks come back after so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Looks at least so often.
const WAKE_MAX: Duration = Duration::from_secs(5);

/// How soon a caller that went away is noticed.
const WANTED_CHECK: Duration = Duration::from_millis(250);

const TICK: Duration = Duration::from_millis(1);

/// What to reserve for `wanted` out of `free`, if it fits: all of its worst case or, if the ledger is `short` and the
/// call may be cut, its share.
fn fitting(wanted: &ReservationRequest, free: Amounts, short: bool, waiting: usize) -> Option<Amounts> {
    if wanted.worst.fits(free) {
        return Some(wanted.worst);
    }
    if !short || !wanted.worst_min.fits(free) {
        return None;
    }
    let crowd = u64::try_from(waiting.max(1)).unwrap_or(u64::MAX);
    let share = free.zip(free, |free, _| free / crowd);
    Some(wanted.worst.min(wanted.worst_min.max(share)))
}

/// A budget that has room again within a minute is a rate: waiting helps.
fn refusal(why: &Rejection, now: Now) -> Refusal {
    match why {
        Rejection::BudgetExhausted { resets_at: Some(at), .. } if at.since(now.wall) <= Duration::from_mins(1) => {
            Refusal::WaitedTooLong { retry_after: at.since(now.wall) }
        }
        _ => Refusal::Exhausted(why.clone()),
    }
}
