//! The ledger's books, kept as rows: what each event changes in which budgets' windows.

use steward_events::event::{BudgetKey, BudgetSpec, UnsettledCall, WindowBounds};
use steward_events::id::{BudgetId, CallId, LeaseId, TenantId};
use steward_events::quantity::{Amounts, Unit};
use steward_events::scope::ScopeSet;

use super::{
    BudgetsRow, StoredBudget, StoredCall, StoredLease, StoredWindow, budget_key, call_key, calls, lease_key, leases,
};
use crate::engine::key::Key;
use crate::engine::rows::Rows;

/// The books of one tenant.
pub(super) struct BudgetRows<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) rows: &'a mut Rows<BudgetsRow>,
}

impl BudgetRows<'_> {
    /// A budget holds from now on, or has a new limit. A new one starts with what is already out within its scope.
    pub(super) fn set(&mut self, id: &BudgetId, key: &BudgetKey, spec: &BudgetSpec, window: &WindowBounds) {
        if let Some(BudgetsRow::Budget(budget)) = self.rows.row(&budget_key(self.tenant, id)) {
            budget.spec.clone_from(spec);
            budget.window.clone_from(window);
            return;
        }
        let (budget, key, spec) = (id.clone(), key.clone(), spec.clone());
        let new = StoredBudget { budget, key: key.clone(), spec, window: window.clone(), windows: Vec::new() };
        *self.rows.row(&budget_key(self.tenant, id)) = Some(BudgetsRow::Budget(Box::new(new)));
        let own = std::slice::from_ref(window);
        for (row_key, scopes) in self.open(&leases(self.tenant)) {
            if touches(&key, &scopes)
                && let Some(BudgetsRow::Lease(lease)) = self.rows.row(&row_key)
            {
                lease.windows.push(window.clone());
                let held = lease.held();
                self.refer(own);
                self.hold(own, Amounts::ZERO, held);
            }
        }
        for (row_key, scopes) in self.open(&calls(self.tenant)) {
            if touches(&key, &scopes)
                && let Some(BudgetsRow::Unsettled(call)) = self.rows.row(&row_key)
            {
                call.windows.push(window.clone());
                let worst = call.worst;
                self.refer(own);
                self.unsettle(own, worst, Amounts::ZERO);
            }
        }
    }

    /// The budget holds no more. Leases may still name its windows, and change nothing by it: no other budget has its id.
    pub(super) fn remove(&mut self, budget: &BudgetId) {
        *self.rows.row(&budget_key(self.tenant, budget)) = None;
    }

    pub(super) fn grant(&mut self, id: &LeaseId, scopes: &ScopeSet, windows: &[WindowBounds], cap: Amounts) {
        for window in windows {
            self.budget(&window.budget, |budget| budget.window.clone_from(window));
        }
        self.refer(windows);
        self.hold(windows, Amounts::ZERO, cap);
        let (scopes, windows) = (scopes.clone(), windows.to_vec());
        let lease = StoredLease { scopes, windows, used: Amounts::ZERO, late: Amounts::ZERO, cap };
        *self.rows.row(&lease_key(self.tenant, id)) = Some(BudgetsRow::Lease(Box::new(lease)));
    }

    pub(super) fn renew(&mut self, id: &LeaseId, used: Amounts, late: Amounts, cap: Amounts) {
        let Some(BudgetsRow::Lease(lease)) = self.rows.row(&lease_key(self.tenant, id)) else { return };
        let before = (**lease).clone();
        (lease.used, lease.late, lease.cap) = (used, late, cap);
        let held = lease.held();
        self.hold(&before.windows, before.held(), held);
        self.post(&before.windows, used.saturating_sub(before.used), late.saturating_sub(before.late));
    }

    /// The lease is over; calls that have not finished stay held out.
    pub(super) fn end(&mut self, id: &LeaseId, used: Amounts, late: Amounts, unsettled: &[UnsettledCall]) {
        let Some(BudgetsRow::Lease(lease)) = self.rows.row(&lease_key(self.tenant, id)).take() else { return };
        let StoredLease { scopes, windows, .. } = &*lease;
        self.hold(windows, lease.held(), Amounts::ZERO);
        self.post(windows, used.saturating_sub(lease.used), late.saturating_sub(lease.late));
        for UnsettledCall { call, worst } in unsettled {
            self.refer(windows);
            self.unsettle(windows, *worst, Amounts::ZERO);
            let kept = StoredCall { scopes: scopes.clone(), windows: windows.clone(), worst: *worst };
            *self.rows.row(&call_key(self.tenant, call)) = Some(BudgetsRow::Unsettled(Box::new(kept)));
        }
        self.release(windows);
    }

    /// A worst case is replaced by what is now known.
    pub(super) fn correct(&mut self, id: &CallId, used: Amounts, late: Amounts, left: Amounts) {
        let row = self.rows.row(&call_key(self.tenant, id));
        let Some(BudgetsRow::Unsettled(call)) = row else { return };
        let (windows, worst) = (call.windows.clone(), call.worst);
        if left.is_zero() {
            *row = None;
        } else {
            call.worst = left;
        }
        self.unsettle(&windows, left, worst);
        self.post(&windows, used, late);
        if left.is_zero() {
            self.release(&windows);
        }
    }

    pub(super) fn warn(&mut self, window: &WindowBounds, percent: u8) {
        self.each(std::slice::from_ref(window), |row, _| _ = row.warned.insert(percent));
    }

    /// Open leases or unsettled calls, with their scopes.
    fn open(&mut self, prefix: &Key) -> Vec<(Key, ScopeSet)> {
        let mut open = Vec::new();
        for key in self.rows.keys(prefix) {
            let scopes = self.rows.peek(&key).and_then(|row| match &*row {
                BudgetsRow::Lease(lease) => Some(lease.scopes.clone()),
                BudgetsRow::Unsettled(call) => Some(call.scopes.clone()),
                BudgetsRow::Budget(_) => None,
            });
            open.extend(scopes.map(|scopes| (key, scopes)));
        }
        open
    }

    /// Changes a budget that still holds.
    fn budget(&mut self, id: &BudgetId, change: impl FnOnce(&mut StoredBudget)) {
        let key = budget_key(self.tenant, id);
        // Looked at first: a removed budget's row is not written again.
        if self.rows.peek(&key).is_some()
            && let Some(BudgetsRow::Budget(budget)) = self.rows.row(&key)
        {
            change(budget);
        }
    }

    /// Something begins to count in these windows. Opens them, and forgets those that are over and in which nothing counts.
    fn refer(&mut self, windows: &[WindowBounds]) {
        for window in windows {
            self.budget(&window.budget, |budget| budget.refer(window));
        }
    }

    /// Something no longer counts in these windows.
    fn release(&mut self, windows: &[WindowBounds]) {
        self.each(windows, |row, _| row.references = row.references.saturating_sub(1));
    }

    /// Moves what leases hold from `before` to `after`.
    fn hold(&mut self, windows: &[WindowBounds], before: Amounts, after: Amounts) {
        self.each(windows, |row, unit| {
            row.leased = (row.leased + u128::from(after.get(unit))).saturating_sub(u128::from(before.get(unit)));
        });
    }

    /// Posts what was used and what went beyond.
    fn post(&mut self, windows: &[WindowBounds], used: Amounts, late: Amounts) {
        self.each(windows, |row, unit| {
            row.posted += u128::from(used.get(unit));
            row.late += u128::from(late.get(unit));
        });
    }

    /// Adds a worst case to what is unsettled, or takes one out.
    fn unsettle(&mut self, windows: &[WindowBounds], add: Amounts, remove: Amounts) {
        self.each(windows, |row, unit| {
            row.unsettled = (row.unsettled + u128::from(add.get(unit))).saturating_sub(u128::from(remove.get(unit)));
        });
    }

    fn each(&mut self, windows: &[WindowBounds], change: impl Fn(&mut StoredWindow, Unit)) {
        for window in windows {
            self.budget(&window.budget, |budget| {
                let unit = budget.key.unit;
                if let Some(row) = budget.windows.iter_mut().find(|row| row.from == window.from) {
                    change(row, unit);
                }
            });
        }
    }
}

impl StoredBudget {
    fn refer(&mut self, window: &WindowBounds) {
        let is_over = |row: &StoredWindow| row.to.is_some_and(|to| to <= window.from);
        self.windows.retain(|row| row.from >= window.from || row.references > 0 || !is_over(row));
        let place = self.windows.partition_point(|row| row.from < window.from);
        if self.windows.get(place).is_none_or(|row| row.from != window.from) {
            self.windows.insert(place, StoredWindow::opened(window));
        }
        let row = &mut self.windows[place];
        row.to = window.to;
        row.references += 1;
    }
}

impl StoredWindow {
    fn opened(window: &WindowBounds) -> Self {
        Self {
            from: window.from,
            to: window.to,
            posted: 0,
            leased: 0,
            unsettled: 0,
            late: 0,
            warned: std::collections::BTreeSet::new(),
            references: 0,
        }
    }
}

fn touches(key: &BudgetKey, scopes: &ScopeSet) -> bool {
    scopes.touches(&key.scope, key.subject.as_ref())
}
