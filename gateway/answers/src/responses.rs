//! Answers of OpenAI's Responses API: whole, or as typed events.

use crate::chat::is_streamed;
use crate::json::{Json, Object};
use crate::problem::Problem;
use crate::usage::{self, Usage};

mod split;

pub use split::as_events;

/// What a body says that was sent as a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is one.
    Whole {
        /// What it says it used.
        usage: Option<Usage>,
        /// Bytes of generated text.
        text_bytes: u64,
    },
    /// It tells what went wrong instead.
    Problem(Problem),
    /// It is a stream of events, which nobody asked for.
    Streamed,
    /// It is nothing of the kind.
    Unreadable,
}

/// Reads a whole body. A response that failed is a problem, unless it says what it used.
pub fn read_whole(body: &[u8]) -> Answer {
    if is_streamed(body) {
        return Answer::Streamed;
    }
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Answer::Unreadable };
    let json = json.object();
    let usage = usage::of(&json);
    if usage.is_none()
        && let Some(problem) = Problem::instead_of_answer(&json)
    {
        return Answer::Problem(problem);
    }
    if json.get("output").is_none() && usage.is_none() {
        return Answer::Unreadable;
    }
    Answer::Whole { usage, text_bytes: text_bytes(json.get("output")) }
}

/// What the data of one event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing: it only keeps the stream alive.
    Nothing,
    /// A piece of the answer, with so many bytes of generated text.
    Piece(u64),
    /// The answer is whole: what it used, as far as it says so.
    Last(Option<Usage>),
    /// What went wrong.
    Problem(Problem),
    /// All of the answer at once, as to a call without a stream.
    Whole,
    /// Nothing of the kind.
    Unreadable,
}

/// Reads the data of one event.
pub fn read_event(data: &[u8]) -> Event {
    let data = data.trim_ascii();
    // Some servers end every stream as that of a chat; what ends this one has been said by then.
    if data.is_empty() || data.starts_with(b"[DONE]") {
        return Event::Nothing;
    }
    let Some(json) = Json::read(data).filter(|json| json.is_object()) else { return Event::Unreadable };
    let json = json.object();
    let Some(kind) = json.get("type").and_then(Json::text) else {
        let is_whole = json.get("object").is_some_and(|object| object.is("response"));
        return match Problem::instead_of_answer(&json) {
            _ if is_whole => Event::Whole,
            Some(problem) => Event::Problem(problem),
            None => Event::Unreadable,
        };
    };
    match kind.as_str() {
        "response.completed" | "response.incomplete" => Event::Last(response(&json).and_then(|of| usage::of(&of))),
        "response.failed" => match response(&json) {
            Some(failed) => failed_with(&failed),
            None => Event::Problem(Problem::default()),
        },
        _ => match Problem::instead_of_answer(&json) {
            Some(problem) => Event::Problem(problem),
            // What is done repeats what came piece by piece.
            None if kind.rsplit('.').next() == Some("delta") => {
                Event::Piece(json.get("delta").and_then(Json::text_bytes).unwrap_or(0))
            }
            None => Event::Piece(0),
        },
    }
}

/// A response that failed and says what it used is the provider's last word; else it is a problem.
fn failed_with(response: &Object<'_>) -> Event {
    match usage::of(response) {
        Some(usage) => Event::Last(Some(usage)),
        None => Event::Problem(Problem::instead_of_answer(response).unwrap_or_default()),
    }
}

fn response<'a>(event: &Object<'a>) -> Option<Object<'a>> {
    Some(event.said("response")?.object())
}

/// The kind of event that this data is of; none if it does not say so in a word that can be a line's.
pub fn kind_of(data: &[u8]) -> Option<String> {
    let kind = Json::begun(data).get("type")?.text()?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (!kind.is_empty() && kind.bytes().all(is_word)).then_some(kind)
}

/// Bytes of generated text in a list of output items: words, thoughts and what tools are given.
fn text_bytes(output: Option<Json<'_>>) -> u64 {
    output.into_iter().flat_map(Json::items).map(|item| of_item(item, true)).sum()
}

