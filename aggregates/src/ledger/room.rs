//! Whether a request fits: into every budget that its scopes touch, behind those who were there before.

use steward_events::command::LeaseRequest;
use steward_events::event::{LedgerEvent, WindowBounds};
use steward_events::id::{BudgetId, LeaseId};
use steward_events::quantity::{Amounts, Limit, Unit};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;
use steward_events::window;

use super::lease::{CALL_TIME_MAX, Lease, RECALL_AGAIN};
use super::line::{LINE_MAX, TICKET_REFRESH};
use super::{Budget, Ledger, mutations};

/// Of a free amount, the part that one lease may take for calls to come: the last third of it is lent exactly.
const CHUNK_SHARE: u64 = 3;

/// What a renewal changes before its request is looked at: what it reports is spent, what it returns is free.
pub(super) struct Own<'a> {
    pub(super) id: &'a LeaseId,
    pub(super) lease: &'a Lease,
    pub(super) used: Amounts,
    pub(super) late: Amounts,
    pub(super) cap: Amounts,
}

/// What came of a request.
pub(super) enum Admission {
    Granted { amount: Amounts, windows: Vec<WindowBounds>, events: Vec<LedgerEvent> },
    Queued { events: Vec<LedgerEvent> },
    Refused { rejection: Rejection, events: Vec<LedgerEvent> },
}

/// One budget that a request touches, at one moment.
pub(super) struct BudgetHeadroom<'a> {
    pub(super) budget: &'a Budget,
    pub(super) window: WindowBounds,
    /// What is left after all that is posted, leased and unsettled, and after what those ahead in the line need.
    pub(super) free: u64,
    /// What would be left if all that is open came back unused.
    pub(super) settled: u64,
}

impl BudgetHeadroom<'_> {
    fn unit(&self) -> Unit {
        self.budget.key.unit
    }
}

impl Ledger {
    /// Admits, queues or refuses `request` at `now`.
    pub(super) fn admit(
        &self,
        scopes: &ScopeSet,
        request: &LeaseRequest,
        own: Option<&Own<'_>>,
        now: Timestamp,
        timezone: &str,
    ) -> Admission {
        let mut events: Vec<LedgerEvent> = (self.line.void(now).filter(|ticket| ticket.call != request.call))
            .map(|ticket| LedgerEvent::RequestDequeued { call: ticket.call.clone() })
            .collect();
        let mine = self.line.ticket(&request.call);
        let leaves = mine.map(|ticket| LedgerEvent::RequestDequeued { call: ticket.call.clone() });
        let places = self.places(scopes, request, own, now, timezone);
        let windows = places.iter().map(|place| place.window.clone()).collect();
        let hard = || places.iter().filter(|place| place.budget.spec.hard);

        let target = self.share(request, &places, now);
        let short: Vec<&BudgetHeadroom<'_>> = hard().filter(|place| target.get(place.unit()) > place.free).collect();
        if short.is_empty() {
            events.extend(leaves);
            let amount = target + self.chunk(request, target, &places, now);
            return Admission::Granted { amount, windows, events };
        }
        let refusing = hard().find(|place| request.whole_min.get(place.unit()) > place.settled);
        if let Some(place) = mutations::refusing(refusing, || short.first().copied()) {
            let rejection = exhausted(place, request.whole_min);
            return Admission::Refused { rejection, events: leaves.into_iter().collect() };
        }
        let need = request.need_min.min(request.need);
        match mine {
            Some(ticket) if ticket.is_live(now) => {
                if ticket.need != need || now.since(ticket.seen) > TICKET_REFRESH {
                    events.push(queued(request, scopes, need));
                }
            }
            _ => {
                events.extend(leaves);
                if self.line.live(now) < LINE_MAX {
                    events.push(queued(request, scopes, need));
                }
            }
        }
        events.extend(self.recalls(&short, own.map(|own| own.id), now));
        Admission::Queued { events }
    }

