//! `/openapi.json`: OpenAPI 3.1, made from the tables.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use steward_events::command::{Audience, COMMANDS};
use steward_events::query::QUERIES;
use steward_events::rejection::Rejection;
use steward_events::request::Reply;

/// The whole document.
pub fn openapi() -> Value {
    let mut generator = generator();
    let mut paths = Map::new();
    for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers) {
        let mut body = (spec.schema)(&mut generator).to_value();
        if (spec.noun, spec.verb) == ("key", "issue")
            && let Some(required) = body.get_mut("required").and_then(Value::as_array_mut)
        {
            // Over HTTP the secret is made by the gateway.
            required.retain(|field| field != "hash");
        }
        let reply = generator.subschema_for::<Reply>().to_value();
        let mut operation = operation(spec.noun, spec.verb, spec.help, &body, &reply);
        let idempotency = json!({
            "name": "Idempotency-Key", "in": "header", "schema": { "type": "string" },
            "description": "The command's id: the same is decided once.",
        });
        operation["parameters"] = json!([tenant(), idempotency]);
        paths.insert(format!("/api/v1/tenants/{{tenant}}/{}s:{}", spec.noun, spec.verb), json!({ "post": operation }));
    }
    for spec in QUERIES {
        let question = (spec.question)(&mut generator).to_value();
        let answer = (spec.answer)(&mut generator).to_value();
        let mut post = operation(spec.view, spec.verb, spec.help, &question, &answer);
        post["parameters"] = json!([tenant()]);
        let mut get = post.clone();
        get["operationId"] = json!(format!("{}.{}.get", spec.view, spec.verb));
        get["parameters"] = Value::Array(std::iter::once(tenant()).chain(in_url(&question)).collect());
        if let Some(get) = get.as_object_mut() {
            get.remove("requestBody");
        }
        let path = format!("/api/v1/tenants/{{tenant}}/{}:{}", spec.view, spec.verb);
        paths.insert(path, json!({ "post": post, "get": get }));
    }
    paths.extend(model_paths());
    generator.subschema_for::<Rejection>();
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": super::info(),
        "paths": paths,
        "security": [{ "key": [] }],
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "An API key: stw_<tenant>_…" } },
            "schemas": schemas,
        },
    })
}

/// Makes schemas that refer to each other within such a document.
pub(super) fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

fn tenant() -> Value {
    json!({ "name": "tenant", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn operation(noun: &str, verb: &str, help: &str, body: &Value, answer: &Value) -> Value {
    json!({
        "operationId": format!("{noun}.{verb}"),
        "summary": help,
        "description": format!("Needs the permission `{noun}:{verb}`."),
        "tags": [noun],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": {
            "200": { "description": "As asked", "content": { "application/json": { "schema": answer } } },
            "default": {
                "description": "Why not",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    })
}

/// A question's fields as parameters.
fn in_url(question: &Value) -> Vec<Value> {
    let required = question.get("required").and_then(Value::as_array);
    let properties = question.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| {
        let required = required.is_some_and(|required| required.iter().any(|field| field == name));
        json!({ "name": name, "in": "query", "required": required, "schema": schema })
    };
    properties.into_iter().flatten().map(parameter).collect()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "detail", "instance", "code"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "instance": { "type": "string" },
            "code": { "type": "string" },
            "param": { "type": "string" },
            "rejection": { "$ref": "#/components/schemas/Rejection" },
        },
    })
}

/// What is not in the tables: models, in OpenAI's own shapes.
fn model_paths() -> Map<String, Value> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in `value`.
    pub(crate) fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_row_is_in_it_and_every_reference_leads_somewhere() {
        let document = openapi();
        let paths = document["paths"].as_object().unwrap();
        let callers = COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers).count();
        assert_eq!(paths.len(), callers + QUERIES.len() + 3);
        assert!(!paths.keys().any(|path| path.contains("/leases:")), "what is for parts of Steward is in no API");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_key_needs_no_hash_over_http() {
        let document = openapi();
        let issue = &document["paths"]["/api/v1/tenants/{tenant}/keys:issue"]["post"];
        let schema = &issue["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(schema["required"], json!(["principal"]));
    }
}
