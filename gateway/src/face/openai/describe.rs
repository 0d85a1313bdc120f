//! The paths of models, in OpenAI's own shapes.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::calls::{CALLS, ModelCall};
use crate::documents::refusals::responses;

/// All of them.
pub(super) fn paths(_: &mut SchemaGenerator) -> Map<String, Value> {
    below("/v1")
}

/// All of them, below `root`.
pub(super) fn below(root: &str) -> Map<String, Value> {
    let mut one = compatible("One model that this key may call");
    one["parameters"] = named_in_path("model");
    let mut paths: Map<String, Value> =
        CALLS.iter().map(|call| (format!("{root}{}", call.path), json!({ "post": called(call, true) }))).collect();
    let counted = format!("{root}/responses/input_tokens");
    paths.insert(counted, json!({ "post": named_model("How many tokens a response would read", &["model"]) }));
    paths.extend(kept_responses(root));
    paths.extend(kept_files(root));
    paths.insert(format!("{root}/models"), models());
    paths.insert(format!("{root}/models/{{model}}"), json!({ "get": one }));
    paths
}

/// The paths of responses that are kept here.
fn kept_responses(root: &str) -> Map<String, Value> {
    let item = |method: &str, summary: &str| {
        let mut one = compatible(summary);
        one["parameters"] = named_in_path("response");
        (method.to_owned(), one)
    };
    let at = |path: &str, items: Vec<(String, Value)>| {
        (format!("{root}/responses/{{response}}{path}"), Value::from_iter(items))
    };
    Map::from_iter([
        at("", vec![item("get", "A response that is kept here, as it stands"), item("delete", "Forget a response")]),
        at("/cancel", vec![item("post", "Stop a response that is made in the background")]),
        at("/input_items", vec![item("get", "What a response answered, item by item")]),
    ])
}

/// Files, and the batches of calls that stand in them.
fn kept_files(root: &str) -> [(String, Value); 6] {
    let named = |name: &str, summary: &str| {
        let mut item = compatible(summary);
        item["parameters"] = named_in_path(name);
        item
    };
    [
        (format!("{root}/files"), json!({ "get": compatible("The files kept here"), "post": upload() })),
        (
            format!("{root}/files/{{file}}"),
            json!({ "get": named("file", "One file"), "delete": named("file", "Remove a file and what it holds") }),
        ),
        (format!("{root}/files/{{file}}/content"), json!({ "get": named("file", "What a file holds") })),
        (format!("{root}/batches"), json!({ "get": compatible("The batches"), "post": batch() })),
        (format!("{root}/batches/{{batch}}"), json!({ "get": named("batch", "One batch, and how far it is") })),
        (format!("{root}/batches/{{batch}}/cancel"), json!({ "post": named("batch", "Cancel a batch") })),
    ]
}

fn upload() -> Value {
    let mut item = compatible("Keep a file for a while");
    let purpose = json!({ "type": "string", "enum": ["batch", "user_data", "assistants"] });
    item["requestBody"] = json!({ "required": true, "content": { "multipart/form-data": { "schema": {
        "type": "object", "required": ["file", "purpose"],
        "properties": {
            "file": { "type": "string", "format": "binary" },
            "purpose": purpose,
            "expires_after[anchor]": { "type": "string", "enum": ["created_at"] },
            "expires_after[seconds]": { "type": "integer" },
        },
    } } } });
    item
}

fn batch() -> Value {
    let mut item = compatible("Have the calls in a file made within a day");
    let text = json!({ "type": "string" });
    item["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["input_file_id", "endpoint", "completion_window"],
        "additionalProperties": false,
        "properties": {
            "input_file_id": text,
            "endpoint": { "type": "string", "enum": [
                "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses",
            ] },
            "completion_window": { "type": "string", "enum": ["24h"] },
            "metadata": { "type": "object", "additionalProperties": text },
            "output_expires_after": { "type": "object", "properties": {
                "anchor": { "type": "string", "enum": ["created_at"] }, "seconds": { "type": "integer" },
            } },
        },
    } } } });
    item
}

/// The list of models.
pub(super) fn models() -> Value {
    json!({ "get": compatible("The models that this key may call") })
}

/// A call of the model that the path names.
pub(super) fn deployed(call: &ModelCall) -> Value {
    let mut item = called(call, false);
    item["parameters"] = named_in_path("model");
    json!({ "post": item })
}

fn called(call: &ModelCall, names_model: bool) -> Value {
    let required = if names_model { vec!["model", call.required] } else { vec![call.required] };
    let mut item = named_model(call.summary, &required);
    item["responses"]["4XX"] = json!({ "description": "The provider's own refusal" });
    item
}

fn named_model(summary: &str, required: &[&str]) -> Value {
    let mut item = compatible(summary);
    item["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": required, "additionalProperties": true,
        "properties": { "model": { "type": "string" } },
    } } } });
    item
}

fn compatible(summary: &str) -> Value {
    let mut responses = responses("application/json", &refusal());
    responses.insert("200".to_owned(), json!({ "description": "As OpenAI's API answers" }));
    json!({
        "summary": summary,
        "tags": ["model"],
        "externalDocs": { "url": "https://platform.openai.com/docs/api-reference" },
        "responses": responses,
    })
}

fn named_in_path(name: &str) -> Value {
    json!([{ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }])
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
