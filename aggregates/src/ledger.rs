//! The ledger: one a tenant, over all its budgets, windows and leases.
//!
//! It guards one rule: an admission never brings what a hard budget has spent and holds out over its limit. It lends to
//! holders, takes their reports, and keeps order among those who wait. It knows amounts, scopes and windows; it must
//! not know models, prices or who asked.

use std::collections::BTreeMap;

use steward_events::command::{
    CorrectLease, EndLease, GrantLease, LedgerCommand, RecallLease, RemoveBudget, RenewLease, SetBudget,
};
use steward_events::event::{BudgetKey, BudgetSpec, LedgerEvent, WindowBounds};
use steward_events::id::{BudgetId, CallId, HolderId, LeaseId};
use steward_events::quantity::{Amounts, Turn};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_events::window;

use crate::aggregate::{Aggregate, Stamp};
use crate::sabotage::{Rule, drops};

mod answer;
mod book;
mod lease;
mod line;
mod room;
#[cfg(test)]
mod tests;

pub use answer::{LeaseAnswer, LeaseState, Outcome};
pub use book::Row;
pub use lease::{CALL_TIME_MAX, LEASE_TTL, Lease, RECALL_AGAIN, RECALL_MAX, Unsettled};
pub use line::{LINE_MAX, TICKET_TTL, Ticket};

use book::Book;
use line::Line;
use room::{Admission, Own};

/// The most budgets of one tenant.
pub const BUDGETS_MAX: usize = 4_096;

/// The most thresholds of one budget.
pub const WARN_MAX: usize = 10;

/// Guards one rule: what is lent fits what is left of every budget it touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    budgets: BTreeMap<BudgetId, Budget>,
    book: Book,
    leases: BTreeMap<LeaseId, Lease>,
    /// The highest lease number seen of each holder. With the open leases, this is all that is known of ended ones.
    highest: BTreeMap<HolderId, u64>,
    unsettled: BTreeMap<CallId, Unsettled>,
    line: Line,
    at: Timestamp,
}

/// One life of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What it counts.
    pub key: BudgetKey,
    /// How much, and what happens near it.
    pub spec: BudgetSpec,
    /// Its last recorded window.
    pub window: WindowBounds,
}

impl Aggregate for Ledger {
    type Command = LedgerCommand;
    type Event = LedgerEvent;

    /// Decides `command`. Pure. A lease id seen before, open or ended, decides nothing.
    ///
    /// # Errors
    /// [`Rejection::BudgetExhausted`] if settled facts leave no room; a call that was in line is refused by the answer
    /// instead, because its leaving the line is recorded. [`Rejection::Stale`] for a correction that comes before its
    /// lease's end: to be tried again.
    fn decide(&self, command: &LedgerCommand, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        match command {
            LedgerCommand::SetBudget(order) => self.set_budget(order, stamp),
            LedgerCommand::RemoveBudget(order) => self.remove_budget(order),
            LedgerCommand::GrantLease(order) => self.grant(order, stamp),
            LedgerCommand::RenewLease(order) => self.renew(order, stamp),
            LedgerCommand::WithdrawRequest(order) => Ok((self.line.ticket(&order.call).into_iter())
                .map(|ticket| LedgerEvent::RequestDequeued { call: ticket.call.clone() })
                .collect()),
            LedgerCommand::RecallLease(order) => Ok(self.recall(order)),
            LedgerCommand::EndLease(order) => Ok(self.end(order)),
            LedgerCommand::CorrectLease(order) => self.correct(order),
        }
    }

