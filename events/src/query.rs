//! Questions to the read models: one table, as for commands. `qry.<tenant>.<principal>.<view>.<verb>`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::event::{AggregateKind, TokenUsage};
use crate::id::{AgentId, PrincipalId, TaskId};
use crate::permission::Permission;
use crate::quantity::{NanoDollars, Position, Version};
use crate::scope::Scope;
use crate::timestamp::Timestamp;

mod transparency;

pub use transparency::{
    CheckedCheckpoint, Checkpoints, CheckpointsQuestion, Commits, CommitsQuestion, ConsistencyProof,
    ConsistencyQuestion, Due, DueQuestion, InclusionProof, InclusionQuestion, SignedCheckpoint, StoredCommit,
    TileHashes, TileQuestion, TreeQuestion, TreeState,
};

/// One row of the table.
#[derive(Clone, Copy)]
pub struct QuerySpec {
    /// The read model.
    pub view: &'static str,
    /// The question.
    pub verb: &'static str,
    /// One line for `--help` and the docs.
    pub help: &'static str,
    /// The JSON schema of the question.
    pub question: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the answer.
    pub answer: fn(&mut SchemaGenerator) -> Schema,
}

impl QuerySpec {
    /// `view:verb`: who asks needs this at the tenant.
    pub fn permission(&self) -> Permission {
        // The table's words are tokens; a test says so.
        #[allow(clippy::expect_used)]
        Permission::new(self.view, self.verb).expect("the table holds tokens")
    }
}

macro_rules! query_table {
    ($($view:literal $verb:literal => $question:ident, $answer:ident, $help:literal;)+) => {
        /// The table.
        pub const QUERIES: &[QuerySpec] = &[$(QuerySpec {
            view: $view,
            verb: $verb,
            help: $help,
            question: <$question as JsonSchema>::json_schema,
            answer: <$answer as JsonSchema>::json_schema,
        },)+];
    };
}

query_table! {
    "cost" "report" => CostQuestion, CostReport, "What was spent, by tenant, project, principal, key, model, task or day";
    "history" "replay" => ReplayQuestion, Replay, "The facts of a tenant, in order: who, what, when and why";
    "access" "explain" => ExplainQuestion, Explanation, "Whether someone may do something, why, and what would allow it";
    "access" "who-can" => WhoCanQuestion, WhoCan, "Who may do something at a scope, now or at a moment in the past";
    "task" "list" => TaskListQuestion, TaskList, "A tenant's tasks, newest first";
    "task" "show" => TaskQuestion, TaskView, "One task with its steps";
    "audit" "verify" => VerifyQuestion, Verification, "Whether every hash chain of a tenant is whole";
    "audit" "checkpoints" => CheckpointsQuestion, Checkpoints, "The signed checkpoints of a tenant's history";
    "audit" "tree" => TreeQuestion, TreeState, "A tenant's tree of commits as it is now, and that it goes on from an earlier size";
    "audit" "tile" => TileQuestion, TileHashes, "One tile of a tenant's tree";
    "audit" "inclusion" => InclusionQuestion, InclusionProof, "The proof that a commit is in a tenant's tree";
    "audit" "consistency" => ConsistencyQuestion, ConsistencyProof, "The proof that a tenant's tree only grew";
    "audit" "commits" => CommitsQuestion, Commits, "A tenant's commits as stored, to export them";
    "audit" "due" => DueQuestion, Due, "Tenants whose tree has grown since it was signed; asked of the tenant steward";
    "metrics" "read" => MetricsQuestion, Metrics, "The projected metrics of a tenant";
}

/// The row of `view.verb`, if there is one.
pub fn find(view: &str, verb: &str) -> Option<&'static QuerySpec> {
    QUERIES.iter().find(|spec| spec.view == view && spec.verb == verb)
}

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
pub struct CostQuestion {
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

/// Asks for history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayQuestion {
    /// Facts recorded from this moment on.
    pub from: Option<Timestamp>,
    /// Facts recorded before this moment.
    pub to: Option<Timestamp>,
    /// Only of these aggregates.
    pub kinds: Vec<String>,
    /// After this position: to page on.
    pub after: Position,
    /// Only the last so many.
    pub last: Option<u32>,
    /// At most so many in one answer (1000 at most).
    pub count_max: Option<u32>,
}

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// The facts, in order.
    pub facts: Vec<Fact>,
    /// Ask again with `after` set to this; none at the end.
    pub next: Option<Position>,
}

