//! Tasks and their steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use steward_events::event::TokenUsage;
use steward_events::id::{AgentId, PrincipalId, TaskId};
use steward_events::quantity::{NanoDollars, Position};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

/// Asks for tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskListQuery {
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
pub struct TaskQuery {
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
    /// What it was asked, for those who may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
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
