//! Responses that are kept here, so that later ones can build on them whatever provider answers: what a request asks of that,
//! the request with all that was said before in it, and an answer that says where it is kept.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use steward_answers::json::Json;
use steward_events::id::ModelId;

use super::request::is_said;
use crate::Fields;
use crate::error::Error;
use crate::openai_body::flag;
use crate::openai_chat::request::fields_and_model;

/// What a request asks of keeping responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The model.
    pub model: ModelId,
    /// The response is to be kept: only if that is said.
    pub store: bool,
    /// The answer is fetched later.
    pub background: bool,
    /// The answer is to come as a stream.
    pub stream: bool,
    /// The response that it builds on.
    pub previous: Option<String>,
}

impl Asks {
    /// Reads what `body` asks.
    ///
    /// # Errors
    /// If that cannot be understood, or cannot be had.
    pub fn read(body: &Bytes) -> Result<Self, Error> {
        let (fields, model) = fields_and_model(body)?;
        let previous = fields.read_as("previous_response_id");
        let previous = previous.map_err(|_| Error::bad("previous_response_id", "must be the id of a response"))?;
        let (store, background, stream) =
            (flag(&fields, "store")?, flag(&fields, "background")?, flag(&fields, "stream")?);
        if background && (stream || (is_said(&fields, "store") && !store)) {
            let why = "an answer in the background is kept (leave out `store`), and is fetched when it is there: \
                       `stream` must be false";
            return Err(Error::bad("background", why));
        }
        Ok(Self { model, store: store || background, background, stream, previous })
    }

    /// True if nothing of it is anybody's matter but the provider's.
    pub const fn is_nothing(&self) -> bool {
        !self.store && !self.background && self.previous.is_none()
    }
}

/// What was said, item by item, each as it came.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Items(Vec<Box<RawValue>>);

impl Items {
    /// Reads a JSON list.
    pub fn read(list: &[u8]) -> Option<Self> {
        serde_json::from_slice(list).ok()
    }

    /// As a JSON list.
    pub fn write(&self) -> Vec<u8> {
        // Each is JSON already.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What a response said, as far as it can be said again: thoughts without their proof are refused by who thought them.
    pub fn of_answer(answer: &Bytes) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            output: Items,
        }
        let Items(said) = serde_json::from_slice::<Answer>(answer).map(|answer| answer.output).unwrap_or_default();
        let can_be_said = |item: &RawValue| {
            let item = Json::begun(item.get().as_bytes());
            let is_thought = item.get("type").is_some_and(|kind| kind.is("reasoning"));
            !is_thought || item.said("encrypted_content").is_some()
        };
        Self(said.into_iter().filter(|item| can_be_said(item)).collect())
    }

    /// These, and then those.
    #[must_use]
    pub fn and(mut self, then: Self) -> Self {
        self.0.extend(then.0);
        self
    }

    /// As the API lists them: each has an id.
    pub fn listed(&self) -> Vec<Value> {
        let shown = |(number, item): (usize, &RawValue)| {
            let mut item: Value = serde_json::from_str(item.get()).unwrap_or_default();
            if item.is_object() {
                if item.get("id").is_none_or(Value::is_null) {
                    item["id"] = json!(format!("item_{number}"));
                }
                if item.get("type").is_none() {
                    item["type"] = json!("message");
                }
            }
            item
        };
        self.0.iter().map(AsRef::as_ref).enumerate().map(shown).collect()
    }

    /// A request's input: a text is one message.
    fn of_input(fields: &Fields) -> Result<Self, Error> {
        let wrong = || Error::bad("input", "input must be a text, or an array of objects");
        let Some(input) = fields.get("input").filter(|input| &***input != b"null") else { return Ok(Self::default()) };
        if input.starts_with(b"[") {
            return Self::read(input).ok_or_else(wrong);
        }
        let text: String = serde_json::from_slice(input).map_err(|_| wrong())?;
        let content = json!([{ "type": "input_text", "text": text }]);
        let message = to_raw_value(&json!({ "type": "message", "role": "user", "content": content }));
        Ok(Self(vec![message.map_err(|_| wrong())?]))
    }
}

