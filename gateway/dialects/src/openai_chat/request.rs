//! A chat request: typed where the gateway must understand it, untouched where it need not.

use bytes::Bytes;
use steward_events::id::ModelId;

use super::names::{self, Meaning, Twins};
use super::size::{Place, Size};
use crate::error::Error;
use crate::openai_body::{self, count, flag};
use crate::{Fields, ModelRequest, RequestSize};

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

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// Reads a body. Unknown fields pass through, and count as text.
pub(super) fn read(body: &Bytes) -> Result<ModelRequest, Error> {
    let (body, model) = fields_and_model(body)?;
    let size = size(&body, names::meaning, count_field)?;
    let stream = flag(&body, "stream")?;
    let include_usage = openai_body::include_usage(&body, stream)?;
    let choices = count(&body, "n")?.unwrap_or(1);
    if choices > CHOICES_MAX {
        return Err(Error::bad("n", format!("n must be at most {CHOICES_MAX}")));
    }
    let old = count(&body, LimitField::MaxTokens.name())?;
    let new = count(&body, LimitField::MaxCompletionTokens.name())?;
    if old.is_some() && new.is_some() {
        return Err(Error::bad("max_tokens", "set max_tokens or max_completion_tokens, not both"));
    }
    Ok(ModelRequest { model, output_limit: new.or(old), choices, stream, include_usage, size, body })
}

/// The fields of a body, and the model that it names.
pub(crate) fn fields_and_model(body: &Bytes) -> Result<(Fields, ModelId), Error> {
    let body = openai_body::fields(body)?;
    let model = openai_body::model(&body)?;
    Ok((body, model))
}

/// How large the body is. Every field counts, but for settings that are known to be numbers or words.
pub(crate) fn size(
    body: &Fields,
    meaning: fn(&str) -> Result<Meaning, &'static str>,
    count_field: fn(&mut RequestSize, &str, Meaning, &Bytes) -> Result<(), Error>,
) -> Result<RequestSize, Error> {
    let mut all = RequestSize { bytes: body.bytes(), ..RequestSize::default() };
    let mut twins = Twins::default();
    for (name, value) in body.iter() {
        let meaning = match meaning(name) {
            Ok(meaning) => meaning,
            Err(right) => return Err(Error::bad(right, format!("the field `{right}` must be written so"))),
        };
        if twins.has(name) {
            return Err(Error::bad(name, format!("the field `{name}` stands there twice, if case does not count")));
        }
        if let Meaning::Refused(why) = meaning {
            return Err(Error::bad(name, format!("`{name}` {why}")));
        }
        count_field(&mut all, name, meaning, value)?;
    }
    if all.messages == 0 {
        return Err(Error::bad("messages", "messages must be an array of objects, and hold at least one"));
    }
    Ok(all)
}

pub(crate) fn count_field(all: &mut RequestSize, name: &str, meaning: Meaning, value: &Bytes) -> Result<(), Error> {
    if meaning == Meaning::Decides && name != "messages" {
        return Ok(());
    }
    count_at(place_of(name, meaning), all, name, meaning, value)
}

fn place_of(name: &str, meaning: Meaning) -> Place {
    match (meaning, name) {
        (_, "messages") => Place::Messages,
        (_, "tools") => Place::Tools,
        (Meaning::Tooling | Meaning::Schema | Meaning::Prediction, _) | (_, "metadata" | "logit_bias") => Place::Text,
        _ => Place::Settings,
    }
}

/// Counts a field whose value is read as what stands at `place`.
pub(crate) fn count_at(
    place: Place,
    all: &mut RequestSize,
    name: &str,
    meaning: Meaning,
    value: &Bytes,
) -> Result<(), Error> {
    let read = place.read(value).map_err(|error| Error::bad(name, format!("{name}: {error}")))?;
    let tokens = read.tokens.max(value.len() as u64);
    all.reads_elsewhere |= read.elsewhere;
    all.names_kept |= read.kept;
    all.searches |= read.searches;
    match meaning {
        Meaning::Decides => {
            all.messages = read.items;
            all.message_tokens = tokens;
        }
        Meaning::Tooling if value.as_ref() != b"null" => all.tooling_tokens.push(tokens),
        Meaning::Prediction => {
            all.output_tokens = tokens;
            all.tooling_tokens.push(tokens);
        }
        Meaning::Setting if read.is_number() || read.is_off() || value.as_ref() == b"true" => {}
        Meaning::Elsewhere | Meaning::Search if read.is_off() => {}
        Meaning::Elsewhere | Meaning::Search => {
            all.reads_elsewhere = true;
            all.searches |= meaning == Meaning::Search;
        }
        Meaning::Unknown => count_unknown(all, name, &read, tokens)?,
        _ => all.other_tokens = all.other_tokens.saturating_add(tokens).saturating_add(name.len() as u64),
    }
    Ok(())
}

