//! What is decided about leases, and what their events change.

use steward_events::command::{CorrectLease, EndLease, GrantLease, LeaseRequest, RecallLease, RenewLease};
use steward_events::event::{LeaseTerms, LedgerEvent, UnsettledCall, WindowBounds};
use steward_events::id::{CallId, LeaseId};
use steward_events::quantity::{Amounts, Turn};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

use super::lease::{self, LEASE_TTL, Lease, Unsettled};
use super::room::{Admission, Own};
use super::{Ledger, mutations};
use crate::aggregate::Stamp;

/// What a renewal gets for its request.
#[derive(Default)]
struct More {
    amount: Amounts,
    call: Option<CallId>,
    events: Vec<LedgerEvent>,
    refused: Option<Rejection>,
}

impl Ledger {
    pub(super) fn grant(&self, command: &GrantLease, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        let GrantLease { lease, scopes, request } = command;
        if !scopes.path.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scopes.path", format!("it must be {} or below", stamp.tenant)));
        }
        if self.leases.contains_key(lease) || mutations::stays_ended(self.has_seen(lease)) {
            return Ok(Vec::new());
        }
        match self.admit(scopes, request, None, stamp.at, &stamp.timezone) {
            Admission::Granted { amount, windows, mut events } => {
                let terms = lease::terms(amount, stamp.at, &windows);
                let (lease, scopes, call) = (lease.clone(), scopes.clone(), request.call.clone());
                events.push(LedgerEvent::LeaseGranted { lease, scopes, call, terms, windows });
                Ok(events)
            }
            Admission::Refused { rejection, events } if events.is_empty() => Err(rejection),
            Admission::Queued { events } | Admission::Refused { events, .. } => Ok(events),
        }
    }

    /// Takes a renewal's report, makes room for its request if there is one, and sets new terms.
    pub(super) fn renew(&self, command: &RenewLease, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        let Some(lease) = self.leases.get(&command.lease) else { return Ok(Vec::new()) };
        let is_next = command.turn == Turn(lease.turn.0.saturating_add(1));
        if !mutations::takes_turn(is_next) {
            return Ok(Vec::new());
        }
        let used = mutations::never_below(lease.used, command.used_total);
        let late = command.late_total.max(lease.late);
        let kept = command.keep_total.min(lease.terms.cap_total);
        let turned = lease.turns_at().filter(|turn| *turn <= stamp.at);
        let own = Own { id: &command.lease, lease, used, late, cap: kept };
        let request = command.request.as_ref().filter(|_| turned.is_none());
        let More { amount, call, mut events, refused } = self.more(request, &own, stamp);
        let cap = kept + amount;
        let says_nothing_new = (used, late, cap) == (lease.used, lease.late, lease.terms.cap_total)
            && lease.recalled.is_none()
            && stamp.at.since(lease.decided_at) < LEASE_TTL / 3;
        if request.is_some() && call.is_none() && says_nothing_new {
            // Only a look at one's place in the line: that is no turn.
            return match refused {
                Some(rejection) if events.is_empty() => Err(rejection),
                _ => Ok(events),
            };
        }
        let terms = match turned {
            None => lease::terms(cap, stamp.at, &lease.windows),
            Some(turned) => lease::terms_after_turn(lease, cap, stamp.at, turned),
        };
        events.push(LedgerEvent::LeaseRenewed {
            lease: command.lease.clone(),
            turn: command.turn,
            through: command.through,
            used_total: used,
            late_total: late,
            terms,
            call,
        });
        events.extend(self.crossed(&lease.windows, used.saturating_sub(lease.used) + late.saturating_sub(lease.late)));
        events.extend(self.overdrawn(Some(&command.lease), &lease.windows, late.saturating_sub(lease.late)));
        Ok(events)
    }

    /// What comes of a renewal's request.
    fn more(&self, request: Option<&LeaseRequest>, own: &Own<'_>, stamp: &Stamp) -> More {
        let Some(request) = request else { return More::default() };
        match self.admit(&own.lease.scopes, request, Some(own), stamp.at, &stamp.timezone) {
            Admission::Granted { amount, events, .. } => {
                More { amount, call: Some(request.call.clone()), events, refused: None }
            }
            Admission::Queued { events } => More { events, ..More::default() },
            Admission::Refused { rejection, events } => More { events, refused: Some(rejection), ..More::default() },
        }
    }

    pub(super) fn recall(&self, command: &RecallLease) -> Vec<LedgerEvent> {
        let asked = self.leases.get(&command.lease).is_some_and(|lease| lease.recalled.is_none());
        asked.then(|| LedgerEvent::LeaseRecalled { lease: command.lease.clone() }).into_iter().collect()
    }

    pub(super) fn end(&self, command: &EndLease) -> Vec<LedgerEvent> {
        let Some(lease) = self.leases.get(&command.lease) else { return Vec::new() };
        let (used, late) = (command.used_total.max(lease.used), command.late_total.max(lease.late));
        let mut events = vec![LedgerEvent::LeaseEnded {
            lease: command.lease.clone(),
            closed_at: command.closed_at,
            used_total: used,
            late_total: late,
            unsettled: command.unsettled.clone(),
        }];
        events.extend(self.crossed(&lease.windows, used.saturating_sub(lease.used) + late.saturating_sub(lease.late)));
        events.extend(self.overdrawn(Some(&command.lease), &lease.windows, late.saturating_sub(lease.late)));
        events
    }

    pub(super) fn correct(&self, command: &CorrectLease) -> Result<Vec<LedgerEvent>, Rejection> {
        if self.leases.contains_key(&command.lease) {
            return mutations::correction_before_the_end();
        }
        let Some(call) = self.unsettled.get(&command.call).filter(|call| call.lease == command.lease) else {
            return Ok(Vec::new());
        };
        if call.estimated && !command.left.is_zero() {
            return Ok(Vec::new());
        }
        let used = command.used.min(call.worst);
        let late = command.late + command.used.saturating_sub(used);
        let left = command.left.min(call.worst.saturating_sub(used));
        let (lease, id) = (command.lease.clone(), command.call.clone());
        let mut events = vec![LedgerEvent::LeaseCorrected { lease, call: id, used, late, left }];
        events.extend(self.crossed(&call.windows, used + late));
        events.extend(self.overdrawn(None, &call.windows, late));
        Ok(events)
    }
}

