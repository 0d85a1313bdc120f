//! Sends a query to a read model as the caller.

use axum::response::Response;
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use steward_queries::QuerySpec;

use super::caller::ManagementCaller;
use crate::error::Error;

/// Sends the query `spec` with `body`.
pub(super) async fn send(
    caller: &ManagementCaller<'_>,
    spec: &'static QuerySpec,
    body: Bytes,
) -> Result<Response, Error> {
    caller.check(spec.permission())?;
    let request = caller.request((spec.view, spec.verb), caller.command_id()?, caller.format, body)?;
    let answer = caller.management.bus.query(request).await?.map_err(Error::Decided)?;
    Ok(caller.respond(answer))
}

/// Asks a query of a face's own making as the caller.
pub(in crate::face) async fn ask<T: DeserializeOwned>(
    caller: &ManagementCaller<'_>,
    (view, verb): (&str, &str),
    query: &impl Serialize,
) -> Result<T, Error> {
    let format = caller.format;
    let body = format.write(query).map_err(|error| Error::unavailable(error.to_string()))?;
    let request = caller.request((view, verb), caller.command_id()?, format, body.into())?;
    let answer = caller.management.bus.query(request).await?.map_err(Error::Decided)?;
    format.read(&answer).map_err(Error::unavailable)
}

/// The query in a URL as a body: lists by repetition or commas, numbers as numbers, objects as JSON. What the query does
/// not have, or is no JSON, is passed on, to be refused by name.
pub(super) fn from_url(spec: &QuerySpec, fields: Vec<(String, String)>) -> Bytes {
    let schema = schema(spec);
    let property = |name: &str| schema.pointer(&format!("/properties/{name}"));
    let is = |name: &str, kind: &str| property(name).is_some_and(|property| has_type(property, kind));
    let mut query = Map::new();
    for (name, text) in fields {
        if property(&name).is_some_and(is_of_objects) {
            query.insert(name, serde_json::from_str(&text).unwrap_or(Value::String(text)));
        } else if is(&name, "array") {
            let items = text.split(',').filter(|item| !item.is_empty()).map(|item| Value::String(item.to_owned()));
            match query.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(list) => list.extend(items),
                other => *other = Value::Array(items.collect()),
            }
        } else {
            let number = if is(&name, "integer") { text.parse::<u64>().ok().map(Value::from) } else { None };
            query.insert(name, number.unwrap_or(Value::String(text)));
        }
    }
    Bytes::from(Value::Object(query).to_string())
}

/// What the query holds, every type in its place.
fn schema(spec: &QuerySpec) -> Value {
    let mut generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    (spec.query)(&mut generator).to_value()
}

/// The names of the fields that stand in a URL as JSON.
pub(super) fn as_json(spec: &QuerySpec) -> Vec<String> {
    let schema = schema(spec);
    let properties = schema.get("properties").and_then(Value::as_object);
    let of_objects = properties.into_iter().flatten().filter(|(_, property)| is_of_objects(property));
    of_objects.map(|(name, _)| name.clone()).collect()
}

fn is_of_objects(property: &Value) -> bool {
    has_type(property, "object") || property.get("items").is_some_and(|item| has_type(item, "object"))
}

/// True if `schema` says that it is, or may be, of this type.
fn has_type(schema: &Value, kind: &str) -> bool {
    let said = match schema.get("type") {
        Some(Value::String(said)) => said == kind,
        Some(Value::Array(said)) => said.iter().any(|said| said == kind),
        _ => false,
    };
    let any_of = schema.get("anyOf").and_then(Value::as_array);
    said || any_of.is_some_and(|options| options.iter().any(|option| has_type(option, kind)))
}

#[cfg(test)]
mod tests {

    use super::*;

    fn read(view: &str, verb: &str, fields: &[(&str, &str)]) -> String {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        String::from_utf8(from_url(steward_queries::find(view, verb).unwrap(), fields).to_vec()).unwrap()
    }

    #[test]
    fn fields_become_the_querys_types() {
        let fields = [("by", "key,model"), ("by", "day"), ("since", "2026-11-23"), ("min_position", "7")];
        let expected = r#"{"by":["key","model","day"],"since":"2026-11-23","min_position":7}"#;
        assert_eq!(read("cost", "report", &fields), expected);
        assert_eq!(read("history", "replay", &[("last", "3"), ("after", "9")]), r#"{"last":3,"after":9}"#);
        let changes = r#"[{"command":"grant.revoke","body":{}}]"#;
        assert_eq!(read("access", "simulate", &[("changes", changes)]), format!(r#"{{"changes":{changes}}}"#));
        assert_eq!(read("access", "simulate", &[("changes", "no JSON")]), r#"{"changes":"no JSON"}"#);
        assert_eq!(read("task", "list", &[("colour", "1")]), r#"{"colour":"1"}"#, "left to be refused by name");
    }
}
