//! The laws of the budget protocol, checked at every commit and at every call of a provider.
//!
//! It folds the log for itself and keeps the truth beside it: what providers billed, and what they may still bill.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steward_aggregates::aggregate::Aggregate;
use steward_aggregates::ledger::{CALL_TIME_MAX, Ledger, LedgerRow, Ticket};
use steward_events::command::LeaseRequest;
use steward_events::commit::{Commit, Entry};
use steward_events::event::{Event, LedgerEvent, UsageEvent, WindowBounds};
use steward_events::id::{BudgetId, CallId, HolderId, LeaseId};
use steward_events::quantity::{Amounts, Position, Unit, Window};
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

use crate::env::key_of;

type RowKey = (BudgetId, Timestamp);

/// What was seen, and the first law that was broken.
#[derive(Default)]
pub(crate) struct Checker {
    ledger: Ledger,
    broken: Option<String>,
    trace: Vec<String>,
    traced: bool,
    /// The last state of every row, also of those that the ledger has forgotten.
    rows: BTreeMap<RowKey, LedgerRow>,
    truth: BTreeMap<RowKey, Truth>,
    providers: BTreeMap<u64, AtProvider>,
    attempts: u64,
    leases: BTreeMap<LeaseId, Life>,
    calls: BTreeMap<CallId, CallLife>,
    /// Holders that were killed: their calls may stay unsettled.
    pub(crate) killed: BTreeSet<HolderId>,
    /// Budgets that were there before any call.
    pub(crate) first_budgets: BTreeSet<BudgetId>,
    pub(crate) seen: Seen,
}

/// How much of what was exercised.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) commits: u64,
    pub(crate) granted: u64,
    pub(crate) renewed: u64,
    pub(crate) queued: u64,
    pub(crate) recalled: u64,
    pub(crate) fenced: u64,
    pub(crate) corrected: u64,
    pub(crate) unsettled: u64,
    pub(crate) refused: u64,
    pub(crate) started: u64,
    pub(crate) late: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, more: Self) {
        self.commits += more.commits;
        self.granted += more.granted;
        self.renewed += more.renewed;
        self.queued += more.queued;
        self.recalled += more.recalled;
        self.fenced += more.fenced;
        self.corrected += more.corrected;
        self.unsettled += more.unsettled;
        self.refused += more.refused;
        self.started += more.started;
        self.late += more.late;
    }
}

#[derive(Default)]
struct Truth {
    billed: u128,
    running: u128,
}

struct AtProvider {
    call: CallId,
    lease: LeaseId,
    rows: Vec<(RowKey, Unit)>,
    worst: Amounts,
}

#[derive(Default)]
struct Life {
    windows: Vec<WindowBounds>,
    ended: bool,
    closed: bool,
}

struct CallLife {
    lease: LeaseId,
    starts: u32,
    finishes: u32,
    worst: Amounts,
    used: Amounts,
    late: Amounts,
    estimated: bool,
}

impl Checker {
    pub(crate) fn new(traced: bool) -> Self {
        Self { traced, ..Self::default() }
    }

