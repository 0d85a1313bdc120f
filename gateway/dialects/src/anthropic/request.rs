//! A request for a message: typed where the gateway must understand it, untouched where it need not.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::betas;
use crate::error::Error;
use crate::openai_body::{count, flag};
use crate::openai_chat::names::{self, Known, Meaning, OTHER_MODEL};
use crate::openai_chat::request::{count_at, count_field, fields_and_model, size};
use crate::openai_chat::size::Place;
use crate::{Fields, ModelRequest, RequestSize, ToCount};

const REGION: &str = "costs more in some regions than the price of the model says; leave it out";
const BESIDE: &str = "makes the provider read and write beside what `max_tokens` bounds; leave it out";

/// The fields that are known.
const KNOWN: &[Known] = &[
    (Meaning::Decides, &["model", "messages", "system", "stream", "max_tokens"]),
    (Meaning::Setting, &["temperature", "top_p", "top_k", "service_tier", "speed"]),
    (
        Meaning::Settings,
        &[
            "stop_sequences",
            "metadata",
            "tool_choice",
            "thinking",
            "context_management",
            "cache_control",
            "diagnostics",
            betas::FIELD,
        ],
    ),
    (Meaning::Tooling, &["tools", "output_config", "output_format"]),
    (Meaning::Elsewhere, &["container", "thread"]),
    (Meaning::Search, &["mcp_servers"]),
    (Meaning::Refused(REGION), &["inference_geo"]),
    (Meaning::Refused(BESIDE), &["compaction"]),
    (Meaning::Refused(OTHER_MODEL), &["models", "fallbacks", "fallback_models", "model_id", "model_name"]),
];

/// Reads a body. Unknown fields pass through, and count as text.
pub(super) fn read(body: &Bytes) -> Result<ModelRequest, Error> {
    let (body, model) = fields_and_model(body)?;
    let size = measured(&body)?;
    let limit = count(&body, "max_tokens")?.ok_or_else(|| Error::bad("max_tokens", "max_tokens: Field required"))?;
    let stream = flag(&body, "stream")?;
    within(&body, limit)?;
    Ok(ModelRequest { model, output_limit: Some(limit), choices: 1, stream, include_usage: true, size, body })
}

/// Reads a request of which only the tokens are to be counted: it needs no limit of its output.
///
/// # Errors
/// [`Error::BadRequest`] or [`Error::NoSuchModel`], as for a call.
pub fn to_count(body: &Bytes) -> Result<ToCount, Error> {
    let (body, model) = fields_and_model(body)?;
    let size = measured(&body)?;
    Ok(ToCount { model, messages: size.messages, bytes: size.read_bytes(), body })
}

fn measured(body: &Fields) -> Result<RequestSize, Error> {
    let mut size = size(body, |name| names::meaning_among(KNOWN, name), count_one)?;
    // What stands there by itself is a message too.
    if let Some(system) = body.get("system") {
        let read = Place::Blocks.read(system).map_err(|error| Error::bad("system", format!("system: {error}")))?;
        size.messages += 1;
        size.message_tokens = size.message_tokens.saturating_add(read.tokens.max(system.len() as u64));
        size.reads_elsewhere |= read.elsewhere;
    }
    Ok(size)
}

fn count_one(all: &mut RequestSize, name: &str, meaning: Meaning, value: &Bytes) -> Result<(), Error> {
    match name {
        "messages" => count_at(Place::Turns, all, name, meaning, value),
        "tools" => {
            names_no_model(value)?;
            count_field(all, name, meaning, value)
        }
        "context_management" => {
            only_clears(value)?;
            count_at(Place::Text, all, name, meaning, value)
        }
        // Its number is within the limit, which is looked at once that is known.
        "thinking" => count_at(Place::Text, all, name, meaning, value),
        _ => count_field(all, name, meaning, value),
    }
}

/// A tool may ask another model, which nobody has authorised or priced.
fn names_no_model(tools: &Bytes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(borrow)]
        model: Option<&'a RawValue>,
    }
    let tools: Option<Vec<Tool<'_>>> =
        serde_json::from_slice(tools).map_err(|error| Error::bad("tools", format!("tools: {error}")))?;
    if tools.iter().flatten().any(|tool| tool.model.is_some()) {
        return Err(Error::bad("tools", format!("a tool's `model` {OTHER_MODEL}")));
    }
    Ok(())
}

/// What takes something out of the context costs nothing; to sum it up is work beside `max_tokens`.
fn only_clears(management: &Bytes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Management {
        edits: Option<Vec<Edit>>,
    }
    #[derive(Deserialize)]
    struct Edit {
        r#type: String,
    }
    let bad = |message: String| Error::bad("context_management", message);
    let read: Option<Management> =
        serde_json::from_slice(management).map_err(|error| bad(format!("context_management: {error}")))?;
    let mut edits = read.and_then(|read| read.edits).into_iter().flatten();
    match edits.find(|edit| !edit.r#type.starts_with("clear_")) {
        Some(_) => Err(bad(format!("an edit that does more than to clear {BESIDE}"))),
        None => Ok(()),
    }
}

