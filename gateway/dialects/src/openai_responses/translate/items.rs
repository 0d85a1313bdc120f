//! The shapes of a response and of the items in it, whole or piece by piece.

use serde_json::{Value, json};
use steward_answers::usage::Usage;

use super::usage;
use crate::canonical::{End, Frame};

/// Characters of a provider's id that are kept.
const ID_CHARS_MAX: usize = 80;

/// What a response says of itself from its beginning on.
#[derive(Clone, Debug)]
pub(super) struct Head {
    id: String,
    model: String,
    created_at: u64,
}

impl Head {
    /// In the provider's words where it has any.
    pub(super) fn of(frame: &Frame, id: Option<&str>, model: Option<&str>) -> Self {
        let id: String = id.unwrap_or(&frame.id).chars().take(ID_CHARS_MAX).collect();
        let id = if id.starts_with("resp_") { id } else { format!("resp_{id}") };
        Self { id, model: model.unwrap_or(&frame.model).to_owned(), created_at: frame.created }
    }

    /// The response while it is made.
    pub(super) fn begun(&self) -> Value {
        self.response("in_progress", None, &[], None)
    }

    /// The response that ended so. Nothing of it is kept here.
    pub(super) fn ended(&self, end: Option<&End>, output: &[Value], usage: Option<&Usage>) -> Value {
        self.response(status(end), cut_short(end), output, usage)
    }

    fn response(&self, status: &str, cut_short: Option<&str>, output: &[Value], usage: Option<&Usage>) -> Value {
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": cut_short.map(|reason| json!({ "reason": reason })),
            "model": self.model,
            "output": output,
            "previous_response_id": null,
            "service_tier": usage::tier(usage),
            "store": false,
            "usage": usage::write(usage),
        })
    }
}

/// How a response, or its last item, ended.
pub(super) fn status(end: Option<&End>) -> &'static str {
    if cut_short(end).is_some() { "incomplete" } else { "completed" }
}

fn cut_short(end: Option<&End>) -> Option<&'static str> {
    match end {
        Some(End::Length) => Some("max_output_tokens"),
        Some(End::Filtered) => Some("content_filter"),
        Some(End::Stop | End::StopText(_) | End::ToolUse | End::Refusal | End::Pause) | None => None,
    }
}

/// A message.
pub(super) fn message(id: &str, status: &str, content: &[Value]) -> Value {
    json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
}

/// A part of a message: text.
pub(super) fn text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [] })
}

/// A part of a message: why there is no answer.
pub(super) fn refusal(text: &str) -> Value {
    json!({ "type": "refusal", "refusal": text })
}

/// A call of a function.
pub(super) fn call(id: &str, status: &str, (call_id, name): (&str, &str), arguments: &str) -> Value {
    json!({
        "id": id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    })
}
