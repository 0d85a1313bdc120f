//! A request for a response: typed where the gateway must understand it, untouched where it need not.

use bytes::Bytes;

use super::names;
use crate::error::Error;
use crate::openai_body::{self, flag};
use crate::openai_chat::names::Meaning;
use crate::openai_chat::request::{count_at, fields_and_model, size};
use crate::openai_chat::size::Place;
use crate::{Fields, ModelRequest, RequestSize};

/// The field that limits the output.
pub(super) const LIMIT: &str = "max_output_tokens";

/// What the provider keeps, and a request can build on.
pub(super) const KEPT: &[&str] = &["previous_response_id", "conversation"];

/// Reads a body. Unknown fields pass through, and count as text.
pub(super) fn read(body: &Bytes) -> Result<ModelRequest, Error> {
    let (body, model) = fields_and_model(body)?;
    if flag(&body, "background")? {
        return Err(Error::bad(
            "background",
            "background must be false: nobody would see here what such an answer uses; stream it instead",
        ));
    }
    if !["input", "prompt"].iter().chain(KEPT).any(|field| is_said(&body, field)) {
        return Err(no_input());
    }
    let size = size(&body, names::meaning, count)?;
    let stream = flag(&body, "stream")?;
    let output_limit = openai_body::count(&body, LIMIT)?;
    Ok(ModelRequest { model, output_limit, choices: 1, stream, include_usage: true, size, body })
}

/// True if a field is there and not `null`.
pub(super) fn is_said(body: &Fields, field: &str) -> bool {
    body.get(field).is_some_and(|value| &**value != b"null")
}

fn no_input() -> Error {
    Error::bad("input", "input must be a text, or an array of objects that holds at least one")
}

/// Counts a field.
fn count(all: &mut RequestSize, name: &str, meaning: Meaning, value: &Bytes) -> Result<(), Error> {
    if value.as_ref() == b"null" {
        return Ok(());
    }
    let place = match (meaning, name) {
        (Meaning::Decides, "input" | "instructions") => return count_said(all, name, value),
        (Meaning::Decides, _) => return Ok(()),
        (_, "tools") => Place::Tools,
        (Meaning::Tooling, _) | (_, "metadata") => Place::Text,
        _ => Place::Settings,
    };
    if matches!(meaning, Meaning::Elsewhere | Meaning::Search) {
        // What is kept was said too.
        all.messages = all.messages.saturating_add(1);
    }
    count_at(place, all, name, meaning, value)
}

