//! Answers to completions of texts: whole, or a piece at a time; both have the same form.

use crate::chat::{self, ChoicePiece};
use crate::json::{Json, Object};
use crate::problem::Problem;
use crate::usage::{self, Usage};

/// What a body, or the data of one event, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it only keeps a stream alive.
    Nothing,
    /// The stream is whole.
    Done,
    /// The answer, or a piece of it.
    Text(Text),
    /// It tells what went wrong instead.
    Problem(Problem),
    /// It is a stream, where a body was expected.
    Streamed,
    /// It is nothing of the kind.
    Unreadable,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it says was used so far, or in all.
    pub usage: Option<Usage>,
    /// True if it has a field `usage`, also if that is `null`.
    pub has_usage_field: bool,
    /// Bytes of text.
    pub bytes: u64,
    /// The choices of which it holds something.
    pub choices: Vec<ChoicePiece>,
}

/// Reads a whole body.
pub fn read_whole(body: &[u8]) -> Answer {
    if chat::is_streamed(body) {
        return Answer::Streamed;
    }
    read(body)
}

/// Reads the data of one event.
pub fn read_event(data: &[u8]) -> Answer {
    let data = data.trim_ascii();
    if data.is_empty() {
        return Answer::Nothing;
    }
    if data.starts_with(b"[DONE]") { Answer::Done } else { read(data) }
}

fn read(body: &[u8]) -> Answer {
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Answer::Unreadable };
    let json = json.object();
    let has_choices = json.get("choices").is_some_and(|choices| !choices.is_nothing());
    if !has_choices && let Some(problem) = Problem::instead_of_answer(&json) {
        return Answer::Problem(problem);
    }
    let (mut bytes, mut choices) = (0, Vec::new());
    for choice in json.get("choices").into_iter().flat_map(Json::items) {
        let choice = choice.object();
        bytes += choice.get("text").and_then(Json::text_bytes).unwrap_or(0);
        choices.push(piece(&choice));
    }
    let has_usage_field = json.get("usage").is_some();
    Answer::Text(Text { usage: usage::of(&json), has_usage_field, bytes, choices })
}

fn piece(choice: &Object<'_>) -> ChoicePiece {
    ChoicePiece {
        index: choice.get("index").and_then(Json::count).unwrap_or(0),
        ends: choice.get("finish_reason").is_some_and(|reason| !reason.is_nothing()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(body: &str) -> Text {
        match read_whole(body.as_bytes()) {
            Answer::Text(text) => text,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn texts_of_all_choices_are_counted() {
        let read = text(
            r#"{"id":"cmpl-1","choices":[{"index":0,"text":"good","finish_reason":"length"},{"index":1,"text":" é","finish_reason":null}],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#,
        );
        assert_eq!((read.bytes, read.has_usage_field), (7, true));
        assert_eq!(read.usage.unwrap().tokens.total().0, 5);
        assert_eq!(read.choices, [ChoicePiece { index: 0, ends: true }, ChoicePiece { index: 1, ends: false }]);
    }

    #[test]
    fn an_event_is_what_its_data_says() {
        assert_eq!((read_event(b" "), read_event(b"[DONE]")), (Answer::Nothing, Answer::Done));
        assert!(matches!(read_event(br#"{"error":{"message":"overloaded"}}"#), Answer::Problem(_)));
        assert!(matches!(read_event(br#"{"choices":[],"usage":{"prompt_tokens":1}}"#), Answer::Text(_)));
        assert_eq!(read_event(b"{"), Answer::Unreadable);
        assert_eq!(read_whole(b"data: {}\n\n"), Answer::Streamed);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (read_whole(&body), read_event(&body));
        }
    }
}
