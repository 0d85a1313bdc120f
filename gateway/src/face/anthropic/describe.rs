//! The paths of messages, in Anthropic's own shapes.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::documents::refusals::responses;

/// All of them.
pub(super) fn paths(_: &mut SchemaGenerator) -> Map<String, Value> {
    let compatible = |summary: &str, required: &[&str]| {
        let mut responses = responses("application/json", &refusal());
        responses.insert("200".to_owned(), json!({ "description": "As Anthropic's API answers" }));
        json!({ "post": {
            "summary": summary,
            "tags": ["model"],
            "externalDocs": { "url": "https://platform.claude.com/docs/en/api/messages" },
            "responses": responses,
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object", "required": required, "additionalProperties": true,
                "properties": {
                    "model": { "type": "string" },
                    "max_tokens": { "type": "integer", "minimum": 1 },
                    "messages": { "type": "array", "items": { "type": "object" } },
                },
            } } } },
        } })
    };
    let mut messages = compatible("Call a model, streaming or not", &["model", "max_tokens", "messages"]);
    messages["post"]["responses"]["4XX"] = json!({ "description": "The provider's own refusal" });
    let count = compatible("About how many tokens a message has as input", &["model", "messages"]);
    [("/v1/messages", messages), ("/v1/messages/count_tokens", count)]
        .into_iter()
        .map(|(path, item)| (path.to_owned(), item))
        .collect()
}

fn refusal() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": { "const": "error" },
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": { "type": { "type": "string" }, "message": { "type": "string" }, "code": text, "param": text },
            },
            "request_id": { "type": "string" },
        },
    })
}
