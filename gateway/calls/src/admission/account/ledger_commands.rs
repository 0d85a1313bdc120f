//! What the account asks of the ledger, and what the answers mean.
//!
//! One command is under way at a time and keeps its id until it is answered. The holder lowers its own cap before it
//! asks for less and raises it only on the reply; while an outcome is unknown, the lower of both holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steward_aggregates::ledger::{LeaseAnswer, LeaseState, Outcome};
use steward_events::command::{
    Command, EndLease, GrantLease, LeaseRequest, LedgerCommand, RenewLease, WithdrawRequest,
};
use steward_events::id::{CallId, LeaseId};
use steward_events::quantity::{Amounts, Turn};
use steward_events::rejection::Rejection;
use steward_events::request::Reply;

use super::ledger_contact::POLL_MIN;
use super::{Account, Now};
use crate::admission::held_lease::HeldLease;
use crate::admission::mutations;

/// After a command got no answer.
const TROUBLE_PAUSE: Duration = Duration::from_millis(500);

/// Counts this gateway run's leases. Shared by its accounts, so that a number is never used twice.
#[derive(Clone, Debug, Default)]
pub(in crate::admission) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A command to the ledger.
#[derive(Clone, Debug)]
pub(in crate::admission) struct PendingCommand(pub(in crate::admission) LedgerCommand);

impl From<PendingCommand> for Command {
    fn from(command: PendingCommand) -> Self {
        Self::Ledger(command.0)
    }
}

/// What came of a command: a reply, or no answer in time.
pub(in crate::admission) type CommandOutcome = Result<Reply, String>;

impl Account {
    /// The next command to the ledger, if there is something to say and nothing is under way.
    pub(in crate::admission) fn next_command(&mut self, now: Now, numbers: &Numbers) -> Option<PendingCommand> {
        if self.contact.flying.is_some() || now.mono < self.contact.pause_until {
            return None;
        }
        let command = self.end_command().or_else(|| self.renewal_due(now)).or_else(|| self.request(now, numbers));
        let command = command.or_else(|| {
            let call = self.contact.withdrawals.pop()?;
            Some(LedgerCommand::WithdrawRequest(WithdrawRequest { call }))
        })?;
        self.contact.flying = Some((command.clone(), now.mono));
        Some(PendingCommand(command))
    }

    /// A lease that this holder closed: the ledger is told what its journal says.
    fn end_command(&self) -> Option<LedgerCommand> {
        let (id, _) = self.leases.iter().find(|(_, held)| held.end_due)?;
        let closed = self.usage.lease(id)?.closed.clone()?;
        Some(LedgerCommand::EndLease(EndLease {
            lease: id.clone(),
            closed_at: closed.at,
            used_total: closed.used,
            late_total: closed.late,
            unsettled: closed.unsettled,
        }))
    }

    /// A lease that was recalled, holds something that others wait for, or is to be kept from expiring.
    fn renewal_due(&mut self, now: Now) -> Option<LedgerCommand> {
        // The lease from which the first in line is served reports with that call's request instead.
        let serves = self.current.clone().filter(|_| !self.line.is_empty() && now.mono >= self.contact.poll_at);
        let due = |held: &HeldLease| {
            let returns = held.pressure && !held.cap.fits(held.floor());
            !held.closed && (held.recalled || returns || held.has_untold_late() || now.mono >= held.renew_at())
        };
        let (id, held) = self.leases.iter_mut().find(|(id, held)| serves.as_ref() != Some(id) && due(held))?;
        let id = id.clone();
        let command = renewal(&id, held, self.usage.through(), None);
        Some(LedgerCommand::RenewLease(command))
    }

