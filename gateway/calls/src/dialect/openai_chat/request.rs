//! A chat request: typed where the gateway must understand it, untouched where it need not.

use bytes::Bytes;
use serde_json::error::Category;

use super::size::{Messages, Size};
use crate::dialect::{Fields, ModelRequest, RequestSize};
use crate::error::Error;

/// Choices that one request may ask for.
const CHOICES_MAX: u64 = 128;

/// Which field limits the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitField {
    /// The older `max_tokens`, which every compatible server knows.
    MaxTokens,
    /// The newer `max_completion_tokens`.
    MaxCompletionTokens,
}

impl LimitField {
    /// Name of the field.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Parts that explain tools or a format to the model.
const TOOLING: [&str; 4] = ["tools", "functions", "response_format", "prediction"];

/// Reads a body. Unknown fields pass through.
pub(super) fn read(body: &Bytes) -> Result<ModelRequest, Error> {
    let body = Fields::read(body).map_err(|error| {
        let message = match error.classify() {
            Category::Data => format!("the body must be a JSON object: {error}"),
            Category::Syntax | Category::Eof | Category::Io => format!("the body is no JSON: {error}"),
        };
        Error::BadRequest { param: None, message }
    })?;
    let model: String = match body.read_as("model") {
        Ok(Some(name)) => name,
        Ok(None) | Err(_) => return Err(Error::bad("model", "you must provide a model parameter")),
    };
    let model = model.parse().map_err(|_| Error::NoSuchModel(model.chars().take(80).collect()))?;
    let messages = match body.read_as::<Messages>("messages") {
        Ok(Some(Messages { count: 0, .. })) => {
            return Err(Error::bad("messages", "messages must hold at least one message"));
        }
        Ok(Some(messages)) => messages,
        Ok(None) => return Err(Error::bad("messages", "messages must be an array of objects")),
        Err(error) => return Err(Error::bad("messages", format!("messages must be an array of objects: {error}"))),
    };
    let mut tooling_tokens = Vec::new();
    for name in TOOLING {
        let size = body.read_as::<Size>(name).map_err(|error| Error::bad(name, format!("{name}: {error}")))?;
        tooling_tokens.extend(size.map(|Size(tokens)| tokens));
    }
    let stream = flag(&body, "stream")?;
    let include_usage = match body.get("stream_options") {
        Some(options) if &**options != b"null" => {
            let options = Fields::read(options)
                .map_err(|error| Error::bad("stream_options", format!("stream_options must be an object: {error}")))?;
            flag(&options, "include_usage")?
        }
        _ => false,
    };
    if include_usage && !stream {
        return Err(Error::bad("stream_options", "stream_options is only allowed when stream is true"));
    }
    let choices = count(&body, "n")?.unwrap_or(1);
    if choices > CHOICES_MAX {
        return Err(Error::bad("n", format!("n must be at most {CHOICES_MAX}")));
    }
    let old = count(&body, LimitField::MaxTokens.name())?;
    let new = count(&body, LimitField::MaxCompletionTokens.name())?;
    if old.is_some() && new.is_some() {
        return Err(Error::bad("max_tokens", "set max_tokens or max_completion_tokens, not both"));
    }
    let Messages { count: messages, tokens: message_tokens } = messages;
    let size = RequestSize { messages, message_tokens, tooling_tokens };
    Ok(ModelRequest { model, output_limit: new.or(old), choices, stream, include_usage, size, body })
}

/// The field by which the caller limits the output of a request that was read, if it does.
pub(super) fn limit_field(body: &Fields) -> Option<LimitField> {
    let is_set = |field: &LimitField| body.get(field.name()).is_some_and(|value| &**value != b"null");
    [LimitField::MaxCompletionTokens, LimitField::MaxTokens].into_iter().find(is_set)
}

fn flag(body: &Fields, field: &str) -> Result<bool, Error> {
    let read = body.read_as::<bool>(field).map_err(|_| Error::bad(field, format!("{field} must be true or false")))?;
    Ok(read.unwrap_or(false))
}

/// A number from 1, if the field is there.
fn count(body: &Fields, field: &str) -> Result<Option<u64>, Error> {
    match body.read_as::<u64>(field) {
        Ok(Some(0)) | Err(_) => Err(Error::bad(field, format!("{field} must be a whole number from 1"))),
        Ok(read) => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<ModelRequest, Error> {
        super::read(&body.to_string().into())
    }

    #[test]
    fn unknown_fields_pass_through_in_their_order() {
        let body = json!({ "zeta": 1, "model": "small", "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "type": "function" }], "n": 2, "max_completion_tokens": 7, "alpha": null });
        let request = read(&body).unwrap();
        assert_eq!(request.body.write(), body.to_string());
        assert_eq!((request.output_limit, request.choices), (Some(7), 2));
        assert_eq!(limit_field(&request.body), Some(LimitField::MaxCompletionTokens));
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
            let _ = super::read(&body.into());
        }

        #[test]
        fn no_json_makes_it_panic(text in r#"\{("(model|n|stream|messages)":("a"|-?[0-9]{1,25}|\[\]|\[\{\}\]|true|null|1e9),?){0,5}\}"#) {
            let _ = super::read(&text.into());
        }
    }
}
