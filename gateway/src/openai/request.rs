//! A chat request: typed where the gateway must understand it, untouched where it need not.

use serde_json::{Map, Value};
use steward_events::id::ModelId;

use crate::error::Error;

/// Choices that one request may ask for.
const CHOICES_MAX: u64 = 128;

/// Which field the caller limits the output with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitField {
    /// The older `max_tokens`, which every compatible server knows.
    MaxTokens,
    /// The newer `max_completion_tokens`.
    MaxCompletionTokens,
}

impl LimitField {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// A chat request.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    /// The model, as the caller names it.
    pub(crate) model: ModelId,
    /// The most output tokens of one choice, and the field that says so.
    pub(crate) limit: Option<(LimitField, u64)>,
    /// How many choices.
    pub(crate) choices: u64,
    /// Whether the answer is to be streamed.
    pub(crate) stream: bool,
    /// Whether the stream is to say at its end what was used.
    pub(crate) include_usage: bool,
    /// The whole body, as it came.
    pub(crate) body: Map<String, Value>,
}

impl ChatRequest {
    /// Reads a body. Unknown fields pass through.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Error> {
        let body = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => {
                return Err(Error::BadRequest { param: None, message: "the body must be a JSON object".to_owned() });
            }
            Err(error) => {
                return Err(Error::BadRequest { param: None, message: format!("the body is no JSON: {error}") });
            }
        };
        let model = match body.get("model") {
            Some(Value::String(name)) => {
                name.parse().map_err(|_| Error::NoSuchModel(name.chars().take(80).collect()))?
            }
            _ => return Err(Error::bad("model", "you must provide a model parameter")),
        };
        match body.get("messages") {
            Some(Value::Array(messages)) if messages.is_empty() => {
                return Err(Error::bad("messages", "messages must hold at least one message"));
            }
            Some(Value::Array(messages)) if messages.iter().all(Value::is_object) => {}
            _ => return Err(Error::bad("messages", "messages must be an array of objects")),
        }
        let stream = flag(&body, "stream")?;
        let include_usage = match body.get("stream_options") {
            None | Some(Value::Null) => false,
            Some(Value::Object(options)) => flag(options, "include_usage")?,
            Some(_) => return Err(Error::bad("stream_options", "stream_options must be an object")),
        };
        if include_usage && !stream {
            return Err(Error::bad("stream_options", "stream_options is only allowed when stream is true"));
        }
        let choices = count(&body, "n")?.unwrap_or(1);
        if choices > CHOICES_MAX {
            return Err(Error::bad("n", format!("n must be at most {CHOICES_MAX}")));
        }
        let old = count(&body, "max_tokens")?.map(|n| (LimitField::MaxTokens, n));
        let new = count(&body, "max_completion_tokens")?.map(|n| (LimitField::MaxCompletionTokens, n));
        if old.is_some() && new.is_some() {
            return Err(Error::bad("max_tokens", "set max_tokens or max_completion_tokens, not both"));
        }
        Ok(Self { model, limit: new.or(old), choices, stream, include_usage, body })
    }
}

fn flag(map: &Map<String, Value>, field: &str) -> Result<bool, Error> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(Error::bad(field, format!("{field} must be true or false"))),
    }
}

/// A number from 1, if the field is there.
fn count(map: &Map<String, Value>, field: &str) -> Result<Option<u64>, Error> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(n) if n > 0 => Ok(Some(n)),
            _ => Err(Error::bad(field, format!("{field} must be a whole number from 1"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<ChatRequest, Error> {
        ChatRequest::read(body.to_string().as_bytes())
    }

    #[test]
    fn what_is_not_understood_passes_through_in_its_order() {
        let body = json!({ "zeta": 1, "model": "small", "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "type": "function" }], "n": 2, "max_completion_tokens": 7, "alpha": null });
        let request = read(&body).unwrap();
        assert_eq!(Value::Object(request.body.clone()).to_string(), body.to_string());
        assert_eq!((request.limit, request.choices), (Some((LimitField::MaxCompletionTokens, 7)), 2));
    }

    #[test]
    fn wrong_fields_are_named() {
        let good = json!({ "model": "small", "messages": [{}] });
        for (field, value) in [
            ("model", json!(7)),
            ("messages", json!([])),
            ("messages", json!("hi")),
            ("messages", json!(["hi"])),
            ("n", json!(0)),
            ("n", json!(129)),
            ("max_tokens", json!(-1)),
            ("max_tokens", json!(1.5)),
            ("stream", json!("yes")),
            ("stream_options", json!(true)),
            ("stream_options", json!({ "include_usage": true })),
        ] {
            let mut body = good.clone();
            body[field] = value;
            match read(&body) {
                Err(Error::BadRequest { param, .. }) => assert_eq!(param.as_deref(), Some(field)),
                other => panic!("{field}: {other:?}"),
            }
        }
        assert!(matches!(read(&json!({ "model": "No Such/Model", "messages": [{}] })), Err(Error::NoSuchModel(_))));
        assert!(read(&good).is_ok());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ChatRequest::read(&body);
        }

        #[test]
        fn no_json_makes_it_panic(text in r#"\{("(model|n|stream|messages)":("a"|-?[0-9]{1,25}|\[\]|\[\{\}\]|true|null|1e9),?){0,5}\}"#) {
            let _ = ChatRequest::read(text.as_bytes());
        }
    }
}
