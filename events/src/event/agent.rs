//! Agent definitions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ModelId};
use crate::quantity::{SchemaVersion, Tokens};

/// Events of one agent's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The agent exists and is this, or is this from now on.
    Defined {
        /// Name of the agent.
        agent: AgentId,
        /// 1 for the first definition, one more for each change.
        revision: u32,
        /// What it is.
        spec: AgentSpec,
    },
}

impl AgentEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// Model that the agent calls.
    pub model: ModelId,
    /// Instructions for all its tasks.
    pub instructions: String,
    /// Pattern by which the agent works.
    #[serde(default)]
    pub pattern: PatternKind,
    /// Most output tokens of one step.
    #[serde(default = "default_output_max")]
    pub output_max: Tokens,
    /// Most steps of one task.
    #[serde(default = "default_steps_max")]
    pub steps_max: u32,
}

const fn default_output_max() -> Tokens {
    Tokens(256)
}

const fn default_steps_max() -> u32 {
    8
}

/// How an agent works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// One agent: a plan, then an answer.
    #[default]
    Single,
}
