//! The refusals of each operation in the OpenAPI document: every status that can come, with what it means.

use serde_json::{Map, Value, json};

/// What each status means, whatever the face.
const REFUSALS: &[(u16, &str)] = &[
    (400, "Something in the request is wrong; `param` names it"),
    (401, "No API key, or one that is wrong, expired or revoked"),
    (402, "A budget is used up"),
    (403, "The permission is lacking, or the tenant is suspended"),
    (404, "There is no such thing, or none that this key may see"),
    (405, "The path takes another method"),
    (408, "The request did not come in time"),
    (409, "The state is another than the request takes it to be"),
    (413, "The request is too large"),
    (415, "The body is in an encoding that is not taken"),
    (422, "The same id was used for another request"),
    (429, "Too many requests; `retry-after` says when to come back"),
    (502, "The provider failed; what it may have billed is booked"),
    (503, "Not now; `retry-after` says when to come back"),
    (504, "It is not known whether it was done: ask again with the same id, or look"),
];

/// All of them as OpenAPI's `responses`, each with a body of `schema`.
pub(crate) fn responses(content_type: &str, schema: &Value) -> Map<String, Value> {
    let described = |&(status, meaning): &(u16, &str)| {
        let content = json!({ content_type: { "schema": schema } });
        (status.to_string(), json!({ "description": meaning, "content": content }))
    };
    REFUSALS.iter().map(described).collect()
}
