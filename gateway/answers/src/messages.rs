//! Answers to Anthropic's messages: whole, or an event at a time.

use crate::chat::{Answer, generated_bytes, is_streamed};
use crate::json::{Json, Object};
use crate::problem::Problem;
use crate::usage::{self, Usage};

mod split;

pub use split::as_events;

/// Reads a whole body.
pub fn read_whole(body: &[u8]) -> Answer {
    if is_streamed(body) {
        return Answer::Streamed;
    }
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Answer::Unreadable };
    let json = json.object();
    if json.get("content").is_none_or(|content| !content.is_list())
        && let Some(problem) = Problem::instead_of_answer(&json)
    {
        return Answer::Problem(problem);
    }
    let blocks = json.get("content").into_iter().flat_map(Json::items);
    Answer::Whole { usage: usage::of(&json), text_bytes: blocks.map(block_bytes).sum() }
}

/// What the data of one event of a streamed answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing: it only keeps the stream alive.
    Nothing,
    /// The answer is whole.
    Done,
    /// What went wrong.
    Problem(Problem),
    /// A piece of the answer.
    Piece {
        /// What it says was used so far, or in all.
        usage: Option<Usage>,
        /// Bytes of generated text.
        text_bytes: u64,
        /// True if it says why the answer ends.
        ends: bool,
    },
    /// All of the answer at once, as to a call without a stream.
    Whole,
    /// Nothing of the kind.
    Unreadable,
}

/// Reads the data of one event.
pub fn read_event(data: &[u8]) -> Event {
    let data = data.trim_ascii();
    if data.is_empty() {
        return Event::Nothing;
    }
    if data.starts_with(b"[DONE]") {
        return Event::Done;
    }
    let Some(json) = Json::read(data).filter(|json| json.is_object()) else { return Event::Unreadable };
    let json = json.object();
    let piece = |usage, text_bytes, ends| Event::Piece { usage, text_bytes, ends };
    let Some(kind) = json.get("type").and_then(Json::text) else {
        return Problem::instead_of_answer(&json).map_or(Event::Unreadable, Event::Problem);
    };
    match kind.as_str() {
        "ping" => Event::Nothing,
        "message_start" => piece(json.get("message").and_then(|message| begun(&message.object())), 0, false),
        "content_block_start" => piece(None, json.get("content_block").map_or(0, block_bytes), false),
        "content_block_delta" => piece(None, json.get("delta").map_or(0, block_bytes), false),
        "message_delta" => {
            let reason = json.get("delta").and_then(|delta| delta.said("stop_reason"));
            piece(usage::of(&json), 0, reason.is_some_and(|reason| !reason.is_nothing()))
        }
        "message_stop" => Event::Done,
        "message" => Event::Whole,
        "error" => Event::Problem(Problem::instead_of_answer(&json).unwrap_or_default()),
        // What comes with time is passed on.
        _ => piece(None, 0, false),
    }
}

/// What a message that begins says it used: its output is a beginning, and an input of nothing is not known yet.
fn begun(message: &Object<'_>) -> Option<Usage> {
    let usage = usage::of(message)?;
    let input_is_said = usage.input_is_said && usage.tokens.input.0 > 0;
    Some(Usage { input_is_said, output_is_said: false, ..usage }).filter(|usage| usage.input_is_said)
}

/// Bytes of generated text in a block of content, or in what is added to one.
pub fn block_bytes(block: Json<'_>) -> u64 {
    const GENERATED: &[&str] = &["text", "thinking", "name", "input", "partial_json"];
    let is_generated = |name: Json<'_>| GENERATED.iter().any(|known| name.is(known));
    block.fields().filter(|(name, _)| is_generated(*name)).map(|(_, value)| generated_bytes(value)).sum()
}

/// True if `data` is an event of a stream by its own word for itself: what is to stand in its line `event:`.
pub fn kind_of(data: &[u8]) -> Option<String> {
    let is_plain = |kind: &String| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    Json::begun(data).get("type")?.text().filter(is_plain)
}

