//! Budgets, and what each window of them has spent and holds: the ledger's books as rows.
//!
//! One row a budget, a lease and an unsettled call, so that an event of the ledger changes few and small rows. The sums
//! are those of the ledger itself, which a test holds against it; nothing is decided here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{BudgetKey, BudgetSpec, LedgerEvent, WindowBounds};
use steward_events::id::{BudgetId, CallId, LeaseId, TenantId};
use steward_events::quantity::Amounts;
use steward_events::scope::ScopeSet;
use steward_events::timestamp::Timestamp;

use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::rows::Rows;

mod budget_rows;
mod list;

pub use list::BudgetsView;

/// The fold.
pub struct Budgets;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetsRow {
    /// A budget and its windows.
    Budget(Box<StoredBudget>),
    /// An open lease.
    Lease(Box<StoredLease>),
    /// A call whose cost is not known, of a lease that has ended.
    Unsettled(Box<StoredCall>),
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBudget {
    budget: BudgetId,
    key: BudgetKey,
    spec: BudgetSpec,
    /// The last recorded window.
    window: WindowBounds,
    /// The present window and earlier ones in which something still counts, the earliest first.
    windows: Vec<StoredWindow>,
}

/// One window of a budget, in the budget's unit. Sums are 128 bits wide, as in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWindow {
    from: Timestamp,
    to: Option<Timestamp>,
    posted: u128,
    leased: u128,
    unsettled: u128,
    late: u128,
    warned: BTreeSet<u8>,
    /// How many open leases and unsettled calls count here.
    references: u64,
}

/// An open lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLease {
    scopes: ScopeSet,
    windows: Vec<WindowBounds>,
    used: Amounts,
    late: Amounts,
    cap: Amounts,
}

/// An unsettled call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCall {
    scopes: ScopeSet,
    windows: Vec<WindowBounds>,
    worst: Amounts,
}

impl StoredLease {
    /// What it may still use.
    fn held(&self) -> Amounts {
        self.cap.saturating_sub(self.used)
    }
}

impl Projector for Budgets {
    const NAME: &'static str = "budgets-v1";
    type Row = BudgetsRow;

    reads!(Ledger => fold);
}

fn fold(event: &LedgerEvent, recorded: &Recorded<'_>, rows: &mut Rows<BudgetsRow>) {
    let mut budget_rows = budget_rows::BudgetRows { tenant: &recorded.stream.tenant, rows };
    match event {
        LedgerEvent::BudgetSet { budget, key, spec, window } => budget_rows.set(budget, key, spec, window),
        LedgerEvent::BudgetRemoved { budget } => budget_rows.remove(budget),
        LedgerEvent::LeaseGranted { lease, scopes, call: _, terms, windows } => {
            budget_rows.grant(lease, scopes, windows, terms.cap_total);
        }
        LedgerEvent::LeaseRenewed { lease, turn: _, through: _, used_total, late_total, terms, call: _ } => {
            budget_rows.renew(lease, *used_total, *late_total, terms.cap_total);
        }
        LedgerEvent::LeaseEnded { lease, closed_at: _, used_total, late_total, unsettled } => {
            budget_rows.end(lease, *used_total, *late_total, unsettled);
        }
        LedgerEvent::LeaseCorrected { lease: _, call, used, late, left } => {
            budget_rows.correct(call, *used, *late, *left);
        }
        LedgerEvent::ThresholdCrossed { budget: _, window, percent } => budget_rows.warn(window, *percent),
        LedgerEvent::RequestQueued { .. } | LedgerEvent::RequestDequeued { .. } | LedgerEvent::LeaseRecalled { .. } => {
        }
    }
}

fn budgets(tenant: &TenantId) -> Key {
    Key::of(tenant).text("budget")
}

fn budget_key(tenant: &TenantId, budget: &BudgetId) -> Key {
    budgets(tenant).text(budget.as_str())
}

fn leases(tenant: &TenantId) -> Key {
    Key::of(tenant).text("lease")
}

fn lease_key(tenant: &TenantId, lease: &LeaseId) -> Key {
    leases(tenant).text(lease.holder.as_str()).number(lease.number)
}

fn calls(tenant: &TenantId) -> Key {
    Key::of(tenant).text("call")
}

fn call_key(tenant: &TenantId, call: &CallId) -> Key {
    calls(tenant).text(call.as_str())
}
