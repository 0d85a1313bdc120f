//! Gemini's answers in canonical form. Each event of a stream is an answer with more of it; the last ones say why it ends, and
//! nothing says that it is whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use steward_answers::json::{Json, Object};
use steward_answers::problem::Problem;
use steward_answers::usage::Usage;

use super::super::canonical::{Answer, Choice, Content, Delta, End, ReadsStream, Source, ToolUse, Whole};
use super::{call_id, usage};

/// Choices of one answer that are told apart: as many as a request may ask for.
const CHOICES_MAX: usize = 128;
/// Parts of one choice that are read at once.
const PARTS_MAX: usize = 4_096;

/// Reads a whole answer.
pub(super) fn whole(body: &[u8]) -> Whole {
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Whole::Unreadable };
    let json = json.object();
    if let Some(problem) = Problem::instead_of_answer(&json) {
        return Whole::Problem(problem);
    }
    let Some(said) = Said::of(&json) else { return Whole::Unreadable };
    let choices = said.candidates.into_iter().map(|candidate| {
        let mut calls = 0;
        let parts = candidate.parts(said.id.as_deref(), &mut calls);
        Choice { parts, end: candidate.end(calls > 0) }
    });
    let held_back = || vec![Choice { parts: Vec::new(), end: Some(End::Filtered) }];
    let choices = if said.blocked { held_back() } else { choices.collect() };
    Whole::Answer(Answer { id: said.id.clone(), model: said.model, choices, usage: said.usage })
}

/// Reads a stream.
#[derive(Default)]
pub(super) struct Reader {
    has_begun: bool,
    /// Of each choice how many calls of tools it has made so far, and whether it has ended.
    choices: BTreeMap<u64, (u64, bool)>,
}

impl ReadsStream for Reader {
    fn read(&mut self, data: &Bytes) -> Vec<Delta> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Vec::new();
        }
        let Some(json) = Json::read(data).filter(|json| json.is_object()) else { return vec![Delta::Unreadable] };
        let json = json.object();
        if let Some(problem) = Problem::instead_of_answer(&json) {
            return vec![Delta::Failed(problem)];
        }
        let Some(said) = Said::of(&json) else { return vec![Delta::Unreadable] };
        let mut deltas = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            deltas.push(Delta::Begins { id: said.id.clone(), model: said.model });
        }
        for candidate in said.candidates {
            self.candidate(&candidate, said.id.as_deref(), &mut deltas);
        }
        if said.blocked {
            self.choices.insert(0, (0, true));
            deltas.push(Delta::Ends(0, End::Filtered));
        }
        deltas.extend(said.usage.map(Delta::Usage));
        deltas
    }

    /// An answer of which each choice has ended is whole.
    fn end(&mut self) -> Vec<Delta> {
        let is_whole = !self.choices.is_empty() && self.choices.values().all(|(_, ended)| *ended);
        if is_whole { vec![Delta::Done] } else { Vec::new() }
    }
}

impl Reader {
    fn candidate(&mut self, candidate: &Candidate<'_>, answer: Option<&str>, deltas: &mut Vec<Delta>) {
        let index = candidate.index;
        if self.choices.len() >= CHOICES_MAX && !self.choices.contains_key(&index) {
            return;
        }
        let (calls, ended) = self.choices.entry(index).or_default();
        let first = *calls;
        let parts = candidate.parts(answer, calls);
        let mut number = first;
        for part in parts {
            match part {
                Content::Text(text) => deltas.push(Delta::Text(index, text)),
                Content::Thinking { text, .. } => deltas.push(Delta::Thinking(index, text)),
                Content::ToolUse(ToolUse { id, name, input }) => {
                    deltas.push(Delta::ToolBegins { choice: index, number, id, name });
                    deltas.push(Delta::ToolInput { choice: index, number, text: input });
                    number += 1;
                }
                _ => deltas.push(Delta::Failed(Problem {
                    message: Some("it answered with what no stream can pass on".to_owned()),
                    ..Problem::default()
                })),
            }
        }
        if let Some(end) = candidate.end(*calls > 0) {
            *ended = true;
            deltas.push(Delta::Ends(index, end));
        }
    }
}

