//! What is decided about budgets, what their events change, and which thresholds a cost crosses.

use steward_events::command::{RemoveBudget, SetBudget};
use steward_events::event::{BudgetKey, BudgetSpec, LedgerEvent, WindowBounds};
use steward_events::id::{BudgetId, LeaseId};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::quantity::Amounts;
use steward_events::rejection::Rejection;
use steward_events::window;

use super::book::LedgerRow;
use super::lease::Lease;
use super::{Budget, Ledger, WARN_MAX, mutations};
use crate::aggregate::Stamp;

impl Ledger {
    pub(super) fn set_budget(&self, command: &SetBudget, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        if !command.scope.is_within(&stamp.tenant) {
            let reason = format!("a budget of tenant {} needs a scope at {0} or below, e.g. {0}/project", stamp.tenant);
            return Err(Rejection::invalid("scope", reason));
        }
        let warn_percent = thresholds(&command.warn)?;
        let spec = BudgetSpec { limit: command.limit.amount, hard: command.hard, warn_percent };
        let SetBudget { scope, subject, level, .. } = command;
        let key = self.addressed((scope, subject.as_ref(), command.limit.unit, command.per), *level, stamp)?;
        if let Some((id, budget)) = self.budgets.iter().find(|(_, budget)| budget.key == key) {
            if budget.spec == spec {
                return Ok(Vec::new());
            }
            return Ok(self.change_budget(id, budget, spec, stamp));
        }
        self.check_room(&key)?;
        let budget = budget_id(stamp)?;
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
        let is_over = budget.spec.hard && held + unsettled > u128::from(budget.spec.limit);
        if !mutations::asks_holders(is_over) {
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
            if mutations::asks_holders(spec.hard && row.exposure() > u128::from(spec.limit)) {
                let asked = self.leases.iter().filter(|(_, lease)| {
                    lease.recalled.is_none() && lease.held().get(budget.key.unit) > 0 && lease.counts_in(&window)
                });
                events.extend(asked.map(|(lease, _)| LedgerEvent::LeaseRecalled { lease: lease.clone() }));
            }
            events.extend(crossings(&spec, row, row.spent(), &window));
        }
        let key = budget.key.clone();
        events.insert(0, LedgerEvent::BudgetSet { budget: id.clone(), key, spec, window });
        events
    }

    pub(super) fn remove_budget(&self, command: &RemoveBudget, stamp: &Stamp) -> Result<Vec<LedgerEvent>, Rejection> {
        let RemoveBudget { scope, subject, unit, per, level } = command;
        let key = self.addressed((scope, subject.as_ref(), *unit, *per), *level, stamp)?;
        match self.budgets.iter().find(|(_, budget)| budget.key == key) {
            Some((budget, _)) => Ok(vec![LedgerEvent::BudgetRemoved { budget: budget.clone() }]),
            None => Err(self.not_at_this_level(&key, stamp)),
        }
    }

    pub(super) fn apply_budget_set(
        &mut self,
        id: &BudgetId,
        key: &BudgetKey,
        spec: &BudgetSpec,
        window: &WindowBounds,
    ) {
        if let Some(budget) = self.budgets.get_mut(id) {
            budget.spec.clone_from(spec);
            budget.window.clone_from(window);
            return;
        }
        let budget = Budget { key: key.clone(), spec: spec.clone(), window: window.clone() };
        self.book.open_budget(id, key.unit);
        let own = std::slice::from_ref(window);
        if mutations::new_budget_counts_leases() {
            for lease in self.leases.values_mut().filter(|lease| budget.touches(&lease.scopes)) {
                self.book.refer(own);
                self.book.hold(own, Amounts::ZERO, lease.held());
                lease.windows.push(window.clone());
            }
        }
        if mutations::new_budget_counts_unsettled() {
            for call in self.unsettled.values_mut().filter(|call| budget.touches(&call.scopes)) {
                self.book.refer(own);
                self.book.unsettle(own, call.worst, Amounts::ZERO);
                call.windows.push(window.clone());
            }
        }
        self.budgets.insert(id.clone(), budget);
    }

    pub(super) fn apply_budget_removed(&mut self, id: &BudgetId) {
        self.budgets.remove(id);
        self.book.remove_budget(id);
        let stays = |window: &WindowBounds| window.budget != *id;
        self.leases.values_mut().for_each(|lease| lease.windows.retain(stays));
        self.unsettled.values_mut().for_each(|call| call.windows.retain(stays));
    }

    /// Where `late` usage leaves a hard budget with less than nothing, what is lent is asked back from all but `own`.
    pub(super) fn overdrawn(&self, own: Option<&LeaseId>, windows: &[WindowBounds], late: Amounts) -> Vec<LedgerEvent> {
        let is_over = |window: &&WindowBounds| {
            let Some(budget) = self.budgets.get(&window.budget).filter(|budget| budget.spec.hard) else { return false };
            let more = u128::from(late.get(budget.key.unit));
            let out = self.book.row(window).map_or(0, LedgerRow::exposure);
            more > 0 && out + more > u128::from(budget.spec.limit)
        };
        let over: Vec<&WindowBounds> = windows.iter().filter(is_over).collect();
        if !mutations::asks_holders(!over.is_empty()) {
            return Vec::new();
        }
        let holds = |lease: &Lease| {
            over.iter().any(|window| {
                let unit = self.budgets.get(&window.budget).map(|budget| budget.key.unit);
                unit.is_some_and(|unit| lease.held().get(unit) > 0) && lease.counts_in(window)
            })
        };
        let asked =
            self.leases.iter().filter(|(id, lease)| own != Some(id) && lease.recalled.is_none() && holds(lease));
        asked.map(|(id, _)| LedgerEvent::LeaseRecalled { lease: id.clone() }).collect()
    }

    /// The thresholds that `spent` on top crosses in these windows, for the first time in each.
    pub(super) fn crossed(&self, windows: &[WindowBounds], spent: Amounts) -> Vec<LedgerEvent> {
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

/// A name that no other budget ever had: ids of commands are chosen by their senders, and only each sender's own differ.
pub(super) fn budget_id(stamp: &Stamp) -> Result<BudgetId, Rejection> {
    let Stamp { tenant, actor, command, at, .. } = stamp;
    let id = DerivedIds::from_seed(format!("budget\0{tenant}\0{actor}\0{command}\0{at}")).unique();
    BudgetId::new(id).map_err(|invalid| Rejection::invalid("command", invalid.to_string()))
}

/// Percentages at which to warn, each once and in order.
fn thresholds(warn: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut warn_percent = warn.to_vec();
    warn_percent.sort_unstable();
    warn_percent.dedup();
    if warn_percent.len() > WARN_MAX || warn_percent.iter().any(|percent| !(1..=100).contains(percent)) {
        return Err(Rejection::invalid("warn", format!("must be at most {WARN_MAX} percentages from 1 to 100")));
    }
    Ok(warn_percent)
}

fn crossings<'a>(
    spec: &'a BudgetSpec,
    row: &'a LedgerRow,
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
