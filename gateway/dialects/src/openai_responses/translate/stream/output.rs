//! The items of a response that is being written: which is open, what it says so far, and the events of both.

use serde_json::{Value, json};

use super::Events;
use crate::openai_responses::translate::{items, thoughts};

/// Bytes of generated text that are kept for the events that repeat it. No model writes so much.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Items of one response.
const ITEMS_MAX: usize = 4_096;

/// What a part of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Text.
    Text,
    /// Why there is no answer.
    Refusal,
}

impl Words {
    const fn event(self) -> &'static str {
        match self {
            Self::Text => "response.output_text",
            Self::Refusal => "response.refusal",
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Refusal => "refusal",
        }
    }

    fn part(self, words: &str) -> Value {
        match self {
            Self::Text => items::text(words),
            Self::Refusal => items::refusal(words),
        }
    }
}

/// The items so far.
pub(super) struct Output {
    /// What their ids are made of.
    id: String,
    /// Those that are done; none where one is open.
    done: Vec<Option<Value>>,
    open: Option<Open>,
    /// Calls of functions are open until the end, because their pieces may come in turns.
    calls: Vec<Call>,
    kept_bytes: usize,
}

/// An item that is being written.
enum Open {
    Message { at: usize, id: String, parts: Vec<Value>, part: Option<(Words, String)> },
    Thoughts { at: usize, id: String, text: String, sealed: String },
}

struct Call {
    /// Its number among the calls.
    number: u64,
    at: usize,
    id: String,
    /// The provider's, which the result names.
    known_as: String,
    name: String,
    arguments: String,
}

impl Output {
    /// With ids that are made of this one.
    pub(super) const fn new(id: String) -> Self {
        Self { id, done: Vec::new(), open: None, calls: Vec::new(), kept_bytes: 0 }
    }

    /// True if it is more than is kept.
    pub(super) const fn is_too_long(&self) -> bool {
        self.kept_bytes > KEPT_BYTES_MAX || self.done.len() > ITEMS_MAX
    }

    /// More of a message.
    pub(super) fn say(&mut self, events: &mut Events, words: Words, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.kept_bytes += piece.len();
        if !matches!(self.open, Some(Open::Message { .. })) {
            self.close_open(events, "completed");
            let (at, id) = self.next("msg");
            let item = items::message(&id, "in_progress", &[]);
            events.put("response.output_item.added", json!({ "output_index": at, "item": item }));
            self.open = Some(Open::Message { at, id, parts: Vec::new(), part: None });
        }
        let Some(Open::Message { at, id, parts, part }) = &mut self.open else { return };
        if part.as_ref().is_some_and(|(of, _)| *of != words) {
            close_part(events, (*at, id), parts, part);
        }
        let place = json!({ "item_id": id, "output_index": at, "content_index": parts.len() });
        let (_, said) = part.get_or_insert_with(|| {
            events.put("response.content_part.added", with(&place, "part", words.part("")));
            (words, String::new())
        });
        said.push_str(piece);
        events.put(&format!("{}.delta", words.event()), with(&place, "delta", piece.into()));
    }

    /// More of what the model thinks.
    pub(super) fn think(&mut self, events: &mut Events, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.kept_bytes += piece.len();
        if matches!(&self.open, Some(Open::Thoughts { sealed, .. }) if !sealed.is_empty()) {
            // What is proven is over: this is another thought.
            self.close_open(events, "completed");
        }
        self.open_thoughts(events);
        let Some(Open::Thoughts { at, id, text, .. }) = &mut self.open else { return };
        let place = summary_place(*at, id);
        if text.is_empty() {
            events.put("response.reasoning_summary_part.added", with(&place, "part", thoughts::summary("")));
        }
        text.push_str(piece);
        events.put("response.reasoning_summary_text.delta", with(&place, "delta", piece.into()));
    }

    /// More of the provider's proof of what the model thought.
    pub(super) fn seal(&mut self, events: &mut Events, piece: &str, seal: fn(&str) -> String) {
        self.kept_bytes += piece.len();
        self.open_thoughts(events);
        if let Some(Open::Thoughts { sealed, .. }) = &mut self.open {
            if sealed.is_empty() {
                *sealed = seal(piece);
            } else {
                sealed.push_str(piece);
            }
        }
    }

    /// Thoughts that only their provider can read.
    pub(super) fn hide(&mut self, events: &mut Events, hidden: &str) {
        self.close_open(events, "completed");
        self.seal(events, hidden, thoughts::hidden);
        self.close_open(events, "completed");
    }

