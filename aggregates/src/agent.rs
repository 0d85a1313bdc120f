//! Guards one agent's definition: each change is a revision of its own.

use serde_json::json;
use steward_events::command::AgentCommand;
use steward_events::event::{AgentEvent, AgentSpec};
use steward_events::id::AgentId;
use steward_events::quantity::Tokens;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// The longest standing instructions, in bytes.
pub const INSTRUCTIONS_BYTES_MAX: usize = 32_000;

/// The most steps that an agent's task may have.
pub const STEPS_MAX: u32 = 1_000;

/// One agent.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    defined: Option<(AgentId, AgentSpec)>,
    revision: u32,
}

impl Agent {
    /// What it is, once it is defined.
    pub fn spec(&self) -> Option<&AgentSpec> {
        self.defined.as_ref().map(|(_, spec)| spec)
    }

    /// Which revision that is; 0 before the first.
    pub const fn revision(&self) -> u32 {
        self.revision
    }
}

impl Aggregate for Agent {
    type Command = AgentCommand;
    type Event = AgentEvent;

    fn decide(&self, command: &AgentCommand, _: &Stamp) -> Result<Vec<AgentEvent>, Rejection> {
        let AgentCommand::DefineAgent(define) = command;
        let spec = &define.spec;
        limit::text("spec.instructions", &spec.instructions, INSTRUCTIONS_BYTES_MAX)?;
        if spec.steps_max == 0 || spec.steps_max > STEPS_MAX {
            return Err(Rejection::invalid("spec.steps_max", format!("must be a number from 1 to {STEPS_MAX}")));
        }
        if spec.output_max == Tokens(0) {
            return Err(Rejection::invalid("spec.output_max", "must be at least 1"));
        }
        if self.spec() == Some(spec) {
            return Ok(vec![]);
        }
        let revision = self.revision.saturating_add(1);
        Ok(vec![AgentEvent::Defined { agent: define.agent.clone(), revision, spec: spec.clone() }])
    }

    fn apply(&mut self, event: &AgentEvent, _: Timestamp) {
        let AgentEvent::Defined { agent, revision, spec } = event;
        self.defined = Some((agent.clone(), spec.clone()));
        self.revision = *revision;
    }

    fn answer(&self, command: &AgentCommand) -> serde_json::Value {
        let AgentCommand::DefineAgent(define) = command;
        json!({ "agent": define.agent, "revision": self.revision })
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::DefineAgent;
    use steward_events::event::PatternKind;

    use super::*;
    use crate::spec::given;

    fn spec(instructions: &str, steps_max: u32) -> AgentSpec {
        AgentSpec {
            model: "small".parse().unwrap(),
            instructions: instructions.to_owned(),
            pattern: PatternKind::Single,
            output_max: Tokens(100),
            steps_max,
        }
    }

    fn define(spec: AgentSpec) -> AgentCommand {
        AgentCommand::DefineAgent(DefineAgent { agent: "researcher".parse().unwrap(), spec })
    }

    fn defined(revision: u32, spec: AgentSpec) -> AgentEvent {
        AgentEvent::Defined { agent: "researcher".parse().unwrap(), revision, spec }
    }

    #[test]
    fn each_change_is_a_revision_and_no_change_is_none() {
        given::<Agent>([]).when(define(spec("be brief", 8))).then([defined(1, spec("be brief", 8))]);
        given::<Agent>([defined(1, spec("be brief", 8))]).when(define(spec("be brief", 8))).then([]);
        given::<Agent>([defined(1, spec("be brief", 8))])
            .when(define(spec("be kind", 8)))
            .then([defined(2, spec("be kind", 8))]);
    }

    #[test]
    fn steps_and_instructions_are_bounded() {
        for steps in [0, STEPS_MAX + 1] {
            let refused = Rejection::invalid("spec.steps_max", "must be a number from 1 to 1000");
            given::<Agent>([]).when(define(spec("", steps))).then_rejected(&refused);
        }
        let long = "a".repeat(INSTRUCTIONS_BYTES_MAX + 1);
        let refused = Rejection::invalid("spec.instructions", "is 32001 bytes long; at most 32000 are allowed");
        given::<Agent>([]).when(define(spec(&long, 1))).then_rejected(&refused);
    }
}
