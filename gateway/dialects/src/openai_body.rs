//! What the bodies of OpenAI's operations have in common: fields that decide about money have one name, written one way;
//! what nobody here knows passes through, and counts.

use bytes::Bytes;
use serde_json::error::Category;
use serde_json::{Map, Value};
use steward_events::id::ModelId;

use super::openai_chat::names::{self, Meaning, Twins};
use super::openai_chat::size::Place;
use super::{Fields, ModelRequest, RequestSize};
use crate::error::Error;

/// The form of an operation's requests, beside chats.
pub(super) struct Form {
    /// Fields that its dialect reads itself, beside `model`.
    pub(super) own: &'static [&'static str],
    /// Numbers and words that no model reads, beside those of chats.
    pub(super) settings: &'static [&'static str],
    /// True of names under which a number may limit or multiply what is billed.
    pub(super) limits: fn(&str) -> bool,
}

/// A body that was read but for the fields that are its operation's own.
pub(super) struct Opened {
    pub(super) model: ModelId,
    /// How large all but its own fields is.
    pub(super) size: RequestSize,
    pub(super) body: Fields,
}

impl Opened {
    /// The request for `choices` answers that are not streamed, of what was opened.
    pub(super) fn at_once(self, choices: u64) -> ModelRequest {
        let Self { model, size, body } = self;
        ModelRequest { model, output_limit: None, choices, stream: false, include_usage: false, size, body }
    }
}

impl Form {
    /// Reads a body.
    pub(super) fn read(&self, body: &Bytes) -> Result<Opened, Error> {
        let body = fields(body)?;
        let model = model(&body)?;
        let mut size = RequestSize { bytes: body.bytes(), ..RequestSize::default() };
        let mut twins = Twins::default();
        for (name, value) in body.iter() {
            let is_own = self.is_own(name)?;
            if twins.has(name) {
                let message = format!("the field `{name}` stands there twice, if case does not count");
                return Err(Error::bad(name, message));
            }
            if !is_own {
                self.count_field(&mut size, name, value)?;
            }
        }
        Ok(Opened { model, size, body })
    }

    /// Whether a field is read by the operation itself; one that is so in other letters is refused.
    fn is_own(&self, name: &str) -> Result<bool, Error> {
        let plain = names::letters(&names::fold(name));
        let known = self.own.iter().chain(&["model"]).find(|known| names::letters(known) == plain);
        match known {
            Some(known) if *known != name => Err(Error::bad(known, format!("the field `{known}` must be written so"))),
            known => Ok(known.is_some()),
        }
    }

    fn meaning(&self, name: &str) -> Result<Meaning, Error> {
        if self.settings.contains(&name) {
            return Ok(Meaning::Setting);
        }
        names::meaning(name).map_err(|right| Error::bad(right, format!("the field `{right}` must be written so")))
    }

    fn count_field(&self, all: &mut RequestSize, name: &str, value: &Bytes) -> Result<(), Error> {
        let meaning = self.meaning(name)?;
        let read = Place::Settings.read(value).map_err(|error| Error::bad(name, format!("{name}: {error}")))?;
        let tokens = read.tokens.max(value.len() as u64).saturating_add(name.len() as u64);
        all.reads_elsewhere |= read.elsewhere;
        all.searches |= read.searches;
        match meaning {
            Meaning::Refused(why) => return Err(Error::bad(name, format!("`{name}` {why}"))),
            _ if read.is_off() => {}
            Meaning::Decides => {
                return Err(Error::bad(name, format!("`{name}` has no place in such a request")));
            }
            Meaning::Elsewhere | Meaning::Search => {
                all.reads_elsewhere = true;
                all.searches |= meaning == Meaning::Search;
            }
            Meaning::Setting if read.is_number() || value.as_ref() == b"true" => {}
            Meaning::Setting | Meaning::Settings => all.other_tokens = all.other_tokens.saturating_add(tokens),
            _ if read.is_number() && (self.limits)(name) => {
                let message = format!("`{name}` may limit or multiply what is billed, and is not known here");
                return Err(Error::bad(name, message));
            }
            _ if read.is_number() => all.other_tokens = all.other_tokens.saturating_add(tokens),
            // The provider may put words of its own around it.
            _ => all.tooling_tokens.push(tokens),
        }
        Ok(())
    }
}

/// The fields of a body.
pub(super) fn fields(body: &Bytes) -> Result<Fields, Error> {
    Fields::read(body).map_err(|error| {
        let message = match error.classify() {
            Category::Data => format!("the body must be a JSON object: {error}"),
            Category::Syntax | Category::Eof | Category::Io => format!("the body is no JSON: {error}"),
        };
        Error::BadRequest { param: None, message }
    })
}

/// The model that it names.
pub(super) fn model(body: &Fields) -> Result<ModelId, Error> {
    let model: String = match body.read_as("model") {
        Ok(Some(name)) => name,
        Ok(None) | Err(_) => return Err(Error::bad("model", "you must provide a model parameter")),
    };
    model.parse().map_err(|_| Error::NoSuchModel(model.chars().take(80).collect()))
}

