//! Whole answers, between Anthropic's messages and the canonical form.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use steward_answers::json::Json;
use steward_answers::problem::Problem;
use steward_answers::usage;

use super::usage as written_usage;
use crate::canonical::{Answer, Choice, Content, End, Frame, ToolUse, Whole};
use crate::object::Writing;

/// Blocks of one message that are read.
const BLOCKS_MAX: usize = 4_096;

/// Reads a whole body.
pub(super) fn read(body: &[u8]) -> Whole {
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Whole::Unreadable };
    let json = json.object();
    let content = json.get("content").filter(|content| content.is_list());
    if content.is_none() {
        return Problem::instead_of_answer(&json).map_or(Whole::Unreadable, Whole::Problem);
    }
    let parts = content.into_iter().flat_map(Json::items).take(BLOCKS_MAX).filter_map(block).collect();
    let text = |name: &str| json.said(name).and_then(Json::text);
    let end = text("stop_reason").map(|reason| end(&reason, text("stop_sequence")));
    Whole::Answer(Answer {
        id: text("id"),
        model: text("model"),
        choices: vec![Choice { parts, end }],
        usage: usage::of(&json),
    })
}

/// Blocks of kinds that cannot be asked for are passed over.
fn block(block: Json<'_>) -> Option<Content> {
    let text = |name: &str| block.said(name).and_then(Json::text);
    match text("type")?.as_str() {
        "text" => Some(Content::Text(text("text")?)),
        "thinking" => Some(Content::Thinking { text: text("thinking")?, signature: text("signature") }),
        "redacted_thinking" => Some(Content::HiddenThinking(text("data")?)),
        "tool_use" => Some(Content::ToolUse(ToolUse {
            id: text("id")?,
            name: text("name")?,
            input: block.said("input").map_or("{}".into(), |input| String::from_utf8_lossy(input.raw())).into_owned(),
        })),
        _ => None,
    }
}

/// Why a message ends, by Anthropic's word for it.
pub(super) fn end(reason: &str, stopped_at: Option<String>) -> End {
    match (reason, stopped_at) {
        ("max_tokens" | "model_context_window_exceeded", _) => End::Length,
        ("tool_use", _) => End::ToolUse,
        ("stop_sequence", Some(text)) => End::StopText(text),
        ("refusal", _) => End::Refusal,
        ("pause_turn", _) => End::Pause,
        _ => End::Stop,
    }
}

/// Anthropic's word for why a message ends, and the text at which.
pub(super) fn reason(end: &End) -> Value {
    let (reason, text) = match end {
        End::Stop => ("end_turn", None),
        End::StopText(text) => ("stop_sequence", Some(text)),
        End::Length => ("max_tokens", None),
        End::ToolUse => ("tool_use", None),
        End::Filtered | End::Refusal => ("refusal", None),
        End::Pause => ("pause_turn", None),
    };
    json!({ "stop_reason": reason, "stop_sequence": text })
}

/// Writes a whole message: the first answer, since there is no more than one.
pub(super) fn write(answer: &Answer, frame: &Frame) -> Bytes {
    let choice = answer.choices.first();
    let blocks: Vec<Bytes> = choice.into_iter().flat_map(|choice| &choice.parts).filter_map(write_block).collect();
    let ending = reason(choice.and_then(|choice| choice.end.as_ref()).unwrap_or(&End::Stop));
    let mut message = Writing::new()
        .with("id", answer.id.as_ref().unwrap_or(&frame.id))
        .with("type", "message")
        .with("role", "assistant")
        .with("model", answer.model.as_ref().unwrap_or(&frame.model))
        .with_list("content", &blocks)
        .with("stop_reason", &ending["stop_reason"])
        .with("stop_sequence", &ending["stop_sequence"]);
    if let Some(usage) = &answer.usage {
        message = message.with_json("usage", &written_usage::write(usage));
    }
    message.end()
}

fn write_block(content: &Content) -> Option<Bytes> {
    let block = |kind: &str| Writing::new().with("type", kind);
    let writing = match content {
        Content::Text(text) | Content::Refusal(text) => block("text").with("text", text),
        Content::Thinking { text, signature } => {
            block("thinking").with("thinking", text).with("signature", signature.as_deref().unwrap_or_default())
        }
        Content::HiddenThinking(data) => block("redacted_thinking").with("data", data),
        Content::ToolUse(call) => {
            let writing = block("tool_use").with("id", &call.id).with("name", &call.name);
            let input = if call.input.trim().is_empty() { "{}" } else { call.input.trim() };
            match serde_json::from_str::<&RawValue>(input) {
                Ok(input) => writing.with("input", input),
                // What is no JSON is shown as it is, for whoever called the model to say so.
                Err(_) => writing.with("input", &json!({ "invalid": input })),
            }
        }
        // No model answers with these.
        Content::Image(_) | Content::Document(..) | Content::Audio(_) | Content::ToolResult { .. } => return None,
    };
    Some(writing.end())
}
