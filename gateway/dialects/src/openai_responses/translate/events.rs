//! The typed events of a response as what they say.

use std::collections::HashMap;

use bytes::Bytes;
use steward_answers::json::{Json, Object};
use steward_answers::problem::Problem;
use steward_answers::responses::{self, Event};
use steward_answers::usage;

use super::whole;
use crate::canonical::{Delta, ReadsStream};

/// Calls of functions that are told apart.
const CALLS_MAX: usize = 128;

/// Reads the events of one response.
#[derive(Default)]
pub(super) struct Reader {
    /// The numbers of calls among the calls, by their places among the items.
    calls: HashMap<u64, u64>,
    /// True if a part of a summary was told: the next begins on a line of its own.
    has_thought: bool,
}

impl ReadsStream for Reader {
    fn read(&mut self, data: &Bytes) -> Vec<Delta> {
        match responses::read_event(data) {
            Event::Nothing => Vec::new(),
            Event::Problem(problem) => vec![Delta::Failed(problem)],
            Event::Unreadable => vec![Delta::Unreadable],
            Event::Whole => responses::as_events(data).iter().flat_map(|event| self.read(event)).collect(),
            Event::Last(_) => self.last(&Json::begun(data).object()),
            Event::Piece(_) => self.piece(&Json::begun(data).object()).into_iter().collect(),
        }
    }
}

impl Reader {
    fn piece(&mut self, event: &Object<'_>) -> Option<Delta> {
        let text = |name: &str| event.get(name).and_then(Json::text);
        let at = event.get("output_index").and_then(Json::count);
        match text("type")?.as_str() {
            "response.created" => {
                let response = event.get("response")?;
                let [id, model] = ["id", "model"].map(|name| response.get(name).and_then(Json::text));
                Some(Delta::Begins { id, model })
            }
            "response.output_text.delta" => Some(Delta::Text(0, text("delta")?)),
            "response.refusal.delta" => Some(Delta::Refusal(0, text("delta")?)),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                self.has_thought = true;
                Some(Delta::Thinking(0, text("delta")?))
            }
            "response.reasoning_summary_part.added" if self.has_thought => Some(Delta::Thinking(0, "\n".to_owned())),
            "response.output_item.added" => self.begins(at?, event.get("item")?),
            "response.output_item.done" => {
                let item = event.get("item")?;
                let sealed = item.said("encrypted_content").filter(|_| is(item, "reasoning"))?;
                self.has_thought = false;
                Some(Delta::Signature(0, sealed.text()?))
            }
            "response.function_call_arguments.delta" => {
                Some(Delta::ToolInput { choice: 0, number: *self.calls.get(&at?)?, text: text("delta")? })
            }
            _ => None,
        }
    }

    fn begins(&mut self, at: u64, item: Json<'_>) -> Option<Delta> {
        if !is(item, "function_call") || self.calls.len() >= CALLS_MAX {
            return None;
        }
        let number = self.calls.len() as u64;
        self.calls.insert(at, number);
        let [id, name] = ["call_id", "name"].map(|name| item.get(name).and_then(Json::text).unwrap_or_default());
        Some(Delta::ToolBegins { choice: 0, number, id, name })
    }

    fn last(&self, event: &Object<'_>) -> Vec<Delta> {
        let Some(response) = event.said("response") else { return vec![Delta::Unreadable] };
        let fields = response.object();
        if let Some(problem) = Problem::instead_of_answer(&fields) {
            return vec![Delta::Failed(problem)];
        }
        let mut deltas = vec![Delta::Ends(0, whole::end(response, !self.calls.is_empty()))];
        deltas.extend(usage::of(&fields).map(Delta::Usage));
        deltas.push(Delta::Done);
        deltas
    }
}

fn is(item: Json<'_>, kind: &str) -> bool {
    item.get("type").is_some_and(|of| of.is(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canonical::End;

    fn read(events: &[Value]) -> Vec<String> {
        let mut reader = Reader::default();
        events
            .iter()
            .flat_map(|event| reader.read(&event.to_string().into()))
            .map(|delta| format!("{delta:?}"))
            .collect()
    }

    #[test]
    fn a_stream_of_a_thought_text_and_call_is_read() {
        let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
        let events = [
            json!({ "type": "response.created", "response": { "id": "resp_1", "model": "m", "error": null } }),
            json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "reasoning" } }),
            json!({ "type": "response.reasoning_summary_part.added", "output_index": 0 }),
            json!({ "type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm" }),
            json!({ "type": "response.output_item.done", "output_index": 0, "item": { "type": "reasoning", "encrypted_content": "x" } }),
            json!({ "type": "response.output_text.delta", "output_index": 1, "delta": "good" }),
            json!({ "type": "response.output_text.done", "output_index": 1, "text": "good" }),
            json!({ "type": "response.output_item.added", "output_index": 2, "item": { "type": "function_call", "call_id": "c", "name": "f" } }),
            json!({ "type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}" }),
            json!({ "type": "response.completed", "response": { "status": "completed", "usage": usage } }),
        ];
        let expected = [
            Delta::Begins { id: Some("resp_1".to_owned()), model: Some("m".to_owned()) },
            Delta::Thinking(0, "hm".to_owned()),
            Delta::Signature(0, "x".to_owned()),
            Delta::Text(0, "good".to_owned()),
            Delta::ToolBegins { choice: 0, number: 0, id: "c".to_owned(), name: "f".to_owned() },
            Delta::ToolInput { choice: 0, number: 0, text: "{}".to_owned() },
            Delta::Ends(0, End::ToolUse),
        ];
        let read = read(&events);
        let expected: Vec<String> = expected.iter().map(|delta| format!("{delta:?}")).collect();
        assert_eq!(&read[..expected.len()], expected);
        assert!(read[expected.len()].starts_with("Usage") && read.last().unwrap() == "Done");
    }

    #[test]
    fn the_end_says_why_it_came() {
        let incomplete = json!({ "type": "response.incomplete", "response": { "incomplete_details": { "reason": "max_output_tokens" } } });
        assert_eq!(read(&[incomplete])[0], format!("{:?}", Delta::Ends(0, End::Length)));
        let failed = json!({ "type": "response.failed", "response": { "error": { "message": "m" }, "usage": { "input_tokens": 1 } } });
        assert!(read(&[failed])[0].starts_with("Failed"));
    }
}
