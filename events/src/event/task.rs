//! One task's life.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::TokenUsage;
use crate::id::{AgentId, PrincipalId, TaskId};
use crate::quantity::{Epoch, NanoDollars, SchemaVersion, StepNumber};
use crate::scope::Scope;
use crate::sealed::Sealed;
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

/// Events of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum TaskEvent {
    /// Somebody wants this done.
    Submitted {
        /// The task.
        task: TaskId,
        /// By which agent.
        agent: AgentId,
        /// Where its cost is booked.
        scope: Scope,
        /// What is to be done. Always sealed: a task must survive its submitter.
        input: Sealed<TaskInput>,
        /// Most dollars that the task may cost.
        limit: Option<NanoDollars>,
        /// Who asked: the agent acts within their permissions.
        submitted_by: PrincipalId,
        /// The key by which they asked: the task ends with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        submitted_with: Option<KeyRef>,
    },
    /// A worker drives it until a moment. A higher epoch ends all earlier claims.
    Claimed {
        /// The claim.
        epoch: Epoch,
        /// The worker, by its run.
        worker: String,
        /// When the claim lapses unless it is extended.
        until: Timestamp,
    },
    /// The worker still drives it.
    ClaimExtended {
        /// The claim.
        epoch: Epoch,
        /// When it lapses now.
        until: Timestamp,
    },
    /// A step began.
    StepStarted {
        /// The claim.
        epoch: Epoch,
        /// The step.
        step: StepNumber,
        /// What kind of step.
        kind: StepKind,
    },
    /// A step's result counts; it is not done again.
    StepFinished {
        /// The claim.
        epoch: Epoch,
        /// The step.
        step: StepNumber,
        /// What kind of step.
        kind: StepKind,
        /// What came out.
        output: Sealed<TaskOutput>,
        /// The tokens it used.
        tokens: TokenUsage,
        /// What it cost.
        cost: NanoDollars,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// Done.
    Finished {
        /// The claim.
        epoch: Epoch,
        /// The answer.
        output: Sealed<TaskOutput>,
    },
    /// It cannot be done.
    Failed {
        /// The claim.
        epoch: Epoch,
        /// Why.
        reason: String,
        /// What the step cost at which it failed, if that was paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<SpentStep>,
    },
    /// Somebody does not want it any more.
    Cancelled {
        /// Why.
        reason: String,
    },
}

impl TaskEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(3);
}

/// What kind of step: a word. What else there is to say of a step of that kind (which tool, until when) stands in fields
/// of its own beside it, so that one more kind changes no recorded step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A model says how to go about it.
    Plan,
    /// A model answers.
    Answer,
    /// A tool is used.
    Tool,
    /// Another task is done for this one.
    Child,
    /// Somebody has to agree.
    Approval,
    /// Some time has to pass, or something has to happen.
    Wait,
}

impl std::fmt::Display for StepKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Plan => "plan",
            Self::Answer => "answer",
            Self::Tool => "tool",
            Self::Child => "child",
            Self::Approval => "approval",
            Self::Wait => "wait",
        })
    }
}

/// What a step cost that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpentStep {
    /// The step.
    pub step: StepNumber,
    /// The tokens it used.
    #[schemars(skip)]
    #[serde(default)]
    pub tokens: TokenUsage,
    /// What it cost.
    pub cost: NanoDollars,
}

/// What a task is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskInput {
    /// The prompt.
    pub prompt: String,
}

/// What a step or a task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskOutput {
    /// In words.
    pub text: String,
}
