//! The paths of models, in OpenAI's own shapes.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

/// All of them.
pub(super) fn paths(_: &mut SchemaGenerator) -> Map<String, Value> {
    let compatible = |summary: &str| {
        json!({
            "summary": summary,
            "tags": ["model"],
            "externalDocs": { "url": "https://platform.openai.com/docs/api-reference" },
            "responses": { "200": { "description": "As OpenAI's API answers" } },
        })
    };
    let mut chat = compatible("Call a model, streaming or not");
    chat["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["model", "messages"], "additionalProperties": true,
        "properties": { "model": { "type": "string" }, "messages": { "type": "array", "items": { "type": "object" } } },
    } } } });
    let mut one = compatible("One model that this key may call");
    one["parameters"] = json!([{ "name": "model", "in": "path", "required": true, "schema": { "type": "string" } }]);
    [
        ("/v1/chat/completions", json!({ "post": chat })),
        ("/v1/models", json!({ "get": compatible("The models that this key may call") })),
        ("/v1/models/{model}", json!({ "get": one })),
    ]
    .into_iter()
    .map(|(path, item)| (path.to_owned(), item))
    .collect()
}