/// What nobody here knows may be text for the model, around which the provider puts words of its own.
fn count_unknown(all: &mut RequestSize, name: &str, read: &Size, tokens: u64) -> Result<(), Error> {
    if read.is_number() {
        if names::limits_output(name) {
            let message =
                format!("`{name}` may limit the output, which only the field that this API has for that may do");
            return Err(Error::bad(name, message));
        }
        all.other_tokens = all.other_tokens.saturating_add(tokens).saturating_add(name.len() as u64);
    } else if !read.is_off() {
        all.tooling_tokens.push(tokens.saturating_add(name.len() as u64));
    }
    Ok(())
}

/// The field by which the caller limits the output of a request that was read, if it does.
pub(super) fn limit_field(body: &Fields) -> Option<LimitField> {
    let is_set = |field: &LimitField| body.get(field.name()).is_some_and(|value| &**value != b"null");
    [LimitField::MaxCompletionTokens, LimitField::MaxTokens].into_iter().find(is_set)
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
            ("messages", json!(null)),
            ("n_predict", json!(9)),
            ("best_of", json!("9")),
            ("options", json!({ "num_predict": 9 })),
            ("extra_body", json!({ "a": [{ "model": "dear" }] })),
            ("models", json!(["dear"])),
            ("chat_template", json!("{{ x }}")),
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
        for (field, other) in [
            ("model", "Model"),
            ("messages", "me\u{17f}\u{17f}ages"),
            ("max_tokens", "MAX_TOKENS"),
            ("n", "N"),
            ("tools", "Tools"),
            ("stream", "maxTokens"),
        ] {
            let mut body = good.clone();
            body[other] = json!(9);
            assert!(matches!(read(&body), Err(Error::BadRequest { .. })), "{field} as {other}");
        }
        let text = r#"{"model":"small","messages":[{}],"ab":1,"AB":2}"#;
        assert!(matches!(super::read(&Bytes::from(text)), Err(Error::BadRequest { .. })));
        assert!(matches!(read(&json!({ "model": "No Such/Model", "messages": [{}] })), Err(Error::NoSuchModel(_))));
        assert!(read(&good).is_ok());
    }

    #[test]
    fn everything_counts_that_is_no_known_setting() {
        let text = "word ".repeat(1_000);
        for field in [
            "documents",
            "context",
            "system",
            "my_field",
            "stop",
            "user",
            "tools",
            "prediction",
            "reasoning_effort",
            "temperature",
            "role",
        ] {
            let size = |value: Value| {
                let mut body = json!({ "model": "m", "messages": [{}] });
                body[field] = value;
                let RequestSize { tooling_tokens, other_tokens, .. } = read(&body).unwrap().size;
                other_tokens + tooling_tokens.iter().sum::<u64>()
            };
            assert!(size(json!(text)) >= 5_000, "{field}");
            assert!(size(json!([{ "text": text }])) >= 5_000, "{field}");
        }
        let body = json!({ "model": "m", "messages": [{}], "temperature": 0.5, "top_p": null, "logprobs": true });
        let RequestSize { tooling_tokens, other_tokens, .. } = read(&body).unwrap().size;
        assert_eq!((tooling_tokens, other_tokens), (vec![], 0));
    }

    #[test]
    fn what_does_not_stand_there_is_known() {
        let size = |field: &str, value: Value| {
            let mut body = json!({ "model": "m", "messages": [{}] });
            body[field] = value;
            read(&body).unwrap().size
        };
        assert!(size("previous_response_id", json!("resp_1")).reads_elsewhere);
        assert!(size("options", json!({ "file_ids": ["a"] })).reads_elsewhere);
        assert!(
            size("web_search_options", json!({})).searches && size("plugins", json!([{ "id": "web" }])).reads_elsewhere
        );
        assert!(
            !size("enable_search", json!(false)).searches
                && !size("metadata", json!({ "output_id": "7" })).reads_elsewhere
        );
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
