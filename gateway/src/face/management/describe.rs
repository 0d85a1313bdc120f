//! The paths of commands and queries, made from their tables.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use steward_events::command::{Audience, COMMANDS};
use steward_events::request::Reply;

use super::watch_flags::{WAIT_MAX, Watched};
use super::{issue_key, query};
use crate::documents::refusals::responses;

/// All of them.
pub(super) fn paths(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut paths = Map::new();
    for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers) {
        let mut body = (spec.schema)(generator).to_value();
        if issue_key::names_new_key(spec).is_some()
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
        if (spec.noun, spec.verb) == ("tenant", "create") {
            let content = json!({ "application/json": { "schema": reply } });
            operation["responses"]["202"] = json!({ "description": "Taken; it opens soon", "content": content });
        }
        let path = format!("/api/v1/tenants/{{tenant}}/{}:{}", spec.collection(), spec.verb);
        paths.insert(path, json!({ "post": operation }));
    }
    for spec in steward_queries::for_callers() {
        let body_schema = (spec.query)(generator).to_value();
        let answer = (spec.answer)(generator).to_value();
        let mut post = operation(spec.view, spec.verb, spec.help, &body_schema, &answer);
        post["parameters"] = json!([tenant()]);
        let mut get = post.clone();
        get["operationId"] = json!(format!("{}.{}.get", spec.view, spec.verb));
        get["parameters"] =
            Value::Array(std::iter::once(tenant()).chain(in_url(&body_schema, &query::as_json(spec))).collect());
        if let Some(get) = get.as_object_mut() {
            get.remove("requestBody");
        }
        let path = format!("/api/v1/tenants/{{tenant}}/{}:{}", spec.view, spec.verb);
        paths.insert(path, json!({ "post": post, "get": get }));
    }
    paths.insert("/api/v1/tenants/{tenant}/flags/watch".to_owned(), json!({ "get": watch_flags(generator) }));
    paths
}

/// The one path that is of no table: it waits.
fn watch_flags(generator: &mut SchemaGenerator) -> Value {
    let answer = generator.subschema_for::<Watched>().to_value();
    let help = "The caller's feature flags, as soon as they are others than it has seen";
    let mut get = operation("flag", "read", help, &json!({}), &answer);
    get["operationId"] = json!("flag.watch");
    let after = json!({
        "name": "after", "in": "query", "required": false, "schema": { "type": "string" },
        "description": "`version` of the answer before; answered at once without it.",
    });
    let wait = json!({
        "name": "wait_s", "in": "query", "required": false,
        "schema": { "type": "integer", "minimum": 0, "maximum": WAIT_MAX, "default": 25 },
        "description": "How many seconds to wait for a change; then the flags come as they are.",
    });
    get["parameters"] = json!([tenant(), after, wait]);
    if let Some(get) = get.as_object_mut() {
        get.remove("requestBody");
    }
    get
}

fn tenant() -> Value {
    json!({ "name": "tenant", "in": "path", "required": true, "schema": { "type": "string" } })
}

fn operation(noun: &str, verb: &str, help: &str, body: &Value, answer: &Value) -> Value {
    let mut responses = responses("application/problem+json", &json!({ "$ref": "#/components/schemas/Problem" }));
    let content = json!({ "application/json": { "schema": answer } });
    responses.insert("200".to_owned(), json!({ "description": "As asked", "content": content }));
    json!({
        "operationId": format!("{noun}.{verb}"),
        "summary": help,
        "description": format!("Needs the permission `{noun}:{verb}`."),
        "tags": [noun],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": responses,
    })
}

/// A query's fields as parameters; those of `as_json` hold JSON.
fn in_url(query: &Value, as_json: &[String]) -> Vec<Value> {
    let required = query.get("required").and_then(Value::as_array);
    let properties = query.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| {
        let required = required.is_some_and(|required| required.iter().any(|field| field == name));
        let mut parameter = json!({ "name": name, "in": "query", "required": required });
        if as_json.contains(name) {
            parameter["content"] = json!({ "application/json": { "schema": schema } });
        } else {
            parameter["schema"] = schema.clone();
        }
        parameter
    };
    properties.into_iter().flatten().map(parameter).collect()
}
