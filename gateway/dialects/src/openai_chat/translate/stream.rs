//! Streamed answers, between chat completions and the canonical form.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;
use steward_answers::chat::{self, Event};
use steward_answers::json::{Json, Object};
use steward_answers::usage::{self, Usage, tier_name};

use super::answer::{end, hidden, reason, signed};
use super::usage as written_usage;
use crate::canonical::{Delta, Frame, ReadsStream, WritesStream};
use crate::object::Writing;

/// Tool calls of one answer that are told apart.
const CALLS_MAX: usize = 4_096;

/// Choices that are told apart; no request may ask for more.
const CHOICES_MAX: usize = 128;

/// Reads chunks.
#[derive(Default)]
pub(super) struct Reader {
    has_begun: bool,
    is_done: bool,
    /// The choices that have begun.
    choices: BTreeMap<u64, Begun>,
}

/// A choice that has begun.
#[derive(Default)]
struct Begun {
    has_ended: bool,
    calls: Calls,
}

/// The tool calls of a choice: their numbers by the provider's.
#[derive(Default)]
struct Calls {
    numbers: BTreeMap<u64, u64>,
    last: u64,
}

impl ReadsStream for Reader {
    fn read(&mut self, data: &Bytes) -> Vec<Delta> {
        match chat::read_event(data) {
            Event::Nothing => Vec::new(),
            Event::Done => {
                self.is_done = true;
                vec![Delta::Done]
            }
            Event::Problem(problem) => vec![Delta::Failed(problem)],
            Event::Unreadable => vec![Delta::Unreadable],
            // Each of these is a chunk, so this goes no deeper.
            Event::Whole => chat::as_chunks(data).iter().flat_map(|chunk| self.chunk(chunk)).collect(),
            Event::Chunk(_) => self.chunk(data),
        }
    }

    /// Some leave out `[DONE]`: an answer of which each choice ended is whole all the same.
    fn end(&mut self) -> Vec<Delta> {
        let is_whole = !self.choices.is_empty() && self.choices.values().all(|choice| choice.has_ended);
        if is_whole && !self.is_done { vec![Delta::Done] } else { Vec::new() }
    }
}

impl Reader {
    fn chunk(&mut self, data: &[u8]) -> Vec<Delta> {
        let Some(json) = Json::read(data) else { return vec![Delta::Unreadable] };
        let json = json.object();
        let mut deltas = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            let text = |name: &str| json.get(name).and_then(Json::text);
            deltas.push(Delta::Begins { id: text("id"), model: text("model") });
        }
        for choice in json.get("choices").into_iter().flat_map(Json::items) {
            self.choice(&mut deltas, &choice.object());
        }
        deltas.extend(usage::of(&json).map(Delta::Usage));
        deltas
    }

    fn choice(&mut self, deltas: &mut Vec<Delta>, choice: &Object<'_>) {
        let index = choice.get("index").and_then(Json::count).unwrap_or(0);
        if self.choices.len() >= CHOICES_MAX && !self.choices.contains_key(&index) {
            return deltas.push(Delta::Unreadable);
        }
        self.choices.entry(index).or_default();
        if let Some(delta) = choice.said("delta").map(Json::object) {
            let text = |name: &str| delta.said(name)?.text().filter(|text| !text.is_empty());
            let thought = text("reasoning_content").or_else(|| text("reasoning"));
            deltas.extend(thought.map(|text| Delta::Thinking(index, text)));
            deltas.extend(text("content").map(|text| Delta::Text(index, text)));
            deltas.extend(text("refusal").map(|text| Delta::Refusal(index, text)));
            for call in delta.get("tool_calls").into_iter().flat_map(Json::items) {
                self.call(deltas, index, call);
            }
        }
        let reason = choice.said("finish_reason").and_then(Json::text);
        if let Some(end) = reason.and_then(|reason| end(&reason)) {
            self.choices.entry(index).or_default().has_ended = true;
            deltas.push(Delta::Ends(index, end));
        }
    }

    /// A call begins where its number is new, or another id comes without a number.
    fn call(&mut self, deltas: &mut Vec<Delta>, choice: u64, call: Json<'_>) {
        let calls = &mut self.choices.entry(choice).or_default().calls;
        let id = call.said("id").and_then(Json::text).filter(|id| !id.is_empty());
        let theirs = match call.said("index").and_then(Json::count) {
            Some(index) => index,
            None if id.is_some() => calls.numbers.len() as u64,
            None => calls.last,
        };
        let next = calls.numbers.len() as u64;
        calls.last = theirs;
        let function = call.said("function");
        if !calls.numbers.contains_key(&theirs) {
            if calls.numbers.len() >= CALLS_MAX {
                return deltas.push(Delta::Unreadable);
            }
            calls.numbers.insert(theirs, next);
            let name = function.and_then(|function| function.said("name")?.text()).unwrap_or_default();
            let id = id.unwrap_or_else(|| format!("call_{choice}_{next}"));
            deltas.push(Delta::ToolBegins { choice, number: next, id, name });
        }
        let number = calls.numbers.get(&theirs).copied().unwrap_or(next);
        let text = function.and_then(|function| function.said("arguments")?.text()).filter(|text| !text.is_empty());
        deltas.extend(text.map(|text| Delta::ToolInput { choice, number, text }));
    }
}