/// The index of the block that is open after this event, if it tells one.
pub fn open_block(data: &[u8]) -> Option<u64> {
    let json = Json::begun(data);
    let is_open = json.get("type").is_some_and(|kind| kind.is("content_block_start") || kind.is("content_block_delta"));
    is_open.then(|| json.get("index")?.count()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steward_events::event::ServiceTier;
    use steward_events::quantity::Tokens;

    use super::*;

    #[test]
    fn a_body_is_a_message_an_error_or_neither() {
        let good = br#"{"type":"message","content":[{"type":"thinking","thinking":"hm","signature":"xxxx"},{"type":"text","text":"good day"},
            {"type":"tool_use","id":"t","name":"f","input":{"a":"bc"}}],"usage":{"input_tokens":3,"output_tokens":9}}"#;
        let Answer::Whole { usage: Some(usage), text_bytes } = read_whole(good) else { panic!() };
        assert_eq!((usage.tokens.input, usage.tokens.output, text_bytes), (Tokens(3), Tokens(9), 2 + 8 + 1 + 2));
        let error = br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"r"}"#;
        assert!(
            matches!(read_whole(error), Answer::Problem(Problem { kind: Some(kind), .. }) if kind == "overloaded_error")
        );
        assert_eq!(read_whole(b"event: message_start\ndata: {}\n\n"), Answer::Streamed);
        assert_eq!(read_whole(b"<html>"), Answer::Unreadable);
    }

    #[test]
    fn an_event_is_what_its_type_says() {
        let piece = |text_bytes, ends| Event::Piece { usage: None, text_bytes, ends };
        for (data, expected) in [
            (r#"{"type":"ping"}"#, Event::Nothing),
            ("", Event::Nothing),
            (r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#, piece(0, false)),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"abc"}}"#, piece(3, false)),
            (
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#,
                piece(3, false),
            ),
            (
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"abcdef"}}"#,
                piece(0, false),
            ),
            (r#"{"type":"content_block_stop","index":0}"#, piece(0, false)),
            (r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#, piece(0, true)),
            (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, piece(0, false)),
            (r#"{"type":"message_stop"}"#, Event::Done),
            (r#"{"type":"message","content":[]}"#, Event::Whole),
            (r#"{"type":"something_new","message":"x"}"#, piece(0, false)),
            ("{", Event::Unreadable),
            (r#"{"a":1}"#, Event::Unreadable),
        ] {
            assert_eq!(read_event(data.as_bytes()), expected, "{data}");
        }
        let failed = read_event(br#"{"type":"error","error":{"type":"api_error","message":"why"}}"#);
        assert!(matches!(failed, Event::Problem(Problem { message: Some(why), .. }) if why == "why"));
    }

    #[test]
    fn the_end_of_a_message_keeps_what_its_beginning_said() {
        let said = |data: &str| match read_event(data.as_bytes()) {
            Event::Piece { usage, .. } => usage.unwrap(),
            other => panic!("{other:?}"),
        };
        let begins = said(
            r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":100,
                "cache_creation_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30},
                "output_tokens":1,"service_tier":"priority"}}}"#,
        );
        assert!(begins.input_is_said && !begins.output_is_said);
        for end in [
            r#"{"output_tokens":25}"#,
            r#"{"input_tokens":10,"output_tokens":25}"#,
            r#"{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":40,"output_tokens":25}"#,
            r#"{"input_tokens":null,"cache_read_input_tokens":null,"output_tokens":25}"#,
        ] {
            let end =
                said(&format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{end}}}"#));
            let tokens = end.after(Some(begins)).tokens;
            assert_eq!((tokens.input, tokens.cached, tokens.output), (Tokens(150), Tokens(100), Tokens(25)), "{end:?}");
            assert_eq!((tokens.cache_write, tokens.cache_write_1h), (Tokens(10), Tokens(30)), "{end:?}");
            assert_eq!(tokens.tier, ServiceTier::Priority);
        }
        let unknown = br#"{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#;
        assert!(matches!(read_event(unknown), Event::Piece { usage: None, .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (read_event(&data), read_whole(&data), as_events(&data), kind_of(&data), open_block(&data));
        }
    }
}
