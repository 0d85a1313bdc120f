//! Budgets, and what is left of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::BudgetLevel;
use steward_events::id::BudgetId;
use steward_events::quantity::{Limit, Position, Unit, Window};
use steward_events::scope::{Scope, Subject};
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists budgets.
    ListBudgets {
        /// Only those at this scope or below.
        scope: Scope,
        /// Only those that count this unit: `calls`, `tokens` or `money`.
        unit: Unit,
        /// Only those of this level: `platform`, `tenant` or `project`.
        level: BudgetLevel,
    }
}

/// Budgets.
pub type BudgetPage = Page<BudgetRow>;

/// One budget and its present window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetRow {
    /// Which life of it.
    pub budget: BudgetId,
    /// Scope: calls at this scope and below count.
    pub scope: Scope,
    /// Only calls of this subject count.
    pub subject: Option<Subject>,
    /// Who set it, changes it and removes it: operators, or principals with the right on the tenant or the project.
    pub level: BudgetLevel,
    /// Where that right is held: `*`, the tenant, or the project.
    pub set_at: Scope,
    /// Window over which the budget counts.
    pub per: Window,
    /// How much.
    pub limit: Limit,
    /// True: nothing over the limit is admitted. False: spending beyond the thresholds is recorded, and nothing is refused.
    pub hard: bool,
    /// Percentages of the limit at which spending is recorded.
    pub warn: Vec<u8>,
    /// The present window.
    pub window: WindowRow,
}

/// What has come of a budget in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WindowRow {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it, when there is room again; none for a total.
    pub to: Option<Timestamp>,
    /// What finished calls used, as far as gateways have reported it.
    pub spent: Limit,
    /// What gateways may still use, and the worst cases of calls whose cost is not known.
    pub held: Limit,
    /// What is left of the limit after both.
    pub free: Limit,
    /// The thresholds crossed so far, in percent.
    pub warned: Vec<u8>,
}