    fn apply(&mut self, event: &LedgerEvent, at: Timestamp) {
        self.at = self.at.max(at);
        match event {
            LedgerEvent::BudgetSet { budget, key, spec, window } => self.apply_budget(budget, key, spec, window),
            LedgerEvent::BudgetRemoved { budget } => {
                self.budgets.remove(budget);
                self.book.remove_budget(budget);
                let counts = |window: &WindowBounds| window.budget != *budget;
                self.leases.values_mut().for_each(|lease| lease.windows.retain(counts));
                self.unsettled.values_mut().for_each(|call| call.windows.retain(counts));
            }
            LedgerEvent::LeaseGranted { lease, scopes, call, terms, windows } => {
                let highest = self.highest.entry(lease.holder.clone()).or_default();
                *highest = lease.number.max(*highest);
                for window in windows {
                    if let Some(budget) = self.budgets.get_mut(&window.budget) {
                        budget.window = window.clone();
                    }
                }
                self.book.refer(windows);
                self.book.hold(windows, Amounts::ZERO, terms.cap_total);
                let granted = Lease {
                    scopes: scopes.clone(),
                    windows: windows.clone(),
                    turn: Turn(0),
                    decided_at: at,
                    used: Amounts::ZERO,
                    late: Amounts::ZERO,
                    terms: *terms,
                    call: Some(call.clone()),
                    recalled: None,
                    answered: None,
                };
                self.leases.insert(lease.clone(), granted);
            }
            LedgerEvent::LeaseRenewed { lease, turn, used_total, late_total, terms, call, through: _ } => {
                let Some(lease) = self.leases.get_mut(lease) else { return };
                let (held, used, late) = (lease.held(), lease.used, lease.late);
                lease.turn = *turn;
                lease.decided_at = at;
                lease.used = if drops(Rule::DeltaUsed) { used + *used_total } else { *used_total };
                lease.late = *late_total;
                lease.terms = *terms;
                lease.call.clone_from(call);
                lease.answered = lease.recalled.take().map(|_| at).or(lease.answered);
                self.book.hold(&lease.windows, held, lease.held());
                self.book.post(&lease.windows, lease.used.saturating_sub(used), lease.late.saturating_sub(late));
            }
            LedgerEvent::LeaseEnded { lease: id, used_total, late_total, unsettled, closed_at: _ } => {
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
            LedgerEvent::LeaseCorrected { call: id, used, late, left, lease: _ } => {
                let Some(call) = self.unsettled.get_mut(id) else { return };
                self.book.unsettle(&call.windows, *left, call.worst);
                self.book.post(&call.windows, *used, *late);
                if left.is_zero() {
                    self.book.release(&call.windows);
                    self.unsettled.remove(id);
                } else {
                    call.worst = *left;
                    call.estimated = true;
                }
            }
            LedgerEvent::RequestQueued { call, scopes, need } => {
                self.line.put(Ticket { call: call.clone(), scopes: scopes.clone(), need: *need, seen: at });
            }
            LedgerEvent::RequestDequeued { call } => self.line.remove(call),
            LedgerEvent::LeaseRecalled { lease } => {
                if let Some(lease) = self.leases.get_mut(lease) {
                    lease.recalled.get_or_insert(at);
                }
            }
            LedgerEvent::ThresholdCrossed { window, percent, budget: _ } => {
                self.book.each(std::slice::from_ref(window), |row, _| _ = row.warned.insert(*percent));
            }
        }
    }

    fn answer(&self, command: &LedgerCommand) -> serde_json::Value {
        let answer = match command {
            LedgerCommand::GrantLease(order) => self.answer_grant(order),
            LedgerCommand::RenewLease(order) => self.answer_renew(order),
            _ => return serde_json::Value::Null,
        };
        serde_json::to_value(answer).unwrap_or_default()
    }
}

/// What is known.
impl Ledger {
    /// The budgets that hold now.
    pub fn budgets(&self) -> impl Iterator<Item = (&BudgetId, &Budget)> {
        self.budgets.iter()
    }

    /// The books: each budget's windows, by their first moment.
    pub fn rows(&self) -> impl Iterator<Item = (&BudgetId, Timestamp, &Row)> {
        self.book.rows()
    }

    /// The open leases.
    pub fn leases(&self) -> impl Iterator<Item = (&LeaseId, &Lease)> {
        self.leases.iter()
    }

