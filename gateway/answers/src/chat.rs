//! Answers to chats: whole, or a chunk at a time.

use std::ops::Range;

use crate::json::{Json, Object};
use crate::problem::Problem;
use crate::usage::{self, Usage};

mod generated;
mod split;

pub(crate) use generated::bytes as generated_bytes;
pub use split::as_chunks;

/// What a body says that was sent as the answer to a chat.
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
    /// It is a stream of chunks, which nobody asked for.
    Streamed,
    /// It is nothing of the kind.
    Unreadable,
}

/// Reads a whole body.
pub fn read_whole(body: &[u8]) -> Answer {
    if is_streamed(body) {
        return Answer::Streamed;
    }
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Answer::Unreadable };
    let json = json.object();
    let has_choices = json.get("choices").is_some_and(|choices| !choices.is_nothing());
    if !has_choices && let Some(problem) = Problem::instead_of_answer(&json) {
        return Answer::Problem(problem);
    }
    let messages = || json.get("choices").into_iter().flat_map(Json::items).filter_map(|choice| choice.get("message"));
    Answer::Whole { usage: usage::of(&json), text_bytes: messages().map(generated::bytes).sum() }
}

/// True if `body` begins like a stream of events, whatever type it says it has.
pub fn is_streamed(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|start| body.starts_with(start))
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
    Chunk(Chunk),
    /// All of the answer at once, as to a call without a stream.
    Whole,
    /// Nothing of the kind.
    Unreadable,
}

/// A piece of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What it says was used so far, or in all.
    pub usage: Option<Usage>,
    /// True if it has a field `usage`, also if that is `null`.
    pub has_usage_field: bool,
    /// Bytes of generated text.
    pub text_bytes: u64,
    /// The choices of which it holds something.
    pub choices: Vec<ChoicePiece>,
}

/// A piece of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChoicePiece {
    /// Which choice.
    pub index: u64,
    /// True if it ends here.
    pub ends: bool,
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
    if let Some(problem) = Problem::instead_of_answer(&json) {
        return Event::Problem(problem);
    }
    let (mut text_bytes, mut choices) = (0, Vec::new());
    for choice in json.get("choices").into_iter().flat_map(Json::items) {
        let choice = choice.object();
        if choice.said("message").is_some() && choice.said("delta").is_none() {
            return Event::Whole;
        }
        text_bytes += choice.get("delta").map_or(0, generated::bytes);
        choices.push(piece(&choice));
    }
    let has_usage_field = json.get("usage").is_some();
    Event::Chunk(Chunk { usage: usage::of(&json), has_usage_field, text_bytes, choices })
}

fn piece(choice: &Object<'_>) -> ChoicePiece {
    ChoicePiece {
        index: choice.get("index").and_then(Json::count).unwrap_or(0),
        ends: choice.get("finish_reason").is_some_and(|reason| !reason.is_nothing()),
    }
}

/// `chunk` without its fields `usage`; the rest stays as it came.
pub fn without_usage(chunk: &[u8]) -> Vec<u8> {
    let mut rest = chunk.to_vec();
    while let Some(field) = usage_field(&rest) {
        rest.drain(field);
    }
    rest
}

/// A field `usage`, with the comma that goes with it.
fn usage_field(chunk: &[u8]) -> Option<Range<usize>> {
    let place = |json: Json<'_>| (json.raw().as_ptr() as usize).checked_sub(chunk.as_ptr() as usize);
    let (name, value) = Json::begun(chunk).fields().find(|(name, _)| name.is("usage"))?;
    let (begins, ends) = (place(name)?, place(value)? + value.raw().len());
    let before = chunk.get(..begins)?.trim_ascii_end();
    if before.ends_with(b",") {
        return Some(before.len() - 1..ends);
    }
    // It is the first field: the comma that follows goes with it.
    let after = chunk.get(ends..)?;
    let rest = after.trim_ascii_start();
    let ends = if rest.starts_with(b",") { ends + after.len() - rest.len() + 1 } else { ends };
    Some(begins..ends)
}

