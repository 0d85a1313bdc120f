//! Bedrock's answers in canonical form. In a stream what was used comes after the reason for the end, and last.

use std::collections::BTreeMap;

use bytes::Bytes;
use steward_answers::json::{Json, Object};
use steward_answers::problem::Problem;

use super::super::canonical::{Answer, Choice, Content, Delta, End, ReadsStream, ToolUse, Whole};
use super::usage;

/// Blocks of one answer that are read.
const BLOCKS_MAX: usize = 4_096;

/// Reads a whole answer.
pub(super) fn whole(body: &[u8]) -> Whole {
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Whole::Unreadable };
    let json = json.object();
    if let Some(problem) = Problem::instead_of_answer(&json) {
        return Whole::Problem(problem);
    }
    let Some(message) = json.said("output").and_then(|output| output.said("message")) else { return Whole::Unreadable };
    let blocks = message.said("content").into_iter().flat_map(Json::items).take(BLOCKS_MAX);
    let parts = blocks.filter_map(content).collect();
    let end = json.said("stopReason").and_then(Json::text).map(|reason| end(&reason));
    Whole::Answer(Answer { id: None, model: None, choices: vec![Choice { parts, end }], usage: usage::of(&json) })
}

/// A block; none if it says nothing that callers can be told, e.g. where a citation is from.
fn content(block: Json<'_>) -> Option<Content> {
    let block = block.object();
    let text = |json: Json<'_>, name: &str| json.said(name).and_then(Json::text);
    if let Some(said) = block.said("text").and_then(Json::text) {
        return Some(Content::Text(said));
    }
    if let Some(call) = block.said("toolUse") {
        let input = call.said("input").map(|input| String::from_utf8_lossy(input.raw()).into_owned());
        return Some(Content::ToolUse(ToolUse {
            id: text(call, "toolUseId").unwrap_or_default(),
            name: text(call, "name").unwrap_or_default(),
            input: input.unwrap_or_else(|| "{}".to_owned()),
        }));
    }
    if let Some(cited) = block.said("citationsContent") {
        let pieces = cited.said("content").into_iter().flat_map(Json::items);
        return Some(Content::Text(pieces.filter_map(|piece| text(piece, "text")).collect()));
    }
    let reasoning = block.said("reasoningContent")?;
    match reasoning.said("reasoningText") {
        Some(said) => {
            Some(Content::Thinking { text: text(said, "text").unwrap_or_default(), signature: text(said, "signature") })
        }
        None => text(reasoning, "redactedContent").map(Content::HiddenThinking),
    }
}

fn end(reason: &str) -> End {
    match reason {
        "tool_use" => End::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => End::Length,
        "guardrail_intervened" | "content_filtered" => End::Filtered,
        "refusal" => End::Refusal,
        _ => End::Stop,
    }
}

/// Reads a stream.
#[derive(Default)]
pub(super) struct Reader {
    /// The calls of tools, by the number of their block.
    calls: BTreeMap<u64, Call>,
    has_ended: bool,
}

#[derive(Clone, Copy)]
struct Call {
    number: u64,
    has_input: bool,
}

impl ReadsStream for Reader {
    fn read(&mut self, data: &Bytes) -> Vec<Delta> {
        let Some(json) = Json::read(data).filter(|json| json.is_object()) else { return vec![Delta::Unreadable] };
        let Some((name, said)) = json.fields().next() else { return vec![Delta::Unreadable] };
        let Some(kind) = name.text() else { return vec![Delta::Unreadable] };
        let said = said.object();
        match kind.as_str() {
            "messageStart" => vec![Delta::Begins { id: None, model: None }],
            "contentBlockStart" => self.begins(&said),
            "contentBlockDelta" => self.more(&said),
            "contentBlockStop" => self.stops(&said),
            "messageStop" => {
                self.has_ended = true;
                let reason = said.said("stopReason").and_then(Json::text);
                vec![Delta::Ends(0, reason.map_or(End::Stop, |reason| end(&reason)))]
            }
            "metadata" => usage::of(&said).map(Delta::Usage).into_iter().collect(),
            failed if failed.ends_with("Exception") || failed == "error" => vec![Delta::Failed(problem(failed, &said))],
            // One that came later than this was written.
            _ => Vec::new(),
        }
    }

    fn end(&mut self) -> Vec<Delta> {
        if self.has_ended { vec![Delta::Done] } else { Vec::new() }
    }
}

impl Reader {
    fn begins(&mut self, said: &Object<'_>) -> Vec<Delta> {
        let Some(call) = said.said("start").and_then(|start| start.said("toolUse")) else { return Vec::new() };
        if self.calls.len() >= BLOCKS_MAX {
            return vec![Delta::Unreadable];
        }
        let number = self.calls.len() as u64;
        self.calls.insert(block(said), Call { number, has_input: false });
        let text = |name: &str| call.said(name).and_then(Json::text).unwrap_or_default();
        vec![Delta::ToolBegins { choice: 0, number, id: text("toolUseId"), name: text("name") }]
    }

    fn more(&mut self, said: &Object<'_>) -> Vec<Delta> {
        let Some(delta) = said.said("delta").map(Json::object) else { return vec![Delta::Unreadable] };
        if let Some(text) = delta.said("text").and_then(Json::text) {
            return vec![Delta::Text(0, text)];
        }
        if let Some(input) = delta.said("toolUse").and_then(|call| call.said("input")) {
            let Some(call) = self.calls.get_mut(&block(said)) else { return vec![Delta::Unreadable] };
            let text = input.text().unwrap_or_default();
            call.has_input |= !text.is_empty();
            return vec![Delta::ToolInput { choice: 0, number: call.number, text }];
        }
        let Some(reasoning) = delta.said("reasoningContent").map(Json::object) else { return Vec::new() };
        let text = |name: &str| reasoning.said(name).and_then(Json::text);
        let thought = text("text").map(|text| Delta::Thinking(0, text));
        let signed = text("signature").map(|signature| Delta::Signature(0, signature));
        let hidden = text("redactedContent").map(|data| Delta::HiddenThinking(0, data));
        thought.into_iter().chain(signed).chain(hidden).collect()
    }

    /// A call of a tool that takes nothing says nothing, where callers want an object.
    fn stops(&mut self, said: &Object<'_>) -> Vec<Delta> {
        match self.calls.get(&block(said)) {
            Some(Call { number, has_input: false }) => {
                vec![Delta::ToolInput { choice: 0, number: *number, text: "{}".to_owned() }]
            }
            _ => Vec::new(),
        }
    }
}

fn block(said: &Object<'_>) -> u64 {
    said.said("contentBlockIndex").and_then(Json::count).unwrap_or(0)
}

fn problem(kind: &str, said: &Object<'_>) -> Problem {
    let text = |name: &str| said.said(name).and_then(Json::text);
    let status = match kind {
        "throttlingException" => Some(429),
        "validationException" => Some(400),
        "serviceUnavailableException" => Some(503),
        "modelStreamErrorException" => Some(424),
        _ => None,
    };
    Problem {
        message: text("message").or_else(|| text("originalMessage")),
        code: text("code").or_else(|| Some(kind.to_owned())),
        status,
        ..Problem::default()
    }
}

#[cfg(test)]
mod tests;