/// What the model thinks is output too, and must be within its limit.
fn within(body: &Fields, limit: u64) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Thinking {
        budget_tokens: Option<u64>,
    }
    let thinking: Option<Thinking> =
        body.read_as("thinking").map_err(|error| Error::bad("thinking", format!("thinking: {error}")))?;
    match thinking.and_then(|thinking| thinking.budget_tokens) {
        Some(budget) if budget >= limit => {
            Err(Error::bad("thinking", "max_tokens must be greater than thinking.budget_tokens"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::any_json;

    fn read(body: &Value) -> Result<ModelRequest, Error> {
        super::read(&body.to_string().into())
    }

    fn hello() -> Value {
        json!({ "model": "small", "max_tokens": 2_000, "messages": [{ "role": "user", "content": "hi" }] })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = hello();
        body[field] = value;
        body
    }

    #[test]
    fn wrong_fields_are_named() {
        for (field, value) in [
            ("model", json!(7)),
            ("max_tokens", json!(null)),
            ("max_tokens", json!(0)),
            ("messages", json!([])),
            ("messages", json!(["hi"])),
            ("stream", json!("yes")),
            ("n", json!(2)),
            ("max_output_tokens", json!(9)),
            ("thinking", json!({ "type": "enabled", "budget_tokens": 2_000 })),
            ("thinking", json!("much")),
            ("inference_geo", json!("us")),
            ("fallbacks", json!([{ "model": "dear" }])),
            ("compaction", json!({ "type": "auto" })),
            ("context_management", json!({ "edits": [{ "type": "compact_20260112" }] })),
            ("tools", json!([{ "type": "advisor_20260301", "name": "advisor", "model": "dear" }])),
            ("tools", json!("f")),
        ] {
            match read(&with(field, value)) {
                Err(Error::BadRequest { param, .. }) => assert_eq!(param.as_deref(), Some(field)),
                other => panic!("{field}: {other:?}"),
            }
        }
        assert!(matches!(read(&with("model", json!("No Such/Model"))), Err(Error::NoSuchModel(_))));
        assert!(matches!(read(&with("Max_Tokens", json!(1))), Err(Error::BadRequest { .. })));
    }

    #[test]
    fn a_coding_tools_request_is_bounded_by_its_length() {
        let body = json!({ "model": "small", "max_tokens": 2_000, "stream": true,
            "system": [{ "type": "text", "text": "be brief", "cache_control": { "type": "ephemeral" } }],
            "thinking": { "type": "enabled", "budget_tokens": 1_024 },
            "context_management": { "edits": [{ "type": "clear_thinking_20251015", "keep": "all" }] },
            "metadata": { "user_id": "u" },
            "tools": [{ "name": "read", "description": "reads", "input_schema": { "type": "object",
                "properties": { "file_id": { "type": "string" } } } }],
            "messages": [
                { "role": "user", "content": "hi" },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "hm", "signature": "s" },
                    { "type": "tool_use", "id": "t", "name": "read", "input": { "file_id": "a", "Content": "b", "content": "c" } }] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "found" }] }] }] });
        let request = read(&body).unwrap();
        assert_eq!((request.output_limit, request.choices, request.stream), (Some(2_000), 1, true));
        let RequestSize { reads_elsewhere, searches, messages, tooling_tokens, .. } = request.size;
        assert_eq!((reads_elsewhere, searches, messages, tooling_tokens.len()), (false, false, 4, 1));
    }

    #[test]
    fn an_image_counts_wherever_it_stands() {
        let image =
            json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } });
        let tokens = |content: Value| {
            read(&with("messages", json!([{ "role": "user", "content": content }]))).unwrap().size.message_tokens
        };
        let in_result = json!([{ "type": "tool_result", "tool_use_id": "t", "content": [image, image] }]);
        assert!((48_200..48_700).contains(&tokens(json!([image]))));
        assert!((96_400..96_900).contains(&tokens(in_result)));
    }

    #[test]
    fn what_does_not_stand_there_is_bounded_by_the_context_alone() {
        for block in [
            json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "AAAA" } }),
            json!({ "type": "image", "source": { "type": "file", "file_id": "file_1" } }),
            json!({ "type": "container_upload", "file_id": "file_1" }),
            json!({ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "document", "source": {} }] }),
            json!({ "type": "unheard_of" }),
        ] {
            let body = with("messages", json!([{ "role": "user", "content": [block] }]));
            assert!(read(&body).unwrap().size.reads_elsewhere, "{block}");
        }
        for (field, value) in [
            ("container", json!("container_1")),
            ("mcp_servers", json!([{ "type": "url", "url": "https://example.com", "name": "m" }])),
            ("tools", json!([{ "type": "web_search_20260209", "name": "web_search" }])),
        ] {
            assert!(read(&with(field, value)).unwrap().size.reads_elsewhere, "{field}");
        }
        assert!(read(&with("tools", json!([{ "type": "web_search_20260209", "name": "s" }]))).unwrap().size.searches);
    }

    #[test]
    fn everything_counts_that_is_no_known_setting() {
        let text = "word ".repeat(1_000);
        let sized = |body: &Value| {
            let RequestSize { message_tokens, tooling_tokens, other_tokens, .. } = read(body).unwrap().size;
            message_tokens + other_tokens + tooling_tokens.iter().sum::<u64>()
        };
        for field in ["system", "my_field", "metadata", "temperature", "output_config"] {
            let value = if field == "system" { json!(text) } else { json!({ "a": text }) };
            assert!(sized(&with(field, value)) >= 5_000, "{field}");
        }
        let body = with("temperature", json!(0.5));
        assert_eq!(sized(&body), sized(&hello()));
    }

    #[test]
    fn what_is_only_counted_needs_no_limit() {
        let mut body = hello();
        body.as_object_mut().unwrap().remove("max_tokens");
        body["messages"][0]["content"] = json!("x".repeat(4_000));
        let ToCount { model, messages, bytes, .. } = to_count(&body.to_string().into()).unwrap();
        assert_eq!((model.as_str(), messages), ("small", 1));
        assert!((4_000..4_200).contains(&bytes), "{bytes}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(
            fields in prop::collection::btree_map("[a-z_]{1,12}", any_json(&["content", "type", "source"]), 0..5),
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut body = hello();
            for (name, value) in fields {
                body[name] = value;
            }
            let _ = read(&body);
            let _ = super::read(&bytes.into());
        }
    }
}