    /// The budgets that `scopes` touch, with what is left in each for `request`.
    pub(super) fn places<'a>(
        &'a self,
        scopes: &ScopeSet,
        request: &LeaseRequest,
        own: Option<&Own<'_>>,
        now: Timestamp,
        timezone: &str,
    ) -> Vec<BudgetHeadroom<'a>> {
        let touched = self.budgets.iter().filter(|(_, budget)| budget.touches(scopes));
        let mut places: Vec<BudgetHeadroom<'a>> = touched
            .map(|(id, budget)| {
                let window = budget.window_at(id, now, timezone);
                let unit = budget.key.unit;
                let (mut exposure, mut gone) =
                    self.book.row(&window).map_or((0, 0), |row| (row.exposure(), row.spent()));
                if let Some(own) = own.filter(|own| own.lease.counts_in(&window)) {
                    let counts = |used: Amounts, late: Amounts, cap: Amounts| {
                        u128::from(cap.get(unit).max(used.get(unit))) + u128::from(late.get(unit))
                    };
                    let Own { lease, used, late, cap, .. } = own;
                    exposure = (exposure + counts(*used, *late, *cap)).saturating_sub(counts(
                        lease.used,
                        lease.late,
                        lease.terms.cap_total,
                    ));
                    gone += u128::from(used.get(unit).saturating_sub(lease.used.get(unit)))
                        + u128::from(late.get(unit).saturating_sub(lease.late.get(unit)));
                }
                gone += self.outlived(&window, unit, now);
                let left = |taken: u128| budget.spec.limit.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                BudgetHeadroom { budget, window, free: left(exposure), settled: left(gone) }
            })
            .collect();
        if mutations::keeps_the_line() {
            for ticket in self.line.ahead_of(&request.call, now) {
                for place in places.iter_mut().filter(|place| place.budget.touches(&ticket.scopes)) {
                    place.free = place.free.saturating_sub(ticket.need.get(place.unit()));
                }
            }
        }
        places
    }

    /// Unsettled worst cases that have outlived the longest call: nobody will settle them soon.
    fn outlived(&self, window: &WindowBounds, unit: Unit, now: Timestamp) -> u128 {
        (self.unsettled.values())
            .filter(|call| {
                now.since(call.since) > CALL_TIME_MAX && call.windows.iter().any(|own| own.is_same_turn(window))
            })
            .map(|call| u128::from(call.worst.get(unit)))
            .sum()
    }

    /// What to grant to this one call: all it needs, or, where it may be cut, its share among those who want some too.
    fn share(&self, request: &LeaseRequest, places: &[BudgetHeadroom<'_>], now: Timestamp) -> Amounts {
        let mut target = request.need;
        for place in places.iter().filter(|place| place.budget.spec.hard) {
            let unit = place.unit();
            let least = request.need_min.get(unit);
            if least < request.need.get(unit) {
                let leases = self.leases.values().filter(|lease| place.budget.touches(&lease.scopes)).count();
                let tickets = self.line.iter().filter(|ticket| {
                    ticket.call != request.call && ticket.is_live(now) && place.budget.touches(&ticket.scopes)
                });
                let waiting = u64::from(request.waiting.max(1));
                let crowd = waiting.saturating_add((leases + tickets.count()) as u64);
                target.set(unit, target.get(unit).min(least.max(place.free / crowd)));
            }
        }
        target
    }

    /// For calls to come: nothing while anyone waits or the call itself was cut.
    fn chunk(&self, request: &LeaseRequest, target: Amounts, places: &[BudgetHeadroom<'_>], now: Timestamp) -> Amounts {
        let others = self.line.iter().any(|ticket| {
            ticket.call != request.call
                && ticket.is_live(now)
                && places.iter().any(|place| place.budget.spec.hard && place.budget.touches(&ticket.scopes))
        });
        if others || target != request.need {
            return Amounts::ZERO;
        }
        let mut chunk = request.want;
        for place in places.iter().filter(|place| place.budget.spec.hard) {
            let unit = place.unit();
            let spare = place.free.saturating_sub(target.get(unit));
            chunk.set(unit, chunk.get(unit).min(spare / CHUNK_SHARE));
        }
        chunk
    }

    /// Asks those who hold something of what is short.
    fn recalls(&self, short: &[&BudgetHeadroom<'_>], own: Option<&LeaseId>, now: Timestamp) -> Vec<LedgerEvent> {
        if !mutations::asks_holders(!short.is_empty()) {
            return Vec::new();
        }
        let holds = |lease: &Lease| {
            let held = lease.held();
            short.iter().any(|place| held.get(place.unit()) > 0 && lease.counts_in(&place.window))
        };
        let may_be_asked = |lease: &Lease| {
            lease.recalled.is_none() && lease.answered.is_none_or(|answered| now.since(answered) > RECALL_AGAIN)
        };
        (self.leases.iter())
            .filter(|(id, lease)| own != Some(id) && may_be_asked(lease) && holds(lease))
            .map(|(id, _)| LedgerEvent::LeaseRecalled { lease: id.clone() })
            .collect()
    }
}

impl Budget {
    pub(super) fn touches(&self, scopes: &ScopeSet) -> bool {
        scopes.touches(&self.key.scope, self.key.subject.as_ref())
    }

    /// The window that holds `now`: as recorded if that has not turned, else by the calendar and never overlapping, also where
    /// the time zone was changed.
    pub(super) fn window_at(&self, id: &BudgetId, now: Timestamp, timezone: &str) -> WindowBounds {
        if self.window.to.is_none_or(|to| now < to) {
            return self.window.clone();
        }
        let (from, to) = window::after(self.key.window, (self.window.from, self.window.to), now, timezone);
        WindowBounds { budget: id.clone(), from, to }
    }
}

pub(super) fn exhausted(place: &BudgetHeadroom<'_>, requested: Amounts) -> Rejection {
    let unit = place.unit();
    let text = |amount| Limit { unit, amount }.to_string();
    Rejection::BudgetExhausted {
        budget: place.budget.key.to_string(),
        requested: text(requested.get(unit)),
        available: text(place.settled),
        limit: text(place.budget.spec.limit),
        resets_at: place.window.to,
    }
}

fn queued(request: &LeaseRequest, scopes: &ScopeSet, need: Amounts) -> LedgerEvent {
    LedgerEvent::RequestQueued { call: request.call.clone(), scopes: scopes.clone(), need }
}
