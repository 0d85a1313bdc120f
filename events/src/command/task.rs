//! Commands about tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{Body, Reference};
use crate::event::{AggregateKind, QuotaKind, SpentStep, StepKind, TaskInput, TaskOutput, TokenUsage};
use crate::id::{AgentId, StreamId, TaskId, TenantId};
use crate::ids::Ids;
use crate::quantity::{Epoch, NanoDollars, StepNumber};
use crate::scope::Scope;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::timestamp::Timestamp;

commands! {
    TaskCommand of Task {
        "task" "submit" => SubmitTask, Callers, "Give an agent a task";
        "task" "cancel" => CancelTask, Callers, "Cancel a task and stop its calls";
        "task" "claim" => ClaimTask, System, "Claim a task";
        "task" "extend" => ExtendClaim, System, "Extend the claim on a task";
        "task" "start-step" => StartStep, System, "Record that a step begins";
        "task" "finish-step" => FinishStep, System, "Record a step's result";
        "task" "finish" => FinishTask, System, "Record that a task is done";
        "task" "fail" => FailTask, System, "Record that a task cannot be done";
    }
}

fn stream_of(task: &TaskId) -> StreamId {
    StreamId::new(task.as_str()).unwrap_or_else(|_| StreamId::main())
}

/// Gives an agent a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// Id of the task; made if left out. The same id submits only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Agent that does the task.
    pub agent: AgentId,
    /// Input of the task; sealed before it is recorded.
    pub input: Content<TaskInput>,
    /// Scope on which the cost is booked; the whole tenant if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Most dollars that the task may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<NanoDollars>,
}

impl Body for SubmitTask {
    fn begins_in_project(&self) -> bool {
        true
    }
    fn takes_place_of(&self) -> Option<QuotaKind> {
        Some(QuotaKind::Tasks)
    }
    fn stream(&self) -> StreamId {
        self.task.as_ref().map_or_else(StreamId::main, stream_of)
    }
    fn scope(&self, tenant: &TenantId) -> Scope {
        self.scope.clone().unwrap_or_else(|| Scope::tenant(tenant))
    }
    fn complete(&mut self, fresh: &dyn Ids) {
        if self.task.is_none() {
            self.task = TaskId::new(format!("t_{}", fresh.unique())).ok();
        }
    }
    fn references(&self) -> Vec<Reference> {
        let agent = StreamId::new(self.agent.as_str()).ok();
        agent.map(|id| Reference { kind: AggregateKind::Agent, id }).into_iter().collect()
    }
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        vec![(&mut self.input, KeyOwner::Tenant(tenant.clone()))]
    }
}

/// A body that its task's stream decides, with the field of it that is sealed, if there is one.
macro_rules! on_task {
    ($($body:ident $($content:ident)?),*) => {$(
        impl Body for $body {
            fn stream(&self) -> StreamId {
                stream_of(&self.task)
            }
            $(fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
                vec![(&mut self.$content, KeyOwner::Tenant(tenant.clone()))]
            })?
        }
    )*};
}

on_task!(ClaimTask, ExtendClaim, StartStep, FinishStep output, FinishTask output, FailTask);

/// Cancels a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelTask {
    /// Id of the task.
    pub task: TaskId,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}

impl Body for CancelTask {
    fn stream(&self) -> StreamId {
        stream_of(&self.task)
    }
    fn concerns(&self) -> Option<Reference> {
        Some(Reference { kind: AggregateKind::Task, id: self.stream() })
    }
}

/// Claims a task that nobody drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimTask {
    /// Which.
    pub task: TaskId,
    /// The worker, by its run.
    pub worker: String,
    /// When the claim lapses unless it is extended.
    pub until: Timestamp,
}

/// Extends a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendClaim {
    /// Which task.
    pub task: TaskId,
    /// Which claim.
    pub epoch: Epoch,
    /// When it lapses now.
    pub until: Timestamp,
}

/// A step begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartStep {
    /// Which task.
    pub task: TaskId,
    /// Which claim.
    pub epoch: Epoch,
    /// Which step.
    pub step: StepNumber,
    /// What kind of step.
    pub kind: StepKind,
}

/// A step's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishStep {
    /// Which task.
    pub task: TaskId,
    /// Which claim.
    pub epoch: Epoch,
    /// Which step.
    pub step: StepNumber,
    /// What kind of step.
    pub kind: StepKind,
    /// What came out; sealed before it is recorded.
    pub output: Content<TaskOutput>,
    /// The tokens it used.
    #[schemars(skip)]
    #[serde(default)]
    pub tokens: TokenUsage,
    /// What it cost.
    pub cost: NanoDollars,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A task is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishTask {
    /// Which task.
    pub task: TaskId,
    /// Which claim.
    pub epoch: Epoch,
    /// The answer; sealed before it is recorded.
    pub output: Content<TaskOutput>,
}

/// A task cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailTask {
    /// Which task.
    pub task: TaskId,
    /// Which claim.
    pub epoch: Epoch,
    /// Why.
    pub reason: String,
    /// What the step cost at which it failed, if that was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<SpentStep>,
}
