//! What was spent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::{NanoDollars, Position};
use crate::timestamp::Timestamp;

/// By what a report is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostBy {
    /// By project: the first scope below the tenant.
    Project,
    /// By who called.
    Principal,
    /// By key.
    Key,
    /// By model.
    Model,
    /// By agent.
    Agent,
    /// By task.
    Task,
    /// By UTC day.
    Day,
}

/// Asks for a cost report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostQuery {
    /// Split by these, in this order; one row for all if empty.
    pub by: Vec<CostBy>,
    /// Calls finished from this UTC day on.
    pub since: Option<Timestamp>,
    /// Calls finished before this UTC day.
    pub until: Option<Timestamp>,
    /// Answer only from a state that includes this position.
    pub min_position: Option<Position>,
}

/// What was spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostReport {
    /// The report includes the tenant's shard up to here.
    pub position: Position,
    /// The rows, dearest first.
    pub rows: Vec<CostRow>,
    /// The sum of the rows.
    pub total: CostSums,
}

/// One row of a cost report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostRow {
    /// The value of each part asked for, e.g. `{"key": "key_…", "model": "small"}`; `-` where a call has none.
    pub by: BTreeMap<String, String>,
    /// The sums.
    #[serde(flatten)]
    pub sums: CostSums,
    /// The prices charged, e.g. `small@2026-11-01`.
    pub prices: Vec<String>,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostSums {
    /// Finished calls.
    pub calls: u64,
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Of these, cached.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// What was charged.
    pub cost: NanoDollars,
    /// Of the calls, those whose usage is an estimate.
    pub estimated: u64,
}