/// What the first choice of a whole answer says: its text, or the text parts of it. None if it says nothing in words.
pub fn text_of(body: &[u8]) -> Option<String> {
    let answer = Json::read(body)?;
    let content = answer.get("choices")?.items().next()?.get("message")?.said("content")?;
    if content.is_text() {
        return content.text();
    }
    let is_spoken = |part: &Json<'_>| {
        part.is_text() || part.get("type").is_none_or(|kind| kind.is("text") || kind.is("output_text"))
    };
    let words = |part: Json<'_>| if part.is_text() { part.text() } else { part.get("text")?.text() };
    let parts: Vec<String> = content.items().filter(is_spoken).filter_map(words).collect();
    (!parts.is_empty()).then(|| parts.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn chunk(data: &str) -> Chunk {
        match read_event(data.as_bytes()) {
            Event::Chunk(chunk) => chunk,
            other => panic!("{data}: {other:?}"),
        }
    }

    #[test]
    fn a_body_is_what_it_begins_like() {
        let good = br#"{"choices":[{"message":{"content":"good day"}}],"usage":{"prompt_tokens":10,"completion_tokens":5},"score":NaN}"#;
        assert!(matches!(read_whole(good), Answer::Whole { usage: Some(_), text_bytes: 8 }));
        assert!(matches!(
            read_whole(br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#),
            Answer::Whole { .. }
        ));
        assert!(matches!(read_whole(br#"{"error":{"message":"busy"},"user_id":"u"}"#), Answer::Problem(_)));
        assert!(matches!(read_whole(br#"{"choices":[{"message":{}}],"error":{"code":1}}"#), Answer::Whole { .. }));
        for streamed in ["data: {}", ": busy\n\n", "\n\nevent: x\n", "id: 1", "retry: 3"] {
            assert_eq!(read_whole(streamed.as_bytes()), Answer::Streamed, "{streamed}");
        }
        for unreadable in ["", "no json", "[]", "{\"choices\":[", "7"] {
            assert_eq!(read_whole(unreadable.as_bytes()), Answer::Unreadable, "{unreadable}");
        }
    }

    #[test]
    fn an_event_is_what_its_data_says() {
        assert_eq!(
            (read_event(b""), read_event(b" "), read_event(b" [DONE] ")),
            (Event::Nothing, Event::Nothing, Event::Done)
        );
        assert!(matches!(read_event(br#"{"error":{"message":"overloaded"}}"#), Event::Problem(_)));
        assert_eq!(
            read_event(br#"{"choices":[{"index":0,"message":{"content":"all"},"finish_reason":"stop"}]}"#),
            Event::Whole
        );
        assert_eq!(read_event(b"{"), Event::Unreadable);
        let half = chunk(r#"{"choices":[{"index":1,"delta":{"content":"\ud83d"},"finish_reason":""}],"error":""}"#);
        assert_eq!((half.text_bytes, half.choices), (2, vec![ChoicePiece { index: 1, ends: false }]));
        for (reason, ends) in
            [("null", false), ("\"\"", false), ("false", false), ("\"stop\"", true), ("\"length\"", true)]
        {
            let data = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":{reason}}}]}}"#);
            assert_eq!(chunk(&data).choices[0].ends, ends, "{reason}");
        }
    }

    #[test]
    fn only_the_usage_goes_wherever_it_stands() {
        for (piece, rest) in [
            (r#"{"id":"x","usage":null,"choices":[{"delta":{}}]}"#, r#"{"id":"x","choices":[{"delta":{}}]}"#),
            (r#"{"usage":null,"id":"x"}"#, r#"{"id":"x"}"#),
            (r#"{"usage":null , "usage":{"a":1}, "id":"x"}"#, r#"{  "id":"x"}"#),
            (r#"{"id":"x" , "usage" : {"a":1} }"#, r#"{"id":"x"  }"#),
            (r#"{ "usage" : 7 }"#, "{  }"),
            (r#"{"id":"x","\u0075sage":null,"n":1}"#, r#"{"id":"x","n":1}"#),
            (r#"{"id":"usage"}"#, r#"{"id":"usage"}"#),
        ] {
            assert_eq!(String::from_utf8(without_usage(piece.as_bytes())).unwrap(), rest, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_chunk_without_usage(
            names in prop::collection::vec("usage|[a-c]{1,2}", 1..5),
            blanks in prop::collection::vec(" ?", 4),
            value in prop::sample::select(vec!["null", "7", r#"{"usage":"}"}"#, r#"[",\"usage\":"]"#]),
        ) {
            let field = |name: &String| format!("{0}\"{name}\"{1}:{2}{value}{3}", blanks[0], blanks[1], blanks[2], blanks[3]);
            let text = format!("{{{}}}", names.iter().map(field).collect::<Vec<_>>().join(","));
            let mut expected: Value = serde_json::from_str(&text).unwrap();
            expected.as_object_mut().unwrap().shift_remove("usage");
            prop_assert_eq!(serde_json::from_slice::<Value>(&without_usage(text.as_bytes())).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (read_event(&data), read_whole(&data), text_of(&data), without_usage(&data), as_chunks(&data));
        }
    }

    #[test]
    fn the_text_of_an_answer_is_what_was_said_in_words() {
        let text =
            |content: &str| text_of(format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#).as_bytes());
        assert_eq!(text(r#""good day""#).unwrap(), "good day");
        let parts = r#"[{"type":"thinking","thinking":[{"type":"text","text":"let me see"}]},{"type":"text","text":"good "},{"text":"day"}]"#;
        assert_eq!(text(parts).unwrap(), "good day");
        assert_eq!((text("null"), text("[]"), text(r#"[{"type":"image_url"}]"#)), (None, None, None));
        assert_eq!(text_of(br#"{"choices":[]}"#), None);
    }
}
