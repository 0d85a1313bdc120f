//! One agent: a plan, then an answer.

use steward_events::event::{AgentSpec, StepKind};

use crate::pattern::{Done, Message, Next, Pattern, Progress, Role};

pub(super) struct Single;

impl Pattern for Single {
    fn next(&self, agent: &AgentSpec, progress: &Progress) -> Next {
        let said = |role, content: &str| Message { role, content: content.to_owned() };
        let mut messages = Vec::new();
        if !agent.instructions.is_empty() {
            messages.push(said(Role::System, &agent.instructions));
        }
        messages.push(said(Role::User, &progress.prompt));
        match progress.done.as_slice() {
            [] => {
                messages
                    .push(said(Role::User, "Before you answer, say in one or two sentences how you will go about it."));
                Next::CallModel { kind: StepKind::Plan, messages }
            }
            [Done { kind: StepKind::Plan, text }] => {
                messages.push(said(Role::Assistant, text));
                messages.push(said(Role::User, "Now give the answer itself."));
                Next::CallModel { kind: StepKind::Answer, messages }
            }
            [.., last] => Next::Finish(last.text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::PatternKind;
    use steward_events::id::ModelId;
    use steward_events::quantity::Tokens;

    use super::*;

    fn agent() -> AgentSpec {
        AgentSpec {
            model: ModelId::new("small").unwrap(),
            instructions: "Be brief.".to_owned(),
            pattern: PatternKind::Single,
            output_max: Tokens(32),
            steps_max: 8,
        }
    }

    #[test]
    fn a_plan_then_an_answer_then_done() {
        let mut progress = Progress { prompt: "What is NATS?".to_owned(), done: vec![] };
        let Next::CallModel { kind: StepKind::Plan, messages } = Single.next(&agent(), &progress) else {
            panic!("no plan")
        };
        assert_eq!((messages[0].role, messages[0].content.as_str()), (Role::System, "Be brief."));
        assert_eq!((messages[1].role, messages[1].content.as_str()), (Role::User, "What is NATS?"));

        progress.done.push(Done { kind: StepKind::Plan, text: "I look it up.".to_owned() });
        let Next::CallModel { kind: StepKind::Answer, messages } = Single.next(&agent(), &progress) else {
            panic!("no answer")
        };
        assert!(
            messages.iter().any(|m| m.role == Role::Assistant && m.content == "I look it up."),
            "it knows its plan"
        );

        progress.done.push(Done { kind: StepKind::Answer, text: "A bus.".to_owned() });
        assert_eq!(Single.next(&agent(), &progress), Next::Finish("A bus.".to_owned()));
    }
}