/// Writes chunks.
pub(super) struct Writer {
    frame: Frame,
    /// What each choice thinks, until its provider signs it.
    thought: BTreeMap<u64, String>,
    said: Option<Usage>,
}

impl Writer {
    pub(super) const fn new(frame: Frame) -> Self {
        Self { frame, thought: BTreeMap::new(), said: None }
    }

    fn chunk(&self) -> Writing {
        Writing::new()
            .with("id", &self.frame.id)
            .with("object", "chat.completion.chunk")
            .with("created", &self.frame.created)
            .with("model", &self.frame.model)
    }

    fn piece(&self, choice: u64, delta: &Bytes, reason: Option<&str>) -> Vec<Bytes> {
        let choice = Writing::new().with("index", &choice).with_json("delta", delta);
        vec![self.chunk().with_list("choices", &[choice.with("finish_reason", &reason).end()]).end()]
    }

    fn text(&self, choice: u64, name: &str, text: &str) -> Vec<Bytes> {
        self.piece(choice, &Writing::new().with(name, text).end(), None)
    }

    fn block(&self, choice: u64, block: Bytes) -> Vec<Bytes> {
        self.piece(choice, &Writing::new().with_list("thinking_blocks", &[block]).end(), None)
    }

    fn call(&self, choice: u64, call: Writing) -> Vec<Bytes> {
        self.piece(choice, &Writing::new().with_list("tool_calls", &[call.end()]).end(), None)
    }
}

impl WritesStream for Writer {
    fn write(&mut self, delta: Delta) -> Vec<Bytes> {
        match delta {
            Delta::Begins { id, model } => {
                self.frame.id = id.unwrap_or_else(|| std::mem::take(&mut self.frame.id));
                self.frame.model = model.unwrap_or_else(|| std::mem::take(&mut self.frame.model));
                self.piece(0, &Writing::new().with("role", "assistant").with("content", "").end(), None)
            }
            Delta::Text(choice, text) => self.text(choice, "content", &text),
            Delta::Refusal(choice, text) => self.text(choice, "refusal", &text),
            Delta::Thinking(choice, text) => {
                self.thought.entry(choice).or_default().push_str(&text);
                self.text(choice, "reasoning_content", &text)
            }
            Delta::Signature(choice, signature) => {
                let thought = self.thought.remove(&choice).unwrap_or_default();
                self.block(choice, signed(&thought, &signature))
            }
            Delta::HiddenThinking(choice, data) => self.block(choice, hidden(&data)),
            Delta::ToolBegins { choice, number, id, name } => {
                let call = Writing::new().with("index", &number).with("id", &id).with("type", "function");
                self.call(choice, call.with("function", &json!({ "name": name, "arguments": "" })))
            }
            Delta::ToolInput { choice, number, text } => {
                self.call(choice, Writing::new().with("index", &number).with("function", &json!({ "arguments": text })))
            }
            Delta::Ends(choice, end) => self.piece(choice, &Writing::new().end(), Some(reason(&end))),
            Delta::Usage(usage) => {
                let usage = usage.after(self.said);
                self.said = Some(usage);
                let chunk = self.chunk().with_list("choices", &[]).with_json("usage", &written_usage::write(&usage));
                vec![chunk.perhaps("service_tier", tier_name(usage.tokens.tier)).end()]
            }
            Delta::Done => vec![Bytes::from_static(b"[DONE]")],
            Delta::Failed(problem) => {
                let error = json!({ "message": problem.message, "type": problem.kind, "code": problem.code });
                vec![Writing::new().with("error", &error).end()]
            }
            // Who translates ends there.
            Delta::Unreadable => Vec::new(),
        }
    }
}
