//! Streamed answers, between Anthropic's events and the canonical form.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use steward_answers::json::{Json, Object};
use steward_answers::messages::{self, Event};
use steward_answers::problem::Problem;
use steward_answers::usage::Usage;

use super::answer::{end, reason};
use super::usage as written_usage;
use crate::canonical::{Delta, End, Frame, ReadsStream, WritesStream};
use crate::object::Writing;

/// Tool calls of one answer that are told apart.
const CALLS_MAX: usize = 4_096;

/// The one answer that there is has this number.
const ONLY_CHOICE: u64 = 0;

/// Reads events.
#[derive(Default)]
pub(super) struct Reader {
    /// The numbers of tool calls, by their blocks.
    calls: BTreeMap<u64, u64>,
    state: State,
}

/// How far a stream is.
#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Going,
    /// It said why it ends.
    Ended,
    /// It said that this is all.
    Done,
}

impl ReadsStream for Reader {
    fn read(&mut self, data: &Bytes) -> Vec<Delta> {
        match messages::read_event(data) {
            Event::Nothing => Vec::new(),
            Event::Done => {
                self.state = State::Done;
                vec![Delta::Done]
            }
            Event::Problem(problem) => vec![Delta::Failed(problem)],
            Event::Unreadable => vec![Delta::Unreadable],
            // Each of these is an event, so this goes no deeper.
            Event::Whole => {
                messages::as_events(data).iter().flat_map(|event| self.event(event, usage_of(event))).collect()
            }
            Event::Piece { usage, .. } => self.event(data, usage),
        }
    }

    /// An answer that said why it ends is whole.
    fn end(&mut self) -> Vec<Delta> {
        if self.state == State::Ended { vec![Delta::Done] } else { Vec::new() }
    }
}

fn usage_of(event: &[u8]) -> Option<Usage> {
    match messages::read_event(event) {
        Event::Piece { usage, .. } => usage,
        _ => None,
    }
}

impl Reader {
    fn event(&mut self, data: &[u8], usage: Option<Usage>) -> Vec<Delta> {
        let Some(json) = Json::read(data) else { return vec![Delta::Unreadable] };
        let json = json.object();
        let said = |name: &str| json.said(name);
        let index = said("index").and_then(Json::count).unwrap_or(0);
        let mut deltas = Vec::new();
        match said("type").and_then(Json::text).as_deref() {
            Some("message_start") => {
                let text = |name: &str| said("message")?.said(name)?.text();
                deltas.push(Delta::Begins { id: text("id"), model: text("model") });
            }
            Some("content_block_start") => {
                if let Some(block) = said("content_block").map(Json::object) {
                    self.block(&mut deltas, index, &block);
                }
            }
            Some("content_block_delta") => {
                if let Some(delta) = said("delta").map(Json::object) {
                    self.delta(&mut deltas, index, &delta);
                }
            }
            Some("message_delta") => {
                let text = |name: &str| said("delta")?.said(name)?.text();
                let ends = text("stop_reason").map(|reason| end(&reason, text("stop_sequence")));
                if let Some(end) = ends {
                    self.state = State::Ended;
                    deltas.push(Delta::Ends(ONLY_CHOICE, end));
                }
            }
            _ => {}
        }
        deltas.extend(usage.map(Delta::Usage));
        deltas
    }

    fn block(&mut self, deltas: &mut Vec<Delta>, index: u64, block: &Object<'_>) {
        let text = |name: &str| block.said(name)?.text().filter(|text| !text.is_empty());
        match text("type").as_deref() {
            Some("text") => deltas.extend(text("text").map(|text| Delta::Text(ONLY_CHOICE, text))),
            Some("thinking") => deltas.extend(text("thinking").map(|text| Delta::Thinking(ONLY_CHOICE, text))),
            Some("redacted_thinking") => {
                deltas.extend(text("data").map(|data| Delta::HiddenThinking(ONLY_CHOICE, data)));
            }
            Some("tool_use") => {
                if self.calls.len() >= CALLS_MAX {
                    return deltas.push(Delta::Unreadable);
                }
                let number = self.calls.len() as u64;
                self.calls.insert(index, number);
                let id = text("id").unwrap_or_else(|| format!("toolu_{number}"));
                let name = text("name").unwrap_or_default();
                deltas.push(Delta::ToolBegins { choice: ONLY_CHOICE, number, id, name });
                // Usually it is empty, and follows in pieces.
                let input = block.said("input").filter(|input| !input.is_nothing());
                let input = input.map(|input| String::from_utf8_lossy(input.raw()).into_owned());
                deltas.extend(input.map(|text| Delta::ToolInput { choice: ONLY_CHOICE, number, text }));
            }
            _ => {}
        }
    }

    fn delta(&self, deltas: &mut Vec<Delta>, index: u64, delta: &Object<'_>) {
        let text = |name: &str| delta.said(name)?.text().filter(|text| !text.is_empty());
        deltas.extend(match text("type").as_deref() {
            Some("text_delta") => text("text").map(|text| Delta::Text(ONLY_CHOICE, text)),
            Some("thinking_delta") => text("thinking").map(|text| Delta::Thinking(ONLY_CHOICE, text)),
            Some("signature_delta") => text("signature").map(|text| Delta::Signature(ONLY_CHOICE, text)),
            Some("input_json_delta") => text("partial_json").and_then(|text| {
                let number = *self.calls.get(&index)?;
                Some(Delta::ToolInput { choice: ONLY_CHOICE, number, text })
            }),
            _ => None,
        });
    }
}

