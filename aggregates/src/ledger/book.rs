//! The books: what each window of each budget has spent and holds out.
//!
//! Sums are 128 bits wide: no number of 64-bit amounts that fits in a log can wrap them.

use std::collections::{BTreeMap, BTreeSet};

use steward_events::event::WindowBounds;
use steward_events::id::BudgetId;
use steward_events::quantity::{Amounts, Unit};
use steward_events::timestamp::Timestamp;

/// One window of one budget, in the budget's unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// When the window ends; none for a total.
    pub to: Option<Timestamp>,
    /// What finished calls used. Never shrinks.
    pub posted: u128,
    /// What open leases may still use.
    pub leased: u128,
    /// The worst cases of calls whose cost is not known.
    pub unsettled: u128,
    /// What was billed beyond what could be held out.
    pub late: u128,
    /// The thresholds crossed so far, in percent.
    pub warned: BTreeSet<u8>,
    /// How many open leases and unsettled calls count here: a row is forgotten only when nobody refers to it.
    pub(super) references: u64,
}

impl LedgerRow {
    /// All that counts against the limit.
    pub const fn exposure(&self) -> u128 {
        self.posted + self.leased + self.unsettled + self.late
    }

    /// What is known to be spent.
    pub const fn spent(&self) -> u128 {
        self.posted + self.late
    }

    fn is_over(&self, at: Timestamp) -> bool {
        self.to.is_some_and(|to| to <= at)
    }
}

/// All rows, by budget and by the first moment of the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    rows: BTreeMap<BudgetId, Rows>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rows {
    unit: Unit,
    windows: BTreeMap<Timestamp, LedgerRow>,
}

impl Book {
    pub(super) fn open_budget(&mut self, budget: &BudgetId, unit: Unit) {
        self.rows.entry(budget.clone()).or_insert_with(|| Rows { unit, windows: BTreeMap::new() });
    }

    pub(super) fn remove_budget(&mut self, budget: &BudgetId) {
        self.rows.remove(budget);
    }

    pub(super) fn row(&self, window: &WindowBounds) -> Option<&LedgerRow> {
        self.rows.get(&window.budget)?.windows.get(&window.from)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&BudgetId, Timestamp, &LedgerRow)> {
        self.rows.iter().flat_map(|(id, rows)| rows.windows.iter().map(move |(from, row)| (id, *from, row)))
    }

    /// Something begins to count in these windows. Opens rows, and forgets those that are over and referred to by none.
    pub(super) fn refer(&mut self, windows: &[WindowBounds]) {
        for window in windows {
            let Some(rows) = self.rows.get_mut(&window.budget) else { continue };
            rows.windows.retain(|from, row| *from >= window.from || row.references > 0 || !row.is_over(window.from));
            let row = rows.windows.entry(window.from).or_default();
            row.to = window.to;
            row.references += 1;
        }
    }

    /// Something no longer counts in these windows.
    pub(super) fn release(&mut self, windows: &[WindowBounds]) {
        self.each(windows, |row, _| row.references = row.references.saturating_sub(1));
    }

    /// Changes the rows of these windows; those of removed budgets are gone.
    pub(super) fn each(&mut self, windows: &[WindowBounds], change: impl Fn(&mut LedgerRow, Unit)) {
        for window in windows {
            if let Some(rows) = self.rows.get_mut(&window.budget)
                && let Some(row) = rows.windows.get_mut(&window.from)
            {
                change(row, rows.unit);
            }
        }
    }

    /// Moves `held` between what leases hold: from `before` to `after`, component-wise.
    pub(super) fn hold(&mut self, windows: &[WindowBounds], before: Amounts, after: Amounts) {
        self.each(windows, |row, unit| {
            row.leased = (row.leased + u128::from(after.get(unit))).saturating_sub(u128::from(before.get(unit)));
        });
    }

    /// Posts what was used and what went beyond.
    pub(super) fn post(&mut self, windows: &[WindowBounds], used: Amounts, late: Amounts) {
        self.each(windows, |row, unit| {
            row.posted += u128::from(used.get(unit));
            row.late += u128::from(late.get(unit));
        });
    }

    /// Adds a worst case to what is unsettled, or takes it out.
    pub(super) fn unsettle(&mut self, windows: &[WindowBounds], add: Amounts, remove: Amounts) {
        self.each(windows, |row, unit| {
            row.unsettled = (row.unsettled + u128::from(add.get(unit))).saturating_sub(u128::from(remove.get(unit)));
        });
    }
}