/// One fact as people and machines read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// Its commit's place in the shard.
    pub position: Position,
    /// Its stream: `<aggregate>/<id>`.
    pub stream: String,
    /// Its commit's number in the stream.
    pub version: Version,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: PrincipalId,
    /// For whom, if not for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PrincipalId>,
    /// What, e.g. `ledger.budget_set`.
    pub name: String,
    /// The details.
    pub data: serde_json::Value,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// The command that was decided.
    pub command: String,
    /// The chain it belongs to.
    pub correlation: String,
    /// BLAKE3 of its commit.
    pub hash: String,
}

/// Asks whether someone may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuestion {
    /// Who.
    pub principal: PrincipalId,
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Whether, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Whether.
    pub allowed: bool,
    /// The grant and the path of roles that allow it, or which check fails.
    pub reason: String,
    /// What would allow it, as a command; none if it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_allow: Option<String>,
}

/// Asks who may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoCanQuestion {
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// When; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Who may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCan {
    /// The principals, each with its reason.
    pub principals: Vec<MayDo>,
}

/// Someone who may, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MayDo {
    /// Who.
    pub principal: PrincipalId,
    /// A service account's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The grant and the path of roles.
    pub reason: String,
}

/// Asks for tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskListQuestion {
    /// At most so many (100 if left out, 1000 at most).
    pub count_max: Option<u32>,
    /// Answer only from a state that includes this position.
    pub min_position: Option<Position>,
}

/// Tasks, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// The list includes the tenant's shard up to here.
    pub position: Position,
    /// The tasks.
    pub tasks: Vec<TaskView>,
}

/// Asks for one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskQuestion {
    /// Which.
    pub task: TaskId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// A task's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Nobody drives it yet.
    #[default]
    Waiting,
    /// A worker drives it.
    Running,
    /// Done.
    Finished,
    /// It could not be done.
    Failed,
    /// Nobody wanted it any more.
    Cancelled,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// Which.
    pub task: TaskId,
    /// Its agent.
    pub agent: AgentId,
    /// Where its cost is booked.
    pub scope: Scope,
    /// Its state.
    pub state: TaskState,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Who submitted it.
    pub submitted_by: PrincipalId,
    /// The claim that counts, from 1; 0 before the first.
    pub epoch: u32,
    /// The worker of that claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// What its steps cost.
    pub cost: NanoDollars,
    /// Its answer, for those who may read it; when it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One step of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// Its number.
    pub step: u32,
    /// What kind.
    pub kind: String,
    /// True once its result counts.
    pub finished: bool,
    /// Its tokens.
    #[schemars(skip)]
    #[serde(default)]
    pub tokens: TokenUsage,
    /// Its cost.
    pub cost: NanoDollars,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// Asks for a check of all chains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyQuestion {}

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// Commits read.
    pub commits: u64,
    /// Streams, each one hash chain.
    pub chains: u64,
    /// What is wrong; empty if every chain is whole.
    pub broken: Vec<BrokenChain>,
    /// The newest signed checkpoint whose tree is that of these commits; none if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckedCheckpoint>,
}

/// One break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenChain {
    /// The stream.
    pub stream: String,
    /// Where in the shard.
    pub position: Position,
    /// What is wrong.
    pub reason: String,
}

/// Asks for projected metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsQuestion {}

/// Projected metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// In the text format of Prometheus.
    pub text: String,
}

/// Which aggregates a replay reads: all if none is named.
///
/// # Errors
/// The first word that names no aggregate.
pub fn kinds(words: &[String]) -> Result<Vec<AggregateKind>, crate::event::UnknownKind> {
    words.iter().map(|word| word.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_token_pair_and_stands_once() {
        for (at, spec) in QUERIES.iter().enumerate() {
            assert!(Permission::new(spec.view, spec.verb).is_ok());
            assert!(!QUERIES[..at].iter().any(|s| (s.view, s.verb) == (spec.view, spec.verb)));
        }
    }
}