    /// An open lease.
    pub fn lease(&self, id: &LeaseId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// Calls whose cost is not known and whose lease has ended.
    pub fn unsettled(&self) -> impl Iterator<Item = (&CallId, &Unsettled)> {
        self.unsettled.iter()
    }

    /// Who waits, in order.
    pub fn line(&self) -> impl Iterator<Item = &Ticket> {
        self.line.iter()
    }

    /// When the last fact was recorded.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// True if this lease was granted once, or is older than one that was: it is not opened any more.
    pub fn has_seen(&self, lease: &LeaseId) -> bool {
        self.highest.get(&lease.holder).is_some_and(|highest| lease.number <= *highest)
    }
}

/// Budgets.
impl Ledger {
    fn set_budget(&self, order: &SetBudget, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        if !order.scope.is_within(&stamp.tenant) {
            let reason = format!("a budget of {} holds at {0} or below, e.g. {0}/project", stamp.tenant);
            return Err(Rejection::invalid("scope", reason));
        }
        let mut warn_percent = order.warn.clone();
        warn_percent.sort_unstable();
        warn_percent.dedup();
        if warn_percent.len() > WARN_MAX || warn_percent.iter().any(|percent| !(1..=100).contains(percent)) {
            return Err(Rejection::invalid("warn", format!("at most {WARN_MAX} percentages from 1 to 100")));
        }
        let spec = BudgetSpec { limit: order.limit.amount, hard: order.hard, warn_percent };
        let key = BudgetKey {
            scope: order.scope.clone(),
            subject: order.subject.clone(),
            unit: order.limit.unit,
            window: order.per,
        };
        if let Some((id, budget)) = self.budgets.iter().find(|(_, budget)| budget.key == key) {
            if budget.spec == spec {
                return Ok(Vec::new());
            }
            return Ok(self.change_budget(id, budget, spec, stamp));
        }
        if self.budgets.len() >= BUDGETS_MAX {
            return Err(Rejection::invalid("scope", format!("a tenant has at most {BUDGETS_MAX} budgets")));
        }
        // A command makes at most one budget, so its id is the budget's.
        let budget = BudgetId::new(stamp.command.as_str())
            .map_err(|invalid| Rejection::invalid("command", invalid.to_string()))?;
        let (from, to) = window::bounds(key.window, stamp.at, &stamp.timezone);
        let window = WindowBounds { budget: budget.clone(), from, to };
        let new = Budget { key, spec, window };
        let recalled = self.recalled_for_new(&new);
        let Budget { key, spec, window } = new;
        let set = LedgerEvent::BudgetSet { budget, key, spec, window };
        Ok([set].into_iter().chain(recalled).collect())
    }

    /// A new budget starts with all that is out within its scope: if that is over its limit, it is asked back.
    fn recalled_for_new(&self, budget: &Budget) -> Vec<LedgerEvent> {
        let out = |amounts: Amounts| u128::from(amounts.get(budget.key.unit));
        let touched = || self.leases.iter().filter(|(_, lease)| budget.touches(&lease.scopes));
        let held: u128 = touched().map(|(_, lease)| out(lease.held())).sum();
        let unsettled: u128 =
            self.unsettled.values().filter(|call| budget.touches(&call.scopes)).map(|call| out(call.worst)).sum();
        if !budget.spec.hard || held + unsettled <= u128::from(budget.spec.limit) || drops(Rule::NoRecall) {
            return Vec::new();
        }
        touched()
            .filter(|(_, lease)| lease.recalled.is_none() && out(lease.held()) > 0)
            .map(|(lease, _)| LedgerEvent::LeaseRecalled { lease: lease.clone() })
            .collect()
    }