    /// A function is called.
    pub(super) fn call(&mut self, events: &mut Events, number: u64, call_id: String, name: String) {
        self.kept_bytes += call_id.len() + name.len();
        self.close_open(events, "completed");
        let (at, id) = self.next("fc");
        let item = items::call(&id, "in_progress", (&call_id, &name), "");
        events.put("response.output_item.added", json!({ "output_index": at, "item": item }));
        self.calls.push(Call { number, at, id, known_as: call_id, name, arguments: String::new() });
    }

    /// More of what a function is given.
    pub(super) fn give(&mut self, events: &mut Events, number: u64, piece: &str) {
        let Some(call) = self.calls.iter_mut().rev().find(|call| call.number == number) else { return };
        self.kept_bytes += piece.len();
        call.arguments.push_str(piece);
        let place = json!({ "item_id": call.id, "output_index": call.at });
        events.put("response.function_call_arguments.delta", with(&place, "delta", piece.into()));
    }

    /// All items, now that no more comes.
    pub(super) fn close(&mut self, events: &mut Events, last_status: &str) -> Vec<Value> {
        let calls = std::mem::take(&mut self.calls);
        let last = self.done.len().saturating_sub(1);
        let status = |at: usize| if at == last { last_status } else { "completed" };
        self.close_open(events, last_status);
        for Call { at, id, known_as, name, arguments, .. } in calls {
            let place = json!({ "item_id": id, "output_index": at, "name": name });
            events.put("response.function_call_arguments.done", with(&place, "arguments", arguments.as_str().into()));
            self.finish(events, at, items::call(&id, status(at), (&known_as, &name), &arguments));
        }
        std::mem::take(&mut self.done).into_iter().flatten().collect()
    }

    fn open_thoughts(&mut self, events: &mut Events) {
        if matches!(self.open, Some(Open::Thoughts { .. })) {
            return;
        }
        self.close_open(events, "completed");
        let (at, id) = self.next("rs");
        events.put("response.output_item.added", json!({ "output_index": at, "item": thoughts::item(&id, "", None) }));
        self.open = Some(Open::Thoughts { at, id, text: String::new(), sealed: String::new() });
    }

    fn close_open(&mut self, events: &mut Events, status: &str) {
        match self.open.take() {
            Some(Open::Message { at, id, mut parts, mut part }) => {
                close_part(events, (at, &id), &mut parts, &mut part);
                self.finish(events, at, items::message(&id, status, &parts));
            }
            Some(Open::Thoughts { at, id, text, sealed }) => {
                if !text.is_empty() {
                    let place = summary_place(at, &id);
                    events.put("response.reasoning_summary_text.done", with(&place, "text", text.as_str().into()));
                    events.put("response.reasoning_summary_part.done", with(&place, "part", thoughts::summary(&text)));
                }
                let sealed = Some(sealed.as_str()).filter(|sealed| !sealed.is_empty());
                self.finish(events, at, thoughts::item(&id, &text, sealed));
            }
            None => {}
        }
    }

    fn finish(&mut self, events: &mut Events, at: usize, item: Value) {
        events.put("response.output_item.done", json!({ "output_index": at, "item": item }));
        if let Some(place) = self.done.get_mut(at) {
            *place = Some(item);
        }
    }

    /// Place and id of one more item.
    fn next(&mut self, kind: &str) -> (usize, String) {
        let at = self.done.len();
        self.done.push(None);
        (at, format!("{kind}_{}_{at}", self.id))
    }
}

fn close_part(
    events: &mut Events,
    (at, id): (usize, &str),
    parts: &mut Vec<Value>,
    part: &mut Option<(Words, String)>,
) {
    let Some((words, said)) = part.take() else { return };
    let place = json!({ "item_id": id, "output_index": at, "content_index": parts.len() });
    events.put(&format!("{}.done", words.event()), with(&place, words.field(), said.as_str().into()));
    let part = words.part(&said);
    events.put("response.content_part.done", with(&place, "part", part.clone()));
    parts.push(part);
}

fn summary_place(at: usize, id: &str) -> Value {
    json!({ "item_id": id, "output_index": at, "summary_index": 0 })
}

/// `place`, and one field more.
fn with(place: &Value, name: &str, value: Value) -> Value {
    let mut says = place.clone();
    says[name] = value;
    says
}