/// An answer, or a piece of one.
struct Said<'a> {
    id: Option<String>,
    model: Option<String>,
    candidates: Vec<Candidate<'a>>,
    /// True if the request itself was held back.
    blocked: bool,
    usage: Option<Usage>,
}

struct Candidate<'a> {
    index: u64,
    json: Object<'a>,
}

impl<'a> Said<'a> {
    /// None if it says nothing that an answer does.
    fn of(json: &Object<'a>) -> Option<Self> {
        let text = |name: &str| json.said(name).and_then(Json::text);
        let (candidates, feedback) = (json.said("candidates"), json.said("promptFeedback"));
        let said = json.said("usageMetadata");
        if candidates.or(feedback).or(said).is_none() {
            return None;
        }
        let candidates = candidates.into_iter().flat_map(Json::items).take(CHOICES_MAX).enumerate();
        let candidates: Vec<_> = candidates.map(Candidate::of).collect();
        let reason = feedback.and_then(|feedback| feedback.said("blockReason"));
        Some(Self {
            id: text("responseId"),
            model: text("modelVersion"),
            blocked: candidates.is_empty() && reason.is_some(),
            candidates,
            usage: said.and_then(usage::read),
        })
    }
}

impl<'a> Candidate<'a> {
    fn of((place, json): (usize, Json<'a>)) -> Self {
        let index = json.said("index").and_then(Json::count);
        Self { index: index.unwrap_or(place as u64), json: json.object() }
    }

    /// What it says; `calls` of tools were made before, and count on.
    fn parts(&self, answer: Option<&str>, calls: &mut u64) -> Vec<Content> {
        let parts = self.json.said("content").and_then(|content| content.said("parts"));
        let read = |part: Json<'a>| {
            let part = part.object();
            if let Some(call) = part.said("functionCall") {
                let number = std::mem::replace(calls, *calls + 1);
                return Some(Content::ToolUse(self.call(call, &part, (answer, number))));
            }
            content(&part)
        };
        parts.into_iter().flat_map(Json::items).take(PARTS_MAX).filter_map(read).collect()
    }

    /// A call without an id gets one that no other call of the conversation has.
    fn call(&self, call: Json<'_>, part: &Object<'_>, (answer, number): (Option<&str>, u64)) -> ToolUse {
        let text = |name: &str| call.said(name).and_then(Json::text);
        let made_up = || format!("call_{}_{}_{number}", answer.unwrap_or_default(), self.index);
        let signature = part.said("thoughtSignature").and_then(Json::text);
        let id = text("id").filter(|id| !id.is_empty()).unwrap_or_else(made_up);
        let args = call.said("args").map(|args| String::from_utf8_lossy(args.raw()).into_owned());
        ToolUse {
            id: call_id::join(&id, signature.as_deref()),
            name: text("name").unwrap_or_default(),
            input: args.unwrap_or_else(|| "{}".to_owned()),
        }
    }

    /// Why it ends, if it does.
    fn end(&self, calls_tools: bool) -> Option<End> {
        let reason = self.json.said("finishReason")?.text()?;
        Some(match reason.as_str() {
            "MAX_TOKENS" | "CONTINUATION" => End::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "MODEL_ARMOR"
            | "ESCALATION"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => End::Filtered,
            "" | "FINISH_REASON_UNSPECIFIED" => return None,
            _ if calls_tools => End::ToolUse,
            _ => End::Stop,
        })
    }
}

/// A part that calls no tool; none if it says nothing to the caller, as a signature alone.
fn content(part: &Object<'_>) -> Option<Content> {
    if let Some(blob) = part.said("inlineData") {
        let text = |name: &str| blob.said(name).and_then(Json::text).unwrap_or_default();
        let (media_type, data) = (text("mimeType"), text("data"));
        let is_sound = media_type.starts_with("audio/");
        let source = Source::Data { media_type, data };
        return Some(if is_sound { Content::Audio(source) } else { Content::Image(source) });
    }
    let text = part.said("text")?.text().filter(|text| !text.is_empty())?;
    let is_thought = part.get("thought").is_some_and(|thought| thought.raw() == b"true");
    Some(if is_thought { Content::Thinking { text, signature: None } } else { Content::Text(text) })
}

#[cfg(test)]
mod tests;