/// The request that is made in place of `body`, which builds on what was `said_before`: all of that is in it, and nothing
/// is left to be kept elsewhere. And what it says in all.
///
/// # Errors
/// If the body cannot be understood.
pub fn whole(body: &Bytes, said_before: Items) -> Result<(Bytes, Items), Error> {
    let (mut fields, _) = fields_and_model(body)?;
    let items = said_before.and(Items::of_input(&fields)?);
    fields.set("input", items.write().into());
    for gone in ["previous_response_id", "background"] {
        fields.remove(gone);
    }
    fields.set("store", Bytes::from_static(b"false"));
    Ok((fields.write(), items))
}

/// What an answer says of itself because it is kept here.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its id here.
    pub id: String,
    /// What it builds on.
    pub previous: Option<String>,
    /// It was made in the background.
    pub background: bool,
}

impl Said {
    /// A whole answer, as it is kept and given; as it came if it cannot be read.
    pub fn restate(&self, answer: &Bytes) -> Bytes {
        match serde_json::from_slice::<Value>(answer) {
            Ok(mut answer) if answer.is_object() => {
                self.put(&mut answer);
                answer.to_string().into()
            }
            _ => answer.clone(),
        }
    }

    /// A piece of a stream, which holds whole events; and the response that its last event tells.
    pub fn restate_piece(&self, piece: &Bytes) -> (Bytes, Option<Bytes>) {
        let (mut said, mut last) = (BytesMut::with_capacity(piece.len()), None);
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            match self.restate_event(line) {
                Some((event, response)) => {
                    said.put_slice(b"data: ");
                    said.put_slice(event.as_bytes());
                    said.put_u8(b'\n');
                    last = response.or(last);
                }
                None => said.put_slice(line),
            }
        }
        (said.freeze(), last)
    }

    /// An event that tells the response, and the response if it is the last one.
    fn restate_event(&self, line: &[u8]) -> Option<(String, Option<Bytes>)> {
        let data = line.strip_prefix(b"data: ")?;
        let kind = Json::begun(data).get("type")?.text()?;
        let ends = match kind.as_str() {
            "response.created" | "response.queued" | "response.in_progress" => false,
            "response.completed" | "response.incomplete" | "response.failed" => true,
            _ => return None,
        };
        let mut event: Value = serde_json::from_slice(data).ok()?;
        let response = event.get_mut("response").filter(|response| response.is_object())?;
        self.put(response);
        let last = ends.then(|| response.to_string().into());
        Some((event.to_string(), last))
    }

    fn put(&self, response: &mut Value) {
        response["id"] = json!(self.id);
        response["store"] = json!(true);
        response["background"] = json!(self.background);
        response["previous_response_id"] = json!(self.previous);
    }
}

/// A response that has no answer: yet, or for good.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered<'a> {
    /// Its id.
    pub id: &'a str,
    /// The model.
    pub model: &'a str,
    /// When it was asked for, in seconds.
    pub created_at: u64,
    /// As the API names its state: `queued`, `in_progress`, `cancelled`, `failed`.
    pub status: &'static str,
    /// Why it failed: code and message.
    pub error: Option<(&'a str, &'a str)>,
    /// What it builds on.
    pub previous: Option<&'a str>,
}

