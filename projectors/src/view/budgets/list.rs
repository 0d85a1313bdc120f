//! A tenant's budgets with their present windows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use steward_events::event::BudgetLevel;
use steward_events::quantity::{Limit, Unit};
use steward_events::timestamp::Timestamp;
use steward_events::window;
use steward_queries::{BudgetPage, BudgetRow, ListBudgets, WindowRow};

use super::{Budgets, BudgetsRow, StoredBudget, StoredWindow, budgets};
use crate::engine::Engine;
use crate::engine::page::{ROWS_READ_MAX, after, part};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The read model.
pub struct BudgetsView {
    rows: Arc<Runner<Budgets>>,
    engine: Arc<Engine>,
}

impl BudgetsView {
    /// Over the engine's log and store.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { rows: engine.runner(), engine: Arc::clone(engine) }
    }

    async fn list(&self, query: &Query<'_>) -> Result<BudgetPage, NoAnswer> {
        let asked: ListBudgets = query.read()?;
        let (paging, prefix) = (asked.paging(), budgets(query.tenant()));
        let after = after(&prefix, &paging)?;
        let now = self.engine.ports.clock.now();
        let timezone = self.engine.authority.read().timezone(query.tenant()).to_owned();
        let sight = query.sight.clone();
        let wanted = move |row| match row {
            BudgetsRow::Budget(budget) => {
                let seen = sight.covers(&budget.key.scope);
                let wanted = seen
                    && asked.scope.as_ref().is_none_or(|scope| scope.contains(&budget.key.scope))
                    && asked.unit.is_none_or(|unit| unit == budget.key.unit)
                    && asked.level.is_none_or(|level| level == BudgetLevel::of(&budget.key.level));
                Ok(wanted.then(|| budget_row(*budget, now, &timezone)))
            }
            _ => Ok(None),
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }
}

#[async_trait]
impl ReadModel for BudgetsView {
    fn nouns(&self) -> &'static [&'static str] {
        &["budget"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => query.write(&self.list(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

fn budget_row(stored: StoredBudget, now: Timestamp, timezone: &str) -> BudgetRow {
    let window = window_row(&stored, now, timezone);
    let StoredBudget { budget, key, spec, .. } = stored;
    BudgetRow {
        budget,
        limit: Limit { unit: key.unit, amount: spec.limit },
        scope: key.scope,
        subject: key.subject,
        level: BudgetLevel::of(&key.level),
        set_at: key.level,
        per: key.window,
        hard: spec.hard,
        warn: spec.warn_percent,
        window,
    }
}

/// The window of `now`: the recorded one while that lasts; after its turn the next of the calendar, of which nothing was
/// recorded yet.
fn window_row(budget: &StoredBudget, now: Timestamp, timezone: &str) -> WindowRow {
    let recorded = (budget.window.from, budget.window.to);
    let (from, to) = window::after(budget.key.window, recorded, now, timezone);
    let row = budget.windows.iter().find(|row| row.from == from);
    let (spent, held) = row.map_or((0, 0), |row| (row.posted + row.late, row.leased + row.unsettled));
    let warned = row.map(StoredWindow::warned).unwrap_or_default();
    let unit = budget.key.unit;
    let free = u128::from(budget.spec.limit).saturating_sub(spent + held);
    WindowRow { from, to, spent: limit(unit, spent), held: limit(unit, held), free: limit(unit, free), warned }
}

impl StoredWindow {
    fn warned(&self) -> Vec<u8> {
        self.warned.iter().copied().collect()
    }
}

fn limit(unit: Unit, amount: u128) -> Limit {
    Limit { unit, amount: u64::try_from(amount).unwrap_or(u64::MAX) }
}
