//! How an agent works: from what is done so far, what is next. A pattern keeps nothing of its own, so any worker can go
//! on from any point of any task.

use serde::Serialize;
use steward_events::event::{AgentSpec, PatternKind, StepKind};

mod single;

/// A finished step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What kind of step.
    pub kind: StepKind,
    /// What came out.
    pub text: String,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is to be done.
    pub prompt: String,
    /// The finished steps, in order.
    pub done: Vec<Done>,
}

/// One message to a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Who says something to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The one with the task.
    User,
    /// The model itself, earlier.
    Assistant,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the agent's model.
    CallModel {
        /// What kind of step that is.
        kind: StepKind,
        /// What to ask.
        messages: Vec<Message>,
    },
    /// The task is done, and this is its answer.
    Finish(String),
}

/// A way to work.
pub trait Pattern: Send + Sync {
    /// What is next. Pure: the same progress gives the same step, on every worker.
    fn next(&self, agent: &AgentSpec, progress: &Progress) -> Next;
}

/// The pattern of that kind.
pub fn of(kind: PatternKind) -> &'static dyn Pattern {
    match kind {
        PatternKind::Single => &single::Single,
    }
}
