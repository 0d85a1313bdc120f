//! The ledger: one a tenant, over all its budgets, windows and leases.
//!
//! It guards one rule: an admission never brings what a hard budget has spent and holds out over its limit. It lends to
//! holders, takes their reports, and keeps order among those who wait. It knows amounts, scopes and windows; it must
//! not know models, prices or who asked.

use std::collections::BTreeMap;

use steward_events::command::LedgerCommand;
use steward_events::event::{BudgetKey, BudgetSpec, LedgerEvent, WindowBounds};
use steward_events::id::{BudgetId, CallId, HolderId, LeaseId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};

mod answer;
mod book;
mod budgets;
mod lease;
mod leases;
mod levels;
mod line;
mod mutations;
mod room;
#[cfg(test)]
mod tests;

pub use answer::{LeaseAnswer, LeaseState, Outcome};
pub use book::LedgerRow;
pub use lease::{CALL_TIME_MAX, LEASE_TTL, Lease, RECALL_AGAIN, RECALL_MAX, Unsettled};
pub use line::{LINE_MAX, TICKET_TTL, Ticket};

use book::Book;
use leases::Renewal;
use line::Line;

/// The most budgets of one tenant that it sets itself.
pub const BUDGETS_MAX: usize = 4_096;

/// The most that operators set for it: a tenant that has used up its own number does not keep them from it.
pub const PLATFORM_BUDGETS_MAX: usize = 512;

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
    /// [`Rejection::BudgetExhausted`] if settled amounts leave no room; a call that was in line is refused by the
    /// answer instead, because its leaving the line is recorded. [`Rejection::Stale`] for a correction that comes
    /// before its lease's end: to be tried again.
    fn decide(&self, command: &LedgerCommand, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        match command {
            LedgerCommand::SetBudget(command) => self.set_budget(command, stamp),
            LedgerCommand::RemoveBudget(command) => self.remove_budget(command, stamp),
            LedgerCommand::GrantLease(command) => self.grant(command, stamp),
            LedgerCommand::RenewLease(command) => self.renew(command, stamp),
            LedgerCommand::WithdrawRequest(command) => Ok((self.line.ticket(&command.call).into_iter())
                .map(|ticket| LedgerEvent::RequestDequeued { call: ticket.call.clone() })
                .collect()),
            LedgerCommand::RecallLease(command) => Ok(self.recall(command)),
            LedgerCommand::EndLease(command) => Ok(self.end(command)),
            LedgerCommand::CorrectLease(command) => self.correct(command),
        }
    }

    fn apply(&mut self, event: &LedgerEvent, at: Timestamp) {
        self.at = self.at.max(at);
        match event {
            LedgerEvent::BudgetSet { budget, key, spec, window } => self.apply_budget_set(budget, key, spec, window),
            LedgerEvent::BudgetRemoved { budget } => self.apply_budget_removed(budget),
            LedgerEvent::LeaseGranted { lease, scopes, call, terms, windows } => {
                self.apply_granted(lease, scopes, call, *terms, windows, at);
            }
            &LedgerEvent::LeaseRenewed { ref lease, turn, used_total, late_total, terms, ref call, through: _ } => {
                self.apply_renewed(lease, &Renewal { turn, used_total, late_total, terms, call }, at);
            }
            LedgerEvent::LeaseEnded { lease, used_total, late_total, unsettled, closed_at: _ } => {
                self.apply_ended(lease, *used_total, *late_total, unsettled, at);
            }
            LedgerEvent::LeaseCorrected { call, used, late, left, lease: _ } => {
                self.apply_corrected(call, *used, *late, *left);
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
            LedgerCommand::GrantLease(command) => self.answer_grant(command),
            LedgerCommand::RenewLease(command) => self.answer_renew(command),
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
    pub fn rows(&self) -> impl Iterator<Item = (&BudgetId, Timestamp, &LedgerRow)> {
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

    /// When the last event was recorded.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// True if this lease was granted once, or is older than one that was: it is not opened any more.
    pub fn has_seen(&self, lease: &LeaseId) -> bool {
        self.highest.get(&lease.holder).is_some_and(|highest| lease.number <= *highest)
    }
}