    /// Room for the first in line.
    fn request(&mut self, now: Now, numbers: &Numbers) -> Option<LedgerCommand> {
        let first = self.line.front()?;
        if now.mono < self.contact.poll_at {
            return None;
        }
        let (call, wanted) = (first.call.clone(), Arc::clone(&first.wanted));
        let want = self.contact.want(wanted.worst, now.mono);
        let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        let request = |need, need_min| LeaseRequest {
            call,
            need,
            need_min,
            whole_min: wanted.worst_min,
            want: need + want,
            waiting,
        };
        let current = self.current.clone();
        if let Some((id, held)) = current.and_then(|id| self.leases.get_mut(&id).map(|held| (id, held))) {
            let keep = if held.pressure || held.recalled { held.floor().min(held.cap) } else { held.cap };
            let need = |worst: Amounts| (held.spent() + worst).saturating_sub(keep);
            let request = request(need(wanted.worst), need(wanted.worst_min));
            return Some(LedgerCommand::RenewLease(renewal(&id, held, self.usage.through(), Some(request))));
        }
        let lease = LeaseId { holder: self.me.holder.clone(), number: numbers.next() };
        let scopes = self.me.scopes.clone();
        let request = request(wanted.worst, wanted.worst_min);
        Some(LedgerCommand::GrantLease(GrantLease { lease, scopes, request }))
    }

    /// What came of the command that was under way.
    pub(in crate::admission) fn replied(&mut self, outcome: CommandOutcome, now: Now) {
        let Some((command, sent)) = self.contact.flying.take() else { return };
        match &command {
            LedgerCommand::RenewLease(RenewLease { lease, .. }) | LedgerCommand::EndLease(EndLease { lease, .. }) => {
                self.release_settled(lease);
            }
            _ => {}
        }
        let reply = match outcome {
            Ok(reply) => reply,
            Err(trouble) => {
                self.contact.trouble = Some(trouble);
                self.contact.pause_until = now.mono + TROUBLE_PAUSE;
                self.contact.poll_later(now.mono);
                return;
            }
        };
        self.contact.trouble = None;
        match command {
            LedgerCommand::GrantLease(command) => self.granted(&command, reply, sent, now),
            LedgerCommand::RenewLease(command) => self.renewed(&command, reply, sent, now),
            LedgerCommand::EndLease(command) if reply.accepted => self.ended(&command.lease),
            LedgerCommand::WithdrawRequest(_) => {}
            _ => self.contact.pause_until = now.mono + TROUBLE_PAUSE,
        }
    }

    /// Calls that were billed beyond their reservations are told that they are settled once the ledger was asked to take that
    /// in, whatever came of it: whoever calls next finds the budget as it is.
    pub(super) fn release_settled(&mut self, lease: &LeaseId) {
        let (released, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unreleased).into_iter().partition(|(of, ..)| of == lease);
        self.unreleased = kept;
        for (_, settled, sender) in released {
            // Nobody may be listening any more; the event stands.
            let _ = sender.send(settled);
        }
    }

    fn granted(&mut self, command: &GrantLease, reply: Reply, sent: Duration, now: Now) {
        let answer = match understand(reply) {
            Ok(answer) => answer,
            Err(why) => return self.rejected(&command.request.call, &why, now),
        };
        if let Some(state) = answer.lease
            && !self.leases.contains_key(&command.lease)
        {
            let mut held = HeldLease::granted(&state, sent);
            held.pressure = mutations::hands_back(answer.others_wait);
            // The journal may have told of its close before the ledger's reply told of the lease.
            held.closed = self.usage.is_closed(&command.lease);
            self.leases.insert(command.lease.clone(), held);
            self.current = Some(command.lease.clone());
        }
        self.outcome(&command.request, &answer, now);
    }

    fn renewed(&mut self, command: &RenewLease, reply: Reply, sent: Duration, now: Now) {
        let answer = match understand(reply) {
            Ok(answer) => answer,
            Err(why) => match &command.request {
                Some(request) => return self.rejected(&request.call, &why, now),
                None => return self.contact.pause_until = now.mono + TROUBLE_PAUSE,
            },
        };
        if let Some(held) = self.leases.get_mut(&command.lease) {
            held.late_told = command.late_total;
            held.pressure = held.recalled || mutations::hands_back(answer.others_wait);
            match answer.lease {
                Some(state) => take_terms(held, &state, command.turn, sent),
                None => held.closed = true,
            }
        }
        if answer.lease.is_none() || answer.outcome == Outcome::Turned {
            self.current.take_if(|current| *current == command.lease);
        }
        if let Some(held) = self.leases.get_mut(&command.lease)
            && answer.outcome == Outcome::Turned
        {
            held.retiring = true;
        }
        if let Some(request) = &command.request {
            self.outcome(request, &answer, now);
        }
        self.forget_if_over(&command.lease);
    }

