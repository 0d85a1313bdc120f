//! A streamed answer as the typed events of a response.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use steward_answers::problem::Problem;
use steward_answers::usage::Usage;

use super::items::{self, Head};
use super::thoughts;
use crate::canonical::{Delta, End, Frame, WritesStream};

mod output;

use output::{Output, Words};

/// Writes the events of one response.
pub(super) struct Writer {
    frame: Frame,
    /// None until it begins.
    head: Option<Head>,
    events: Events,
    output: Output,
    usage: Option<Usage>,
    end: Option<End>,
    is_over: bool,
}

impl Writer {
    /// Which says this of itself where the provider says nothing.
    pub(super) fn new(frame: Frame) -> Self {
        let output = Output::new(frame.id.clone());
        Self { frame, head: None, events: Events::default(), output, usage: None, end: None, is_over: false }
    }

    fn take(&mut self, delta: Delta) {
        let Self { events, output, .. } = self;
        match delta {
            Delta::Begins { id, model } => self.begin(id.as_deref(), model.as_deref()),
            // A response has one choice.
            Delta::Text(0, text) => output.say(events, Words::Text, &text),
            Delta::Refusal(0, text) => output.say(events, Words::Refusal, &text),
            Delta::Thinking(0, text) => output.think(events, &text),
            Delta::Signature(0, signature) => output.seal(events, &signature, thoughts::signed),
            Delta::HiddenThinking(0, hidden) => output.hide(events, &hidden),
            Delta::ToolBegins { choice: 0, number, id, name } => output.call(events, number, id, name),
            Delta::ToolInput { choice: 0, number, text } => output.give(events, number, &text),
            Delta::Ends(0, end) => self.end = Some(end),
            Delta::Usage(usage) => self.usage = Some(usage.after(self.usage)),
            Delta::Done => self.complete(),
            Delta::Failed(problem) => self.fail(&problem),
            Delta::Unreadable => self.fail(&Problem::default()),
            Delta::Text(..)
            | Delta::Refusal(..)
            | Delta::Thinking(..)
            | Delta::Signature(..)
            | Delta::HiddenThinking(..)
            | Delta::ToolBegins { .. }
            | Delta::ToolInput { .. }
            | Delta::Ends(..) => {}
        }
        if self.output.is_too_long() && !self.is_over {
            let message = Some("the answer is longer than a response can be".to_owned());
            self.fail(&Problem { message, ..Problem::default() });
        }
    }

    fn begin(&mut self, id: Option<&str>, model: Option<&str>) {
        if self.head.is_some() {
            return;
        }
        let head = Head::of(&self.frame, id, model);
        for kind in ["response.created", "response.in_progress"] {
            self.events.put(kind, json!({ "response": head.begun() }));
        }
        self.head = Some(head);
    }

    fn complete(&mut self) {
        let Some(head) = &self.head else { return };
        self.is_over = true;
        let status = items::status(self.end.as_ref());
        let output = self.output.close(&mut self.events, status);
        let response = head.ended(self.end.as_ref(), &output, self.usage.as_ref());
        self.events.put(&format!("response.{status}"), json!({ "response": response }));
    }

    fn fail(&mut self, problem: &Problem) {
        self.is_over = true;
        let code = problem.code.as_ref().or(problem.kind.as_ref());
        self.events.put("error", json!({ "code": code, "message": problem.message, "param": problem.param }));
    }
}

impl WritesStream for Writer {
    fn write(&mut self, delta: Delta) -> Vec<Bytes> {
        if self.is_over {
            return Vec::new();
        }
        if self.head.is_none() && !matches!(delta, Delta::Begins { .. } | Delta::Failed(_)) {
            self.begin(None, None);
        }
        self.take(delta);
        std::mem::take(&mut self.events.ready)
    }
}

/// Events, each with its number.
#[derive(Default)]
struct Events {
    count: u64,
    ready: Vec<Bytes>,
}

impl Events {
    /// An event of this kind, with the fields of `says`.
    fn put(&mut self, kind: &str, says: Value) {
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("sequence_number".to_owned(), self.count.into());
        if let Value::Object(says) = says {
            event.extend(says);
        }
        self.count += 1;
        self.ready.push(Value::Object(event).to_string().into());
    }
}

#[cfg(test)]
mod tests;