/// A text is one message; of items each is.
fn count_said(all: &mut RequestSize, name: &str, value: &Bytes) -> Result<(), Error> {
    let place = if value.starts_with(b"\"") { Place::Text } else { Place::Items };
    let read = place.read(value).map_err(|error| Error::bad(name, format!("{name}: {error}")))?;
    let messages = if place == Place::Text { 1 } else { read.items };
    if name == "input" && messages == 0 {
        return Err(no_input());
    }
    all.messages = all.messages.saturating_add(messages);
    all.message_tokens = all.message_tokens.saturating_add(read.tokens.max(value.len() as u64));
    all.reads_elsewhere |= read.elsewhere;
    all.names_kept |= read.kept;
    all.searches |= read.searches;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<ModelRequest, Error> {
        super::read(&body.to_string().into())
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({ "model": "small", "input": "hi" });
        body[field] = value;
        body
    }

    #[test]
    fn input_is_a_text_or_items() {
        let text = read(&json!({ "model": "small", "input": "good day", "instructions": "be brief" })).unwrap();
        assert_eq!((text.size.messages, text.choices, text.stream, text.output_limit), (2, 1, false, None));
        assert!(text.size.message_tokens >= 16);
        let items = json!({ "model": "small", "input": [{ "role": "user", "content": "hi" }, { "type": "message", "role": "user", "content": [] }],
            "stream": true, "max_output_tokens": 90 });
        let items = read(&items).unwrap();
        assert_eq!((items.size.messages, items.stream, items.output_limit), (2, true, Some(90)));
        assert!(read(&json!({ "model": "small", "previous_response_id": "resp_1" })).is_ok());
    }

    #[test]
    fn wrong_fields_are_named() {
        for (field, value) in [
            ("model", json!(7)),
            ("input", json!(null)),
            ("input", json!([])),
            ("input", json!(["hi"])),
            ("input", json!({ "role": "user" })),
            ("instructions", json!(7)),
            ("background", json!(true)),
            ("background", json!("yes")),
            ("stream", json!("yes")),
            ("max_output_tokens", json!(0)),
            ("max_output_tokens", json!("9")),
            ("max_tokens", json!(9)),
            ("max_completion_tokens", json!(9)),
            ("n", json!(2)),
            ("best_of", json!(2)),
            ("reasoning", json!({ "max_tokens": 9 })),
            ("extra_body", json!({ "model": "dear" })),
            ("models", json!(["dear"])),
            ("chat_template", json!("{{ x }}")),
        ] {
            match read(&with(field, value)) {
                Err(Error::BadRequest { param, .. }) => assert_eq!(param.as_deref(), Some(field)),
                other => panic!("{field}: {other:?}"),
            }
        }
        for other in ["Input", "maxOutputTokens", "max-output-tokens", "INSTRUCTIONS", "Background", "Model"] {
            assert!(matches!(read(&with(other, json!(9))), Err(Error::BadRequest { .. })), "{other}");
        }
        let twins = r#"{"model":"small","input":"hi","ab":1,"AB":2}"#;
        assert!(matches!(super::read(&Bytes::from(twins)), Err(Error::BadRequest { .. })));
    }

    #[test]
    fn everything_counts_that_is_no_known_setting() {
        let text = "word ".repeat(1_000);
        for field in ["instructions", "input", "tools", "text", "my_field", "user", "include", "reasoning", "metadata"]
        {
            let size = |value: Value| match read(&with(field, value)) {
                Ok(ModelRequest { size: RequestSize { message_tokens, tooling_tokens, other_tokens, .. }, .. }) => {
                    message_tokens + other_tokens + tooling_tokens.iter().sum::<u64>()
                }
                Err(error) => panic!("{field}: {error}"),
            };
            assert!(size(json!([{ "text": text }])) >= 5_000, "{field}");
            assert!(size(json!(text)) >= 5_000, "{field}");
        }
        let settings = json!({ "model": "m", "input": "hi", "temperature": 0.5, "store": true, "top_p": null,
            "max_tool_calls": 3, "background": false });
        let RequestSize { tooling_tokens, other_tokens, .. } = read(&settings).unwrap().size;
        assert_eq!((tooling_tokens, other_tokens), (vec![], 0));
    }

    #[test]
    fn what_does_not_stand_there_is_known() {
        let size = |field: &str, value: Value| read(&with(field, value)).unwrap().size;
        assert!(size("previous_response_id", json!("resp_1")).reads_elsewhere);
        assert!(size("conversation", json!({ "id": "conv_1" })).reads_elsewhere);
        assert!(size("prompt", json!({ "id": "pmpt_1", "variables": {} })).searches);
        assert!(size("tools", json!([{ "type": "web_search" }])).searches);
        assert!(size("tools", json!([{ "type": "file_search", "vector_store_ids": ["vs_1"] }])).reads_elsewhere);
        assert!(size("input", json!([{ "type": "item_reference", "id": "msg_1" }])).reads_elsewhere);
        let own = size("tools", json!([{ "type": "function", "name": "f", "parameters": {} }]));
        assert!(!own.reads_elsewhere && !own.searches);
        assert!(!size("previous_response_id", json!(null)).reads_elsewhere);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = super::read(&body.into());
        }

        #[test]
        fn no_json_makes_it_panic(text in r#"\{("(model|input|stream|tools)":("a"|-?[0-9]{1,25}|\[\]|\[\{\}\]|true|null),?){0,5}\}"#) {
            let _ = super::read(&text.into());
        }
    }
}