impl Unanswered<'_> {
    /// As the API shows it.
    pub fn shown(&self) -> Bytes {
        let Self { id, model, created_at, status, error, previous } = *self;
        let error = error.map(|(code, message)| json!({ "code": code, "message": message }));
        let shown = json!({
            "id": id,
            "object": "response",
            "created_at": created_at,
            "status": status,
            "background": true,
            "error": error,
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "model": model,
            "output": [],
            "parallel_tool_calls": true,
            "previous_response_id": previous,
            "store": true,
            "tool_choice": "auto",
            "tools": [],
            "usage": null,
        });
        shown.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &Value) -> Bytes {
        value.to_string().into()
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn what_is_asked_of_keeping_is_read() {
        let asks = |more: Value| {
            let mut body = json!({ "model": "m", "input": "hi" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Asks::read(&bytes(&body))
        };
        for nothing in [json!({}), json!({ "store": false }), json!({ "store": null, "previous_response_id": null })] {
            assert!(asks(nothing.clone()).unwrap().is_nothing(), "{nothing}");
        }
        assert!(asks(json!({ "store": true })).unwrap().store);
        assert!(asks(json!({ "background": true })).unwrap().store, "it is fetched later");
        assert_eq!(asks(json!({ "previous_response_id": "r" })).unwrap().previous.as_deref(), Some("r"));
        for wrong in [
            json!({ "previous_response_id": 7 }),
            json!({ "store": "yes" }),
            json!({ "background": true, "stream": true }),
            json!({ "background": true, "store": false }),
        ] {
            assert!(asks(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_holds_all_that_was_said() {
        let first = bytes(&json!({ "model": "m", "input": "one", "store": true }));
        let (made, said) = whole(&first, Items::default()).unwrap();
        let one = json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "one" }] });
        assert_eq!(json(&made), json!({ "model": "m", "input": [one], "store": false }));
        let thought = json!({ "type": "reasoning", "id": "rs_1", "summary": [] });
        let proved = json!({ "type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x" });
        let two =
            json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "2.50" }] });
        let answer = bytes(&json!({ "id": "resp_1", "output": [thought, proved, two] }));
        let before = said.and(Items::of_answer(&answer));
        let second = r#"{"model":"m","previous_response_id":"resp_1","background":true,"input":[{"role":"user","content":1.50}]}"#;
        let (made, said) = whole(&Bytes::from(second), before).unwrap();
        let made: Value = json(&made);
        assert_eq!(made["input"], json!([one, proved, two, { "role": "user", "content": 1.50 }]));
        assert_eq!((made.get("previous_response_id"), made.get("background")), (None, None));
        assert!(String::from_utf8(said.write()).unwrap().contains("1.50"), "as it was written");
        assert_eq!(said.listed()[3], json!({ "role": "user", "content": 1.50, "id": "item_3", "type": "message" }));
        for wrong in [json!(7), json!({})] {
            assert!(whole(&bytes(&json!({ "model": "m", "input": wrong })), Items::default()).is_err());
        }
    }

    #[test]
    fn an_answer_says_where_it_is_kept() {
        let said = Said { id: "resp_2".to_owned(), previous: Some("resp_1".to_owned()), background: true };
        let restated = json(&said.restate(&bytes(&json!({ "id": "theirs", "store": false, "output": [] }))));
        let expected = json!({ "id": "resp_2", "store": true, "output": [], "background": true, "previous_response_id": "resp_1" });
        assert_eq!(restated, expected);
        assert_eq!(said.restate(&Bytes::from_static(b"no json")), "no json");
    }

    #[test]
    fn of_a_stream_only_what_tells_the_response_changes() {
        let event = |kind: &str, more: &Value| {
            format!("event: {kind}\ndata: {}\n\n", json!({ "type": kind, "response": more }))
        };
        let response = json!({ "id": "r", "store": false });
        let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"store\"}\n\n";
        let piece = format!("{}{delta}: a comment\n\n", event("response.created", &response));
        let said = Said { previous: Some("p".to_owned()), ..Said::default() };
        let (restated, last) = said.restate_piece(&piece.into());
        let restated = String::from_utf8(restated.to_vec()).unwrap();
        assert!(restated.contains(r#""store":true"#) && restated.contains(r#""previous_response_id":"p""#));
        assert!(restated.ends_with(&format!("{delta}: a comment\n\n")) && last.is_none());
        let (_, last) = said.restate_piece(&event("response.completed", &response).into());
        assert_eq!(json(&last.unwrap())["store"], true);
    }
}