/// `body` with this model, whatever it names itself: where a path names it, that counts.
///
/// # Errors
/// [`Error::BadRequest`] if it is no JSON object.
pub fn naming(body: &Bytes, model: &str) -> Result<Bytes, Error> {
    let mut body = fields(body)?;
    body.set("model", Value::from(model).to_string().into());
    Ok(body.write())
}

/// The request with the upstream's own name of the model, else as it came.
pub(super) fn renamed(request: &ModelRequest, model: &str) -> Bytes {
    let mut body = request.body.clone();
    body.set("model", Value::from(model).to_string().into());
    body.write()
}

/// True or false, if the field is there.
pub(super) fn flag(body: &Fields, field: &str) -> Result<bool, Error> {
    let read = body.read_as::<bool>(field).map_err(|_| Error::bad(field, format!("{field} must be true or false")))?;
    Ok(read.unwrap_or(false))
}

/// A number from 1, if the field is there.
pub(super) fn count(body: &Fields, field: &str) -> Result<Option<u64>, Error> {
    match body.read_as::<u64>(field) {
        Ok(Some(0)) | Err(_) => Err(Error::bad(field, format!("{field} must be a whole number from 1"))),
        Ok(read) => Ok(read),
    }
}

/// A text, if the field is there.
pub(super) fn text(body: &Fields, field: &str) -> Result<Option<String>, Error> {
    body.read_as::<String>(field).map_err(|_| Error::bad(field, format!("{field} must be a text")))
}

/// Whether the caller wants a stream to tell its usage.
pub(super) fn include_usage(body: &Fields, stream: bool) -> Result<bool, Error> {
    let include_usage = match body.get("stream_options") {
        Some(options) if &**options != b"null" => {
            let options = Fields::read(options)
                .map_err(|error| Error::bad("stream_options", format!("stream_options must be an object: {error}")))?;
            if options.iter().any(|(name, _)| name != "include_usage" && names::fold(name) == "include_usage") {
                return Err(Error::bad("stream_options", "write `include_usage` in small letters"));
            }
            flag(&options, "include_usage")?
        }
        _ => false,
    };
    if include_usage && !stream {
        return Err(Error::bad("stream_options", "stream_options is only allowed when stream is true"));
    }
    Ok(include_usage)
}

/// Always asked for: without it a stream does not say what it used.
pub(super) fn ask_for_usage(body: &mut Fields) {
    let mut options = body.read_as::<Map<String, Value>>("stream_options").ok().flatten().unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    body.set("stream_options", Value::Object(options).to_string().into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FORM: Form = Form { own: &["input"], settings: &["dimensions"], limits: names::limits_output };

    fn read(body: &Value) -> Result<RequestSize, Error> {
        FORM.read(&body.to_string().into()).map(|opened| opened.size)
    }

    #[test]
    fn the_model_of_the_path_counts() {
        let named = |body: &'static str| naming(&Bytes::from_static(body.as_bytes()), "a\"b").unwrap();
        assert_eq!(named(r#"{"model":"other","input":"x"}"#), r#"{"model":"a\"b","input":"x"}"#);
        assert_eq!(named(r#"{ "input" : "x" }"#), r#"{"input":"x","model":"a\"b"}"#);
        assert!(naming(&Bytes::from_static(b"[]"), "a").is_err());
    }

    #[test]
    fn names_that_decide_are_written_one_way() {
        for (field, value, param) in [
            ("Input", json!("x"), "input"),
            ("Model", json!("dear"), "model"),
            ("models", json!(["dear"]), "models"),
            ("messages", json!([{}]), "messages"),
            ("max_tokens", json!(5), "max_tokens"),
            ("n_predict", json!(5), "n_predict"),
            ("options", json!({ "num_predict": 9 }), "options"),
        ] {
            let mut body = json!({ "model": "m", "input": "x" });
            body[field] = value;
            match read(&body) {
                Err(Error::BadRequest { param: Some(named), .. }) => assert_eq!(named, param),
                other => panic!("{field}: {other:?}"),
            }
        }
        assert!(read(&json!({ "model": "m", "input": "x", "max_tokens": null })).is_ok());
    }

    #[test]
    fn what_is_no_known_setting_counts() {
        let size = |field: &str, value: Value| {
            let mut body = json!({ "model": "m", "input": "x" });
            body[field] = value;
            read(&body).unwrap()
        };
        let text = "word ".repeat(100);
        for field in ["user", "dimensions", "instruction", "metadata"] {
            let RequestSize { other_tokens, tooling_tokens, .. } = size(field, json!(text));
            assert!(other_tokens + tooling_tokens.iter().sum::<u64>() >= 500, "{field}");
        }
        let RequestSize { other_tokens, tooling_tokens, .. } = size("dimensions", json!(256));
        assert_eq!((other_tokens, tooling_tokens.len()), (0, 0));
        assert!(size("file_ids", json!(["a"])).reads_elsewhere);
    }
}