/// The report and the new terms of one turn.
pub(super) struct Renewal<'a> {
    pub(super) turn: Turn,
    pub(super) used_total: Amounts,
    pub(super) late_total: Amounts,
    pub(super) terms: LeaseTerms,
    pub(super) call: &'a Option<CallId>,
}

impl Ledger {
    pub(super) fn apply_granted(
        &mut self,
        id: &LeaseId,
        scopes: &ScopeSet,
        call: &CallId,
        terms: LeaseTerms,
        windows: &[WindowBounds],
        at: Timestamp,
    ) {
        let highest = self.highest.entry(id.holder.clone()).or_default();
        *highest = id.number.max(*highest);
        for window in windows {
            if let Some(budget) = self.budgets.get_mut(&window.budget) {
                budget.window = window.clone();
            }
        }
        self.book.refer(windows);
        self.book.hold(windows, Amounts::ZERO, terms.cap_total);
        let granted = Lease {
            scopes: scopes.clone(),
            windows: windows.to_vec(),
            turn: Turn(0),
            decided_at: at,
            used: Amounts::ZERO,
            late: Amounts::ZERO,
            terms,
            call: Some(call.clone()),
            recalled: None,
            answered: None,
        };
        self.leases.insert(id.clone(), granted);
    }

    pub(super) fn apply_renewed(&mut self, id: &LeaseId, renewal: &Renewal<'_>, at: Timestamp) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let (held, used, late) = (lease.held(), lease.used, lease.late);
        lease.turn = renewal.turn;
        lease.decided_at = at;
        lease.used = mutations::total_after_report(used, renewal.used_total);
        lease.late = renewal.late_total;
        lease.terms = renewal.terms;
        lease.call.clone_from(renewal.call);
        lease.answered = lease.recalled.take().map(|_| at).or(lease.answered);
        self.book.hold(&lease.windows, held, lease.held());
        self.book.post(&lease.windows, lease.used.saturating_sub(used), lease.late.saturating_sub(late));
    }

    pub(super) fn apply_ended(
        &mut self,
        id: &LeaseId,
        used_total: Amounts,
        late_total: Amounts,
        unsettled: &[UnsettledCall],
        at: Timestamp,
    ) {
        let Some(lease) = self.leases.remove(id) else { return };
        let windows = &lease.windows;
        self.book.hold(windows, lease.held(), Amounts::ZERO);
        self.book.post(windows, used_total.saturating_sub(lease.used), late_total.saturating_sub(lease.late));
        for call in unsettled {
            self.book.refer(windows);
            self.book.unsettle(windows, call.worst, Amounts::ZERO);
            let kept = Unsettled {
                lease: id.clone(),
                scopes: lease.scopes.clone(),
                worst: call.worst,
                windows: windows.clone(),
                since: at,
                estimated: false,
            };
            self.unsettled.insert(call.call.clone(), kept);
        }
        self.book.release(windows);
    }

    pub(super) fn apply_corrected(&mut self, id: &CallId, used: Amounts, late: Amounts, left: Amounts) {
        let Some(call) = self.unsettled.get_mut(id) else { return };
        self.book.unsettle(&call.windows, left, call.worst);
        self.book.post(&call.windows, used, late);
        if left.is_zero() {
            self.book.release(&call.windows);
            self.unsettled.remove(id);
        } else {
            call.worst = left;
            call.estimated = true;
        }
    }
}