fn of_item(item: Json<'_>, has_parts: bool) -> u64 {
    const WORDS: &[&str] = &["text", "refusal", "name", "arguments", "input", "code"];
    let of_field = |(name, value): (Json<'_>, Json<'_>)| {
        if WORDS.iter().any(|word| name.is(word)) {
            value.text_bytes().unwrap_or(0)
        } else if has_parts && (name.is("content") || name.is("summary")) {
            value.items().map(|part| of_item(part, false)).sum()
        } else {
            0
        }
    };
    item.fields().map(of_field).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn whole(body: &Value) -> Answer {
        read_whole(body.to_string().as_bytes())
    }

    fn event(data: &Value) -> Event {
        read_event(data.to_string().as_bytes())
    }

    fn used(usage: Option<Usage>) -> (u64, u64, u64, u64) {
        let tokens = usage.unwrap().tokens;
        (tokens.input.0, tokens.cached.0, tokens.output.0, tokens.reasoning.0)
    }

    fn usage() -> Value {
        json!({ "input_tokens": 12, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 9,
            "output_tokens_details": { "reasoning_tokens": 3 }, "total_tokens": 21 })
    }

    #[test]
    fn a_whole_response_says_its_usage_and_text() {
        let body = json!({ "id": "resp_1", "object": "response", "status": "completed", "error": null, "output": [
            { "id": "rs_1", "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": "xxxxxxxx" },
            { "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
              "content": [{ "type": "output_text", "text": "good day", "annotations": [] }, { "type": "refusal", "refusal": "no" }] },
            { "id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}" }],
            "usage": usage() });
        let Answer::Whole { usage, text_bytes } = whole(&body) else { panic!() };
        assert_eq!((used(usage), text_bytes), ((12, 4, 9, 3), 2 + 8 + 2 + 3 + 2));
    }

    #[test]
    fn a_failed_response_without_usage_is_a_problem() {
        let error = json!({ "code": "server_error", "message": "overloaded" });
        let failed = json!({ "object": "response", "status": "failed", "error": error, "output": [], "usage": null });
        let Answer::Problem(problem) = whole(&failed) else { panic!() };
        assert_eq!((problem.message.as_deref(), problem.code.as_deref()), (Some("overloaded"), Some("server_error")));
        let mut used = failed;
        used["usage"] = usage();
        assert!(matches!(whole(&used), Answer::Whole { usage: Some(_), .. }));
        assert!(matches!(whole(&json!({ "error": { "message": "busy" } })), Answer::Problem(_)));
        assert_eq!(read_whole(b"event: response.created\n"), Answer::Streamed);
        for unreadable in ["", "[]", "{}", "{\"output\":["] {
            assert_eq!(read_whole(unreadable.as_bytes()), Answer::Unreadable, "{unreadable}");
        }
    }

    #[test]
    fn an_event_is_what_its_type_says() {
        let text = json!({ "type": "response.output_text.delta", "item_id": "msg_1", "delta": "é!" });
        assert_eq!(event(&text), Event::Piece(3));
        assert_eq!(event(&json!({ "type": "response.output_text.done", "text": "é!" })), Event::Piece(0));
        assert_eq!(event(&json!({ "type": "response.created", "response": { "error": null } })), Event::Piece(0));
        let last = json!({ "type": "response.incomplete", "response": { "status": "incomplete", "usage": usage() } });
        let Event::Last(usage) = event(&last) else { panic!() };
        assert_eq!(used(usage), (12, 4, 9, 3));
        assert_eq!(event(&json!({ "type": "response.completed", "response": {} })), Event::Last(None));
        assert_eq!(
            (read_event(b""), read_event(b"[DONE]"), read_event(b"{")),
            (Event::Nothing, Event::Nothing, Event::Unreadable)
        );
        assert_eq!(event(&json!({ "object": "response", "output": [] })), Event::Whole);
    }

    #[test]
    fn a_failure_is_told_in_every_form() {
        for data in [
            json!({ "type": "error", "code": "c", "message": "m", "param": null, "sequence_number": 3 }),
            json!({ "type": "error", "error": { "type": "t", "code": "c", "message": "m" } }),
            json!({ "type": "response.failed", "response": { "status": "failed", "error": { "code": "c", "message": "m" } } }),
            json!({ "error": { "code": "c", "message": "m" } }),
        ] {
            let Event::Problem(problem) = event(&data) else { panic!("{data}") };
            assert_eq!((problem.code.as_deref(), problem.message.as_deref()), (Some("c"), Some("m")), "{data}");
        }
        let paid = json!({ "type": "response.failed", "response": { "error": { "message": "m" }, "usage": usage() } });
        assert!(matches!(event(&paid), Event::Last(Some(_))));
    }

    #[test]
    fn a_kind_is_one_word() {
        assert_eq!(kind_of(br#"{"type":"response.created"}"#).as_deref(), Some("response.created"));
        for none in [r#"{"type":"a\nb"}"#, r#"{"type":""}"#, r#"{"type":7}"#, "{}", "x"] {
            assert_eq!(kind_of(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (read_event(&data), read_whole(&data), kind_of(&data), as_events(&data));
        }
    }
}