    fn outcome(&mut self, request: &LeaseRequest, answer: &LeaseAnswer, now: Now) {
        if let Some(left) = answer.budget_left {
            self.left = Some((left, self.used_money()));
        }
        self.left_percent = answer.left_percent;
        let call = &request.call;
        let waits = self.line.iter().any(|waiting| waiting.call == *call);
        match &answer.outcome {
            Outcome::Granted => {
                self.contact.ticket.take_if(|ticket| ticket == call);
                if waits {
                    self.contact.granted = Some(call.clone());
                    self.contact.short = Some(call.clone());
                }
                self.contact.poll_pause = POLL_MIN;
                self.contact.poll_at = now.mono + POLL_MIN;
            }
            Outcome::Queued => {
                self.contact.ticket = Some(call.clone());
                if waits {
                    self.contact.short = Some(call.clone());
                } else {
                    self.contact.forget(call);
                }
                self.contact.poll_later(now.mono);
            }
            Outcome::Refused { why } => self.rejected(call, &why.clone(), now),
            Outcome::LineFull | Outcome::Nothing => self.contact.poll_later(now.mono),
            Outcome::Turned | Outcome::Ended => self.contact.poll_at = now.mono,
        }
    }

    fn rejected(&mut self, call: &CallId, why: &Rejection, now: Now) {
        self.contact.ticket.take_if(|ticket| ticket == call);
        if matches!(why, Rejection::BudgetExhausted { resets_at: Some(at), .. } if *at <= now.wall) {
            // Its window has turned since.
            self.contact.poll_later(now.mono);
        } else if matches!(why, Rejection::BudgetExhausted { .. }) {
            self.refuse(call, why, now);
        } else {
            self.contact.trouble = Some(why.to_string());
            self.contact.pause_until = now.mono + TROUBLE_PAUSE;
        }
    }

    fn ended(&mut self, lease: &LeaseId) {
        if let Some(held) = self.leases.get_mut(lease) {
            held.end_due = false;
        }
        self.forget_if_over(lease);
    }

    /// Leases that others closed are forgotten once no call of theirs is left to be recorded.
    pub(in crate::admission) fn forget_over(&mut self) -> Vec<LeaseId> {
        let over: Vec<LeaseId> = (self.leases.iter())
            .filter(|(_, held)| held.closed && !held.end_due && held.calls == 0)
            .map(|(id, _)| id.clone())
            .collect();
        for lease in &over {
            self.forget_if_over(lease);
        }
        over
    }

    fn forget_if_over(&mut self, lease: &LeaseId) {
        if self.leases.get(lease).is_some_and(|held| held.closed && !held.end_due && held.calls == 0) {
            self.leases.remove(lease);
            self.release_settled(lease);
            self.usage.forget(lease);
        }
    }
}

/// Builds the next renewal. From here on the holder keeps to what it says it keeps.
fn renewal(
    id: &LeaseId,
    held: &mut HeldLease,
    through: steward_events::quantity::Position,
    request: Option<LeaseRequest>,
) -> RenewLease {
    let keep = if held.pressure || held.recalled { held.floor().min(held.cap) } else { held.cap };
    if mutations::shrinks_at_once() {
        held.cap = keep;
    }
    held.recalled = false;
    RenewLease {
        lease: id.clone(),
        turn: Turn(held.turn.0 + 1),
        through,
        used_total: held.report_now(),
        late_total: held.late,
        keep_total: keep,
        request,
    }
}

/// The terms of the turn asked for are taken; those of another turn only tell which one is next.
fn take_terms(held: &mut HeldLease, state: &LeaseState, turn: Turn, sent: Duration) {
    if mutations::takes_terms(state.turn == turn) {
        held.take(state, sent);
        held.turn = turn;
    } else {
        held.turn = held.turn.max(state.turn);
    }
}

fn understand(reply: Reply) -> Result<LeaseAnswer, Rejection> {
    let reply = reply.into_result()?;
    serde_json::from_value(reply.answer).map_err(|error| Rejection::stale(format!("the answer is unreadable: {error}")))
}