/// Writes events: one block after the other.
pub(super) struct Writer {
    frame: Frame,
    has_begun: bool,
    /// What is open is the last block.
    open: Option<Open>,
    blocks: u64,
    /// The blocks of tool calls, by their numbers.
    calls: BTreeMap<u64, u64>,
    ended: Option<End>,
    said: Option<Usage>,
}

/// The kind of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Other,
}

impl Writer {
    pub(super) const fn new(frame: Frame) -> Self {
        Self { frame, has_begun: false, open: None, blocks: 0, calls: BTreeMap::new(), ended: None, said: None }
    }

    fn begin(&mut self, events: &mut Vec<Bytes>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        // What was read is known at the end only.
        let message = json!({
            "id": self.frame.id, "type": "message", "role": "assistant", "model": self.frame.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
        });
        events.push(event("message_start").with("message", &message).end());
    }

    fn close(&mut self, events: &mut Vec<Bytes>) {
        if self.open.take().is_some() {
            events.push(event("content_block_stop").with("index", &(self.blocks - 1)).end());
        }
    }

    /// Opens a block of this kind, unless it is open.
    fn open(&mut self, events: &mut Vec<Bytes>, kind: Open, block: &Value) {
        self.begin(events);
        if kind != Open::Other && self.open == Some(kind) {
            return;
        }
        self.close(events);
        events.push(event("content_block_start").with("index", &self.blocks).with("content_block", block).end());
        self.open = Some(kind);
        self.blocks += 1;
    }

    fn add(&self, events: &mut Vec<Bytes>, kind: &str, name: &str, text: &str) {
        events.push(delta(self.blocks.saturating_sub(1), kind, name, text));
    }

    fn text(&mut self, events: &mut Vec<Bytes>, text: &str) {
        self.open(events, Open::Text, &json!({ "type": "text", "text": "" }));
        self.add(events, "text_delta", "text", text);
    }

    fn thinking(&mut self, events: &mut Vec<Bytes>, kind: &str, name: &str, text: &str) {
        self.open(events, Open::Thinking, &json!({ "type": "thinking", "thinking": "", "signature": "" }));
        self.add(events, kind, name, text);
    }

    /// The reason for the end and what was used are one event, which waits for both.
    fn finish(&mut self, events: &mut Vec<Bytes>, end: &End) {
        self.begin(events);
        self.close(events);
        let usage =
            self.said.as_ref().map_or_else(|| Bytes::from_static(b"{\"output_tokens\":null}"), written_usage::write);
        events.push(event("message_delta").with("delta", &reason(end)).with_json("usage", &usage).end());
        events.push(event("message_stop").end());
    }
}

impl WritesStream for Writer {
    fn write(&mut self, delta: Delta) -> Vec<Bytes> {
        let mut events = Vec::new();
        match delta {
            Delta::Begins { id, model } => {
                self.frame.id = id.unwrap_or_else(|| std::mem::take(&mut self.frame.id));
                self.frame.model = model.unwrap_or_else(|| std::mem::take(&mut self.frame.model));
                self.begin(&mut events);
            }
            Delta::Text(ONLY_CHOICE, text) | Delta::Refusal(ONLY_CHOICE, text) => self.text(&mut events, &text),
            Delta::Thinking(ONLY_CHOICE, text) => self.thinking(&mut events, "thinking_delta", "thinking", &text),
            Delta::Signature(ONLY_CHOICE, text) => self.thinking(&mut events, "signature_delta", "signature", &text),
            Delta::HiddenThinking(ONLY_CHOICE, data) => {
                self.open(&mut events, Open::Other, &json!({ "type": "redacted_thinking", "data": data }));
            }
            Delta::ToolBegins { choice: ONLY_CHOICE, number, id, name } => {
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                self.open(&mut events, Open::Other, &block);
                self.calls.insert(number, self.blocks - 1);
            }
            Delta::ToolInput { choice: ONLY_CHOICE, number, text } => {
                let index = self.calls.get(&number).copied();
                events.extend(index.map(|index| self::delta(index, "input_json_delta", "partial_json", &text)));
            }
            Delta::Ends(ONLY_CHOICE, end) => self.ended = Some(end),
            Delta::Usage(usage) => self.said = Some(usage.after(self.said)),
            Delta::Done => {
                let end = self.ended.take().unwrap_or(End::Stop);
                self.finish(&mut events, &end);
            }
            Delta::Failed(problem) => events.push(failed(&problem)),
            // There is one answer; and who translates ends at what cannot be read.
            Delta::Text(..)
            | Delta::Refusal(..)
            | Delta::Thinking(..)
            | Delta::Signature(..)
            | Delta::HiddenThinking(..)
            | Delta::ToolBegins { .. }
            | Delta::ToolInput { .. }
            | Delta::Ends(..)
            | Delta::Unreadable => {}
        }
        events
    }
}

fn event(kind: &str) -> Writing {
    Writing::new().with("type", kind)
}

fn delta(index: u64, kind: &str, name: &str, text: &str) -> Bytes {
    let delta = Writing::new().with("type", kind).with(name, text).end();
    event("content_block_delta").with("index", &index).with_json("delta", &delta).end()
}

fn failed(problem: &Problem) -> Bytes {
    let message = problem.message.as_deref().or(problem.code.as_deref()).unwrap_or("it failed");
    event("error").with("error", &json!({ "type": "api_error", "message": message })).end()
}