    /// A limit that is lowered below what is out asks for it back; one that is raised is seen by those who wait.
    fn change_budget(&self, id: &BudgetId, budget: &Budget, spec: BudgetSpec, stamp: &Stamp) -> Vec<LedgerEvent> {
        let window = budget.window_at(id, stamp.at, &stamp.timezone);
        let mut events = Vec::new();
        if let Some(row) = self.book.row(&window) {
            if spec.hard && row.exposure() > u128::from(spec.limit) && !drops(Rule::NoRecall) {
                let asked = self.leases.iter().filter(|(_, lease)| {
                    lease.recalled.is_none() && lease.held().get(budget.key.unit) > 0 && lease.windows.contains(&window)
                });
                events.extend(asked.map(|(lease, _)| LedgerEvent::LeaseRecalled { lease: lease.clone() }));
            }
            events.extend(crossings(&spec, row, row.spent(), &window));
        }
        let key = budget.key.clone();
        events.insert(0, LedgerEvent::BudgetSet { budget: id.clone(), key, spec, window });
        events
    }

    fn remove_budget(&self, order: &RemoveBudget) -> Result<Vec<LedgerEvent>, Rejection> {
        let RemoveBudget { scope, subject, unit, per } = order.clone();
        let key = BudgetKey { scope, subject, unit, window: per };
        match self.budgets.iter().find(|(_, budget)| budget.key == key) {
            Some((budget, _)) => Ok(vec![LedgerEvent::BudgetRemoved { budget: budget.clone() }]),
            None => Err(Rejection::not_found("budget", &key)),
        }
    }

    fn apply_budget(&mut self, id: &BudgetId, key: &BudgetKey, spec: &BudgetSpec, window: &WindowBounds) {
        if let Some(budget) = self.budgets.get_mut(id) {
            budget.spec.clone_from(spec);
            budget.window.clone_from(window);
            return;
        }
        let budget = Budget { key: key.clone(), spec: spec.clone(), window: window.clone() };
        self.book.open_budget(id, key.unit);
        let own = std::slice::from_ref(window);
        if !drops(Rule::NewBudgetBlind) {
            for lease in self.leases.values_mut().filter(|lease| budget.touches(&lease.scopes)) {
                self.book.refer(own);
                self.book.hold(own, Amounts::ZERO, lease.held());
                lease.windows.push(window.clone());
            }
            if !drops(Rule::NewBudgetHalfBlind) {
                for call in self.unsettled.values_mut().filter(|call| budget.touches(&call.scopes)) {
                    self.book.refer(own);
                    self.book.unsettle(own, call.worst, Amounts::ZERO);
                    call.windows.push(window.clone());
                }
            }
        }
        self.budgets.insert(id.clone(), budget);
    }
}

/// Leases.
impl Ledger {
    fn grant(&self, order: &GrantLease, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        let GrantLease { lease, scopes, request } = order;
        if !scopes.path.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scopes.path", format!("it must be {} or below", stamp.tenant)));
        }
        let was_seen = self.has_seen(lease) && !drops(Rule::ForgetsEnded);
        if self.leases.contains_key(lease) || was_seen {
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

    fn renew(&self, order: &RenewLease, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        let Some(lease) = self.leases.get(&order.lease) else { return Ok(Vec::new()) };
        let is_next = order.turn == Turn(lease.turn.0.saturating_add(1));
        if !is_next && !drops(Rule::NoTurn) && !drops(Rule::DeltaUsed) {
            return Ok(Vec::new());
        }
        let monotone = !drops(Rule::NoTurn) && !drops(Rule::DeltaUsed);
        let used = if monotone { order.used_total.max(lease.used) } else { order.used_total };
        let late = order.late_total.max(lease.late);
        let mut cap = order.keep_total.min(lease.terms.cap_total);
        let mut call = None;
        let mut events = Vec::new();
        let mut refused = None;
        let turned = lease.turns_at().filter(|turn| *turn <= stamp.at);
        if let (Some(request), None) = (&order.request, turned) {
            let own = Own { id: &order.lease, lease, used, late, cap };
            match self.admit(&lease.scopes, request, Some(&own), stamp.at, &stamp.timezone) {
                Admission::Granted { amount, events: first, .. } => {
                    cap += amount;
                    call = Some(request.call.clone());
                    events = first;
                }
                Admission::Queued { events: first } => events = first,
                Admission::Refused { rejection, events: first } => {
                    events = first;
                    refused = Some(rejection);
                }
            }
        }
        let says_nothing_new = (used, late, cap) == (lease.used, lease.late, lease.terms.cap_total)
            && lease.recalled.is_none()
            && stamp.at.since(lease.decided_at) < LEASE_TTL / 3;
        if order.request.is_some() && call.is_none() && turned.is_none() && says_nothing_new {
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
            lease: order.lease.clone(),
            turn: order.turn,
            through: order.through,
            used_total: used,
            late_total: late,
            terms,
            call,
        });
        events.extend(self.crossed(&lease.windows, used.saturating_sub(lease.used) + late.saturating_sub(lease.late)));
        Ok(events)
    }

