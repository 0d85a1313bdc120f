//! `/openapi.json`: OpenAPI 3.1, of all faces.

use serde_json::{Map, Value, json};
use steward_events::rejection::Rejection;

use super::{generator, info};
use crate::face;

/// The whole document.
pub fn openapi() -> Value {
    let mut generator = generator();
    let mut paths = Map::new();
    for face in face::ALL {
        paths.extend((face.describe)(&mut generator));
    }
    generator.subschema_for::<Rejection>();
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "paths": paths,
        "security": [{ "key": [] }, { "apiKey": [] }, { "xApiKey": [] }],
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "An API key: stw_<tenant>_…" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "api-key", "description": "The same key" },
                "xApiKey": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key" },
            },
            "schemas": schemas,
        },
    })
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

#[cfg(test)]
mod tests {
    use steward_events::command::{Audience, COMMANDS};

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
        let of_models = paths.keys().filter(|path| !path.starts_with("/api/")).count();
        // Beside the rows there is a look at flags that waits.
        assert!(paths.contains_key("/api/v1/tenants/{tenant}/flags/watch"));
        assert_eq!(paths.len() - of_models, callers + steward_queries::for_callers().count() + 1);
        assert!(paths.contains_key("/v1/embeddings") && paths.contains_key("/v1/models/{model}"));
        assert!(paths.contains_key("/openai/deployments/{model}/chat/completions"));
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
