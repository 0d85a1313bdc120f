//! Whole answers, between chat completions and the canonical form.

use bytes::Bytes;
use serde_json::Value;
use steward_answers::json::Json;
use steward_answers::problem::Problem;
use steward_answers::usage::{self, tier_name};

use super::usage as written_usage;
use crate::canonical::{Answer, Choice, Content, End, Frame, ToolUse, Whole};
use crate::object::Writing;

/// Choices and tool calls of each that are read.
const ITEMS_MAX: usize = 1_024;

/// Reads a whole body.
pub(super) fn read(body: &[u8]) -> Whole {
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Whole::Unreadable };
    let json = json.object();
    let choices = json.get("choices").filter(|choices| !choices.is_nothing());
    if choices.is_none()
        && let Some(problem) = Problem::instead_of_answer(&json)
    {
        return Whole::Problem(problem);
    }
    Whole::Answer(Answer {
        id: json.get("id").and_then(Json::text),
        model: json.get("model").and_then(Json::text),
        choices: choices.into_iter().flat_map(Json::items).take(ITEMS_MAX).map(choice).collect(),
        usage: usage::of(&json),
    })
}

fn choice(choice: Json<'_>) -> Choice {
    let Some(message) = choice.said("message") else { return Choice { parts: Vec::new(), end: end_of(choice) } };
    let text = |name: &str| message.said(name)?.text().filter(|text| !text.is_empty());
    let mut parts = Vec::new();
    if let Some(text) = text("reasoning_content").or_else(|| text("reasoning")) {
        parts.push(Content::Thinking { text, signature: None });
    }
    parts.extend(said(message).map(Content::Text));
    parts.extend(text("refusal").map(Content::Refusal));
    let calls = message.get("tool_calls").into_iter().flat_map(Json::items).take(ITEMS_MAX).enumerate();
    parts.extend(calls.filter_map(|(number, call)| tool_use(number, call)).map(Content::ToolUse));
    Choice { parts, end: end_of(choice) }
}

/// The text of a message, also in parts.
fn said(message: Json<'_>) -> Option<String> {
    let content = message.said("content")?;
    let said = content.text().unwrap_or_else(|| {
        let words = |part: Json<'_>| part.text().or_else(|| part.get("text")?.text());
        content.items().filter_map(words).collect()
    });
    Some(said).filter(|said| !said.is_empty())
}

fn tool_use(number: usize, call: Json<'_>) -> Option<ToolUse> {
    let function = call.said("function")?;
    let text = |of: Json<'_>, name: &str| of.said(name).and_then(Json::text);
    // Some servers write what a tool is given as JSON and not as a text.
    let input = function
        .said("arguments")
        .map(|given| given.text().unwrap_or_else(|| String::from_utf8_lossy(given.raw()).into_owned()));
    Some(ToolUse {
        id: text(call, "id").unwrap_or_else(|| format!("call_{number}")),
        name: text(function, "name").unwrap_or_default(),
        input: input.unwrap_or_default(),
    })
}

fn end_of(choice: Json<'_>) -> Option<End> {
    choice.said("finish_reason").and_then(Json::text).and_then(|reason| end(&reason))
}

/// Why an answer ends, by OpenAI's word for it.
pub(super) fn end(reason: &str) -> Option<End> {
    match reason {
        "" => None,
        "length" => Some(End::Length),
        "tool_calls" | "function_call" => Some(End::ToolUse),
        "content_filter" => Some(End::Filtered),
        _ => Some(End::Stop),
    }
}

/// OpenAI's word for why an answer ends.
pub(super) const fn reason(end: &End) -> &'static str {
    match end {
        End::Stop | End::StopText(_) | End::Pause => "stop",
        End::Length => "length",
        End::ToolUse => "tool_calls",
        End::Filtered | End::Refusal => "content_filter",
    }
}

/// Writes a whole answer.
pub(super) fn write(answer: &Answer, frame: &Frame) -> Bytes {
    let choices: Vec<Bytes> =
        answer.choices.iter().enumerate().map(|(index, choice)| write_choice(index, choice)).collect();
    let mut whole = Writing::new()
        .with("id", answer.id.as_ref().unwrap_or(&frame.id))
        .with("object", "chat.completion")
        .with("created", &frame.created)
        .with("model", answer.model.as_ref().unwrap_or(&frame.model))
        .with_list("choices", &choices);
    if let Some(usage) = &answer.usage {
        whole = whole
            .with_json("usage", &written_usage::write(usage))
            .perhaps("service_tier", tier_name(usage.tokens.tier));
    }
    whole.end()
}

fn write_choice(index: usize, choice: &Choice) -> Bytes {
    let (mut said, mut refusal, mut thought) = (String::new(), String::new(), String::new());
    let (mut blocks, mut calls) = (Vec::new(), Vec::new());
    for part in &choice.parts {
        match part {
            Content::Text(text) => said.push_str(text),
            Content::Refusal(text) => refusal.push_str(text),
            Content::Thinking { text, signature } => {
                thought.push_str(text);
                blocks.extend(signature.as_ref().map(|signature| signed(text, signature)));
            }
            Content::HiddenThinking(data) => blocks.push(hidden(data)),
            Content::ToolUse(call) => {
                let function = Writing::new().with("name", &call.name).with("arguments", &call.input).end();
                let call = Writing::new().with("id", &call.id).with("type", "function");
                calls.push(call.with_json("function", &function).end());
            }
            // No model answers with these.
            Content::Image(_) | Content::Document(..) | Content::Audio(_) | Content::ToolResult { .. } => {}
        }
    }
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut message = Writing::new()
        .with("role", "assistant")
        .with("content", &some(said))
        .with("refusal", &some(refusal))
        .perhaps("reasoning_content", some(thought).as_ref());
    if !blocks.is_empty() {
        message = message.with_list("thinking_blocks", &blocks);
    }
    if !calls.is_empty() {
        message = message.with_list("tool_calls", &calls);
    }
    Writing::new()
        .with("index", &index)
        .with_json("message", &message.end())
        .with("logprobs", &Value::Null)
        .with("finish_reason", choice.end.as_ref().map_or("stop", reason))
        .end()
}

/// What the model thought and its provider signed: a caller that sends it back lets the model go on with it.
pub(super) fn signed(text: &str, signature: &str) -> Bytes {
    Writing::new().with("type", "thinking").with("thinking", text).with("signature", signature).end()
}

/// The same, as only the provider can read it.
pub(super) fn hidden(data: &str) -> Bytes {
    Writing::new().with("type", "redacted_thinking").with("data", data).end()
}
