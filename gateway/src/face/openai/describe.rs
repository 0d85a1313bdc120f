//! The paths of models, in OpenAI's own shapes.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::documents::refusals::responses;

/// All of them.
pub(super) fn paths(_: &mut SchemaGenerator) -> Map<String, Value> {
    let compatible = |summary: &str| {
        let mut responses = responses("application/json", &refusal());
        responses.insert("200".to_owned(), json!({ "description": "As OpenAI's API answers" }));
        json!({
            "summary": summary,
            "tags": ["model"],
            "externalDocs": { "url": "https://platform.openai.com/docs/api-reference" },
            "responses": responses,
        })
    };
    let mut chat = compatible("Call a model, streaming or not");
    chat["responses"]["4XX"] = json!({ "description": "The provider's own refusal" });
    chat["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["model", "messages"], "additionalProperties": true,
        "properties": { "model": { "type": "string" }, "messages": { "type": "array", "items": { "type": "object" } } },
    } } } });
    let mut response = compatible("Make a response, streaming or not");
    response["responses"]["4XX"] = json!({ "description": "The provider's own refusal" });
    response["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["model"], "additionalProperties": true,
        "properties": { "model": { "type": "string" }, "input": { "type": ["string", "array"], "items": { "type": "object" } } },
    } } } });
    let mut one = compatible("One model that this key may call");
    one["parameters"] = json!([{ "name": "model", "in": "path", "required": true, "schema": { "type": "string" } }]);
    [
        ("/v1/chat/completions", json!({ "post": chat })),
        ("/v1/responses", json!({ "post": response })),
        ("/v1/models", json!({ "get": compatible("The models that this key may call") })),
        ("/v1/models/{model}", json!({ "get": one })),
    ]
    .into_iter()
    .map(|(path, item)| (path.to_owned(), item))
    .collect()
}

fn refusal() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": { "message": { "type": "string" }, "type": { "type": "string" }, "param": text, "code": text },
        } },
    })
}