    fn recall(&self, order: &RecallLease) -> Vec<LedgerEvent> {
        let asked = self.leases.get(&order.lease).is_some_and(|lease| lease.recalled.is_none());
        asked.then(|| LedgerEvent::LeaseRecalled { lease: order.lease.clone() }).into_iter().collect()
    }

    fn end(&self, order: &EndLease) -> Vec<LedgerEvent> {
        let Some(lease) = self.leases.get(&order.lease) else { return Vec::new() };
        let (used, late) = (order.used_total.max(lease.used), order.late_total.max(lease.late));
        let mut events = vec![LedgerEvent::LeaseEnded {
            lease: order.lease.clone(),
            closed_at: order.closed_at,
            used_total: used,
            late_total: late,
            unsettled: order.unsettled.clone(),
        }];
        events.extend(self.crossed(&lease.windows, used.saturating_sub(lease.used) + late.saturating_sub(lease.late)));
        events
    }

    fn correct(&self, order: &CorrectLease) -> Result<Vec<LedgerEvent>, Rejection> {
        if self.leases.contains_key(&order.lease) {
            if drops(Rule::CorrectDropped) {
                return Ok(Vec::new());
            }
            return Err(Rejection::stale("the lease is still open; its end comes first"));
        }
        let Some(call) = self.unsettled.get(&order.call).filter(|call| call.lease == order.lease) else {
            return Ok(Vec::new());
        };
        if call.estimated && !order.left.is_zero() {
            return Ok(Vec::new());
        }
        let used = order.used.min(call.worst);
        let late = order.late + order.used.saturating_sub(used);
        let left = order.left.min(call.worst.saturating_sub(used));
        let (lease, id) = (order.lease.clone(), order.call.clone());
        let mut events = vec![LedgerEvent::LeaseCorrected { lease, call: id, used, late, left }];
        events.extend(self.crossed(&call.windows, used + late));
        Ok(events)
    }

    /// The thresholds that `spent` on top crosses in these windows, for the first time in each.
    fn crossed(&self, windows: &[WindowBounds], spent: Amounts) -> Vec<LedgerEvent> {
        let mut events = Vec::new();
        for window in windows {
            let Some(budget) = self.budgets.get(&window.budget) else { continue };
            let Some(row) = self.book.row(window) else { continue };
            let after = row.spent() + u128::from(spent.get(budget.key.unit));
            events.extend(crossings(&budget.spec, row, after, window));
        }
        events
    }
}

fn crossings<'a>(
    spec: &'a BudgetSpec,
    row: &'a Row,
    spent: u128,
    window: &'a WindowBounds,
) -> impl Iterator<Item = LedgerEvent> + 'a {
    let reached = move |percent: u8| spent > 0 && spent * 100 >= u128::from(spec.limit) * u128::from(percent);
    (spec.warn_percent.iter()).filter(move |percent| !row.warned.contains(percent) && reached(**percent)).map(
        move |percent| LedgerEvent::ThresholdCrossed {
            budget: window.budget.clone(),
            window: window.clone(),
            percent: *percent,
        },
    )
}