    pub(crate) fn fail(&mut self, law: String) {
        if self.broken.is_none() {
            self.trace(|| format!("BROKEN: {law}"));
            self.broken = Some(law);
        }
    }

    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.clone()
    }

    pub(crate) fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.traced {
            self.trace.push(line());
        }
    }

    pub(crate) fn print(&mut self, line: &str) {
        if self.traced {
            self.trace.push(line.to_owned());
        }
    }

    pub(crate) fn story(&self) -> &[String] {
        &self.trace
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A commit was stored at this moment.
    pub(crate) fn commit(&mut self, commit: &Commit, position: Position, now: Timestamp) {
        self.seen.commits += 1;
        for entry in &commit.entries {
            let line_before: Vec<Ticket> = self.ledger.line().cloned().collect();
            let rows_before = self.current_rows();
            for event in &entry.events {
                self.trace(|| format!("{now} {position} {}: {event:?}", commit.stream));
                match event {
                    Event::Ledger(event) => self.ledger_event(event, entry, &line_before, &rows_before),
                    Event::Usage(event) => self.usage_event(event),
                    _ => {}
                }
            }
        }
        self.covered("after a commit");
    }

    fn current_rows(&self) -> BTreeMap<RowKey, LedgerRow> {
        self.ledger.rows().map(|(budget, from, row)| ((budget.clone(), from), row.clone())).collect()
    }

    fn ledger_event(
        &mut self,
        event: &LedgerEvent,
        entry: &Entry,
        line_before: &[Ticket],
        rows_before: &BTreeMap<RowKey, LedgerRow>,
    ) {
        let before = self.current_rows();
        self.lease_lives(event);
        let old_cap = match event {
            LedgerEvent::LeaseRenewed { lease, .. } => self.ledger.lease(lease).map(|lease| lease.terms.cap_total),
            _ => None,
        };
        let is_new_budget = matches!(event, LedgerEvent::BudgetSet { budget, .. }
            if self.ledger.budgets().all(|(known, _)| known != budget));
        self.ledger.apply(event, entry.at);
        let after = self.current_rows();
        let admits = match event {
            LedgerEvent::LeaseGranted { .. } => true,
            LedgerEvent::LeaseRenewed { terms, call, .. } => {
                let grows = old_cap.is_some_and(|old| !terms.cap_total.fits(old));
                if grows && call.is_none() {
                    self.fail(format!("a lease grew without a request: {event:?}"));
                }
                grows
            }
            _ => false,
        };
        let nothing = LedgerRow::default();
        for (key, row) in &after {
            let old = before.get(key).unwrap_or(&nothing);
            if row.posted < old.posted {
                self.fail(format!("law 5: posted shrank from {old:?} to {row:?} by {event:?}"));
            }
            let grew = row.exposure() - row.late > old.exposure() - old.late;
            if grew && !admits && !is_new_budget {
                self.fail(format!("law 1: more is held out without an admission: {old:?} to {row:?} by {event:?}"));
            }
            if grew && admits {
                self.admission(key, row, event);
            }
        }
        self.rows.extend(after);
        self.line_order(event, entry, line_before, rows_before);
        if is_new_budget && let LedgerEvent::BudgetSet { budget, window, .. } = event {
            self.begin_truth(budget, window);
        }
    }

    /// Law 1: an admission never brings a hard budget over its limit.
    fn admission(&mut self, key: &RowKey, row: &LedgerRow, event: &LedgerEvent) {
        let budget = self.ledger.budgets().find(|(id, _)| **id == key.0);
        if let Some((_, budget)) = budget
            && budget.spec.hard
            && row.exposure() > u128::from(budget.spec.limit)
        {
            let (name, limit) = (budget.key.to_string(), budget.spec.limit);
            self.fail(format!("law 1: an admission over the limit {limit} of {name}: {row:?} by {event:?}"));
        }
    }

    /// Law 3: a lease opens once and ends once. And what follows every life is kept.
    fn lease_lives(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::LeaseGranted { lease, scopes, windows, .. } => {
                self.seen.granted += 1;
                if self.leases.contains_key(lease) {
                    self.fail(format!("law 3: lease {lease} was opened twice"));
                }
                let touched = self
                    .ledger
                    .budgets()
                    .filter(|(_, budget)| scopes.touches(&budget.key.scope, budget.key.subject.as_ref()));
                let skipped = touched.map(|(id, _)| id).find(|id| windows.iter().all(|window| window.budget != **id));
                if let Some(skipped) = skipped {
                    let skipped = skipped.clone();
                    self.fail(format!("law 1: lease {lease} takes nothing from budget {skipped}, which it touches"));
                }
                self.leases.insert(lease.clone(), Life { windows: windows.clone(), ..Life::default() });
            }
            LedgerEvent::LeaseEnded { lease, unsettled, .. } => {
                self.seen.unsettled += unsettled.len() as u64;
                match self.leases.get_mut(lease) {
                    Some(life) if !life.ended => life.ended = true,
                    _ => self.fail(format!("law 3: lease {lease} ended twice or was never opened")),
                }
            }
            LedgerEvent::LeaseRenewed { .. } => self.seen.renewed += 1,
            LedgerEvent::LeaseRecalled { .. } => self.seen.recalled += 1,
            LedgerEvent::LeaseCorrected { .. } => self.seen.corrected += 1,
            LedgerEvent::RequestQueued { .. } => self.seen.queued += 1,
            LedgerEvent::BudgetSet { .. }
            | LedgerEvent::BudgetRemoved { .. }
            | LedgerEvent::RequestDequeued { .. }
            | LedgerEvent::ThresholdCrossed { .. } => {}
        }
    }

    /// Law 6, the order: nobody takes what those ahead in the line wait for.
    fn line_order(
        &mut self,
        event: &LedgerEvent,
        entry: &Entry,
        line_before: &[Ticket],
        rows_before: &BTreeMap<RowKey, LedgerRow>,
    ) {
        let (LedgerEvent::LeaseGranted { call, .. } | LedgerEvent::LeaseRenewed { call: Some(call), .. }) = event
        else {
            return;
        };
        let live = |ticket: &&Ticket| ticket.is_live(entry.at);
        let own = line_before.iter().filter(live).position(|ticket| ticket.call == *call);
        let ahead = line_before.iter().filter(live).take(own.unwrap_or(usize::MAX));
        let mut taken = None;
        for ticket in ahead {
            for (id, budget) in self.ledger.budgets() {
                if !budget.spec.hard || !ticket.scopes.touches(&budget.key.scope, budget.key.subject.as_ref()) {
                    continue;
                }
                let key = (id.clone(), budget.window.from);
                // What a provider billed beyond its cap is taken by nobody.
                let held = |row: &LedgerRow| row.exposure() - row.late;
                let after = self.current_rows().get(&key).cloned().unwrap_or_default();
                let grew = held(&after) > rows_before.get(&key).map_or(0, held);
                let room = u128::from(budget.spec.limit).saturating_sub(after.exposure());
                if grew && room < u128::from(ticket.need.get(budget.key.unit)) {
                    taken = Some(format!("law 6: {call} took from {} what {} waits for", budget.key, ticket.call));
                }
            }
        }
        if let Some(taken) = taken {
            self.fail(taken);
        }
    }

    /// Law 6, refusals: only settled amounts may refuse.
    pub(crate) fn refusal(&mut self, ledger: &Ledger, scopes: &ScopeSet, request: &LeaseRequest, at: Timestamp) {
        self.seen.refused += 1;
        let fits = ledger.budgets().all(|(id, budget)| {
            if !budget.spec.hard || !scopes.touches(&budget.key.scope, budget.key.subject.as_ref()) {
                return true;
            }
            let unit = budget.key.unit;
            let is_now = |from: Timestamp, row: &LedgerRow| from <= at && row.to.is_none_or(|to| at < to);
            let spent =
                ledger.rows().find(|(of, from, row)| *of == id && is_now(*from, row)).map_or(0, |(_, from, row)| {
                    let outlived = ledger.unsettled().filter(|(_, call)| {
                        at.since(call.since) > CALL_TIME_MAX
                            && call.windows.iter().any(|window| window.budget == *id && window.from == from)
                    });
                    row.posted + row.late + outlived.map(|(_, call)| u128::from(call.worst.get(unit))).sum::<u128>()
                });
            u128::from(request.whole_min.get(unit)) + spent <= u128::from(budget.spec.limit)
        });
        self.trace(|| format!("{at} refused {request:?}"));
        if fits {
            let rows: Vec<_> = ledger.rows().collect();
            let what = format!("{at} {scopes:?} {request:?} with {rows:?}");
            self.fail(format!("law 6: refused although settled amounts leave room: {what}"));
        }
    }

    /// Law 4: a call starts once, finishes once, and never after its lease was closed.
    fn usage_event(&mut self, event: &UsageEvent) {
        match event {
            UsageEvent::CallStarted { call, lease, worst, .. } => {
                self.seen.started += 1;
                if self.leases.get(lease).is_none_or(|life| life.closed) {
                    self.fail(format!("law 4: {call} was started on {lease} after LeaseClosed"));
                }
                let life = self.calls.entry(call.clone()).or_insert_with(|| CallLife {
                    lease: lease.clone(),
                    starts: 0,
                    finishes: 0,
                    worst: *worst,
                    used: Amounts::ZERO,
                    late: Amounts::ZERO,
                    estimated: false,
                });
                life.starts += 1;
                if life.starts > 1 {
                    self.fail(format!("law 4: {call} was started twice"));
                }
            }
            UsageEvent::CallFinished { call, used, late, outcome, .. } => {
                let Some(life) = self.calls.get_mut(call) else {
                    return self.fail(format!("law 4: {call} finished and was never started"));
                };
                life.finishes += 1;
                life.used += *used;
                life.late += *late;
                life.estimated = outcome.leaves_open();
                if !late.is_zero() {
                    self.seen.late += 1;
                }
                if life.finishes > 1 {
                    self.fail(format!("law 4: {call} finished twice"));
                }
            }
            UsageEvent::LeaseClosed { lease, reason } => {
                if matches!(reason.as_str(), "recalled" | "expired") {
                    self.seen.fenced += 1;
                }
                match self.leases.get_mut(lease) {
                    Some(life) if !life.closed => life.closed = true,
                    _ => self.fail(format!("law 3: lease {lease} was closed twice, or never granted")),
                }
            }
        }
    }

    /// A call is at its provider from now on. The answer names the attempt.
    pub(crate) fn upstream(&mut self, call: &CallId, lease: &LeaseId, worst: Amounts) -> u64 {
        self.attempts += 1;
        self.trace(|| format!("{call} goes upstream on {lease} with {worst:?}"));
        if self.calls.get(call).is_none_or(|life| life.starts == 0) {
            self.fail(format!("law 4: {call} is at its provider and not recorded as started"));
        }
        let windows = self.leases.get(lease).map(|life| life.windows.clone()).unwrap_or_default();
        let mut rows = Vec::new();
        for window in windows {
            let Some(unit) = self.unit(&window.budget) else { continue };
            let key = (window.budget, window.from);
            self.truth.entry(key.clone()).or_default().running += u128::from(worst.get(unit));
            rows.push((key, unit));
        }
        let there = AtProvider { call: call.clone(), lease: lease.clone(), rows, worst };
        self.providers.insert(self.attempts, there);
        self.covered("at a call of a provider");
        self.attempts
    }

    /// The provider of this attempt is done and bills.
    pub(crate) fn billed(&mut self, attempt: u64, bill: Amounts) {
        let Some(AtProvider { call, rows, worst, .. }) = self.providers.remove(&attempt) else { return };
        self.trace(|| format!("{call} is billed {bill:?}"));
        let capped = bill.min(worst);
        for (key, unit) in rows {
            let truth = self.truth.entry(key).or_default();
            truth.running = truth.running.saturating_sub(u128::from(worst.get(unit)));
            truth.billed += u128::from(capped.get(unit));
        }
    }

    fn unit(&self, budget: &BudgetId) -> Option<Unit> {
        self.ledger.budgets().find(|(id, _)| *id == budget).map(|(_, budget)| budget.key.unit)
    }

    /// A new budget answers for what is at providers now, and for nothing that was billed before.
    fn begin_truth(&mut self, budget: &BudgetId, window: &WindowBounds) {
        let Some((_, of)) = self.ledger.budgets().find(|(id, _)| *id == budget) else { return };
        let (key, unit) = ((budget.clone(), window.from), of.key.unit);
        let (scope, subject) = (of.key.scope.clone(), of.key.subject.clone());
        let touched: Vec<LeaseId> = (self.leases.keys())
            .filter(|lease| self.scopes_of(lease).is_some_and(|scopes| scopes.touches(&scope, subject.as_ref())))
            .cloned()
            .collect();
        for lease in &touched {
            if let Some(life) = self.leases.get_mut(lease).filter(|life| !life.ended) {
                life.windows.push(window.clone());
            }
        }
        let truth = self.truth.entry(key.clone()).or_default();
        for there in self.providers.values_mut().filter(|there| touched.contains(&there.lease)) {
            truth.running += u128::from(there.worst.get(unit));
            there.rows.push((key.clone(), unit));
        }
    }

    fn scopes_of(&self, lease: &LeaseId) -> Option<ScopeSet> {
        let open = self.ledger.lease(lease).map(|lease| lease.scopes.clone());
        open.or_else(|| {
            let unsettled = self.ledger.unsettled().find(|(_, call)| call.lease == *lease);
            unsettled.map(|(_, call)| call.scopes.clone())
        })
    }

    /// Law 2: what providers billed and may still bill is never more than what the ledger holds out.
    fn covered(&mut self, when: &str) {
        let mut over = None;
        for (key, truth) in &self.truth {
            let exposure = self.rows.get(key).map_or(0, LedgerRow::exposure);
            if truth.billed + truth.running > exposure && self.unit(&key.0).is_some() {
                over = Some(format!(
                    "law 2, {when}: {} billed and {} at providers, but only {exposure} held out of {key:?}",
                    truth.billed, truth.running
                ));
            }
        }
        if let Some(over) = over {
            self.fail(over);
        }
    }

    /// True if nothing is open any more.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ledger.leases().next().is_none() && self.providers.is_empty() && self.corrections_due().is_empty()
    }

    fn corrections_due(&self) -> Vec<CallId> {
        let finished = |call: &CallId| self.calls.get(call).is_some_and(|life| life.finishes > 0 && !life.estimated);
        self.ledger.unsettled().map(|(call, _)| call.clone()).filter(finished).collect()
    }

    /// Each budget, by its key, unit and window, with what it cannot get back in its fullest window.
    pub(crate) fn held(&self) -> Vec<(Option<String>, Unit, Window, u64)> {
        let held = |id: &BudgetId| {
            let rows = self.ledger.rows().filter(|(of, _, _)| *of == id);
            rows.map(|(_, _, row)| row.spent() + row.unsettled).max().unwrap_or(0)
        };
        (self.ledger.budgets())
            .map(|(id, budget)| {
                let held = u64::try_from(held(id)).unwrap_or(u64::MAX);
                (key_of(&budget.key), budget.key.unit, budget.key.window, held)
            })
            .collect()
    }

    /// What keeps it from being quiet.
    pub(crate) fn unrest(&self) -> String {
        let leases: Vec<String> = self.ledger.leases().map(|(id, _)| id.to_string()).collect();
        format!("open leases {leases:?}, corrections due {:?}", self.corrections_due())
    }

    /// Whether `need` would fit every budget now if all leases came back, less what they have spent unreported.
    pub(crate) fn would_fit(&self, need: Amounts, at: Timestamp) -> bool {
        let of_open = self.calls.values().filter(|life| self.ledger.lease(&life.lease).is_some());
        let spent: Amounts = of_open.map(|life| life.used + life.late).sum();
        let reported: Amounts = self.ledger.leases().map(|(_, lease)| lease.used + lease.late).sum();
        let need = need + spent.saturating_sub(reported);
        self.ledger.budgets().all(|(id, budget)| {
            let is_now = |from: Timestamp, row: &LedgerRow| from <= at && row.to.is_none_or(|to| at < to);
            let row = self.ledger.rows().find(|(of, from, row)| *of == id && is_now(*from, row));
            let held = row.map_or(0, |(_, _, row)| row.posted + row.late + row.unsettled);
            !budget.spec.hard || held + u128::from(need.get(budget.key.unit)) <= u128::from(budget.spec.limit)
        })
    }

    /// Law 7 and the books: all is quiet, so they are equal to the events.
    pub(crate) fn audit(&mut self, log: &[Commit]) {
        let mut again = Ledger::default();
        for commit in log {
            for entry in &commit.entries {
                for event in &entry.events {
                    if let Event::Ledger(event) = event {
                        again.apply(event, entry.at);
                    }
                }
            }
        }
        if again != self.ledger {
            self.fail("law 5: folding twice gives two ledgers".to_owned());
        }
        let mut events: BTreeMap<RowKey, (u128, u128)> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (call, life) in &self.calls {
            let open = match life.finishes {
                0 => life.worst,
                _ if life.estimated => life.worst.saturating_sub(life.used),
                _ => Amounts::ZERO,
            };
            if life.finishes == 0 && !self.killed.contains(&life.lease.holder) {
                wrong.push(format!("law 7: {call} is unsettled though its gateway lives"));
            }
            let Some(lease) = self.leases.get(&life.lease) else { continue };
            for window in &lease.windows {
                let Some(unit) = self.unit(&window.budget) else { continue };
                let (spent, unsettled) = events.entry((window.budget.clone(), window.from)).or_default();
                *spent += u128::from(life.used.get(unit)) + u128::from(life.late.get(unit));
                *unsettled += u128::from(open.get(unit));
            }
        }
        for (key, row) in &self.rows {
            if row.leased != 0 {
                wrong.push(format!("law 7: {} left leased in {key:?}", row.leased));
            }
            let (spent, unsettled) = events.get(key).copied().unwrap_or_default();
            if self.first_budgets.contains(&key.0) && (row.spent(), row.unsettled) != (spent, unsettled) {
                wrong.push(format!(
                    "the books {row:?} of {key:?} differ from the events: {spent} spent, {unsettled} open"
                ));
            }
        }
        for law in wrong {
            self.fail(law);
        }
        self.covered("at the end");
    }
}

/// How long after the faults everything must have settled.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(300);
