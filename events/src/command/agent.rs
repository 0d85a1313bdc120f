//! Commands about agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{AgentSpec, QuotaKind};
use crate::id::{AgentId, StreamId};

commands! {
    AgentCommand of Agent {
        "agent" "define" => DefineAgent, Callers, "Define or change an agent";
    }
}

/// Says what an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineAgent {
    /// Name of the agent.
    pub agent: AgentId,
    /// What it is.
    pub spec: AgentSpec,
}

impl Body for DefineAgent {
    fn takes_place_of(&self) -> Option<QuotaKind> {
        Some(QuotaKind::Agents)
    }
    fn stream(&self) -> StreamId {
        StreamId::new(self.agent.as_str()).unwrap_or_else(|_| StreamId::main())
    }
}
