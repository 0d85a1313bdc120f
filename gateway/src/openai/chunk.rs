//! One chunk of a streamed answer: what it adds, and how it is passed on.

use bytes::Bytes;
use serde_json::Value;
use steward_events::event::TokenUsage;

use super::answer::generated_bytes;
use super::usage;

/// One event of a streamed answer.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// `[DONE]`.
    Done,
    /// The provider failed after it began.
    Failed {
        /// In its own words.
        message: String,
    },
    /// Something of the answer.
    Piece {
        /// What to pass on; none if it only says what the caller did not ask for.
        data: Option<Bytes>,
        /// What was used so far or in all, if it says so.
        usage: Option<TokenUsage>,
        /// True if it holds no choice: the report of usage at the end.
        only_usage: bool,
        /// Bytes of generated text.
        text_bytes: u64,
        /// True if a choice ended here.
        finished: bool,
    },
}

impl Chunk {
    /// Reads an event's data. Usage is taken out unless the caller asked for it.
    pub(crate) fn read(data: &Bytes, keep_usage: bool) -> Result<Self, serde_json::Error> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Self::Done);
        }
        let mut chunk: Value = serde_json::from_slice(data)?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let message = error.get("message").or(Some(error)).and_then(Value::as_str).unwrap_or("it failed");
            return Ok(Self::Failed { message: message.chars().take(2_000).collect() });
        }
        let usage = chunk.get("usage").and_then(usage::read);
        let choices: &[Value] = chunk.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice);
        let only_usage = choices.is_empty() && usage.is_some();
        let text_bytes = choices.iter().filter_map(|choice| choice.get("delta")).map(generated_bytes).sum();
        let finished = choices.iter().any(|choice| choice.get("finish_reason").is_some_and(|why| !why.is_null()));
        let data = if keep_usage {
            Some(data.clone())
        } else if only_usage {
            None
        } else {
            let hidden = chunk.as_object_mut().is_some_and(|fields| fields.shift_remove("usage").is_some());
            Some(if hidden { Bytes::from(chunk.to_string()) } else { data.clone() })
        };
        Ok(Self::Piece { data, usage, only_usage, text_bytes, finished })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed_on(data: &'static str, keep_usage: bool) -> Option<String> {
        match Chunk::read(&Bytes::from_static(data.as_bytes()), keep_usage).unwrap() {
            Chunk::Piece { data, .. } => data.map(|data| String::from_utf8(data.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn usage_is_hidden_from_those_who_did_not_ask() {
        let last = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!(passed_on(last, false), None);
        assert_eq!(passed_on(last, true).as_deref(), Some(last));
        let piece = r#"{"id":"x","usage":null,"choices":[{"delta":{"content":"a"}}]}"#;
        assert_eq!(passed_on(piece, false).as_deref(), Some(r#"{"id":"x","choices":[{"delta":{"content":"a"}}]}"#));
        assert_eq!(passed_on(piece, true).as_deref(), Some(piece));
    }

    #[test]
    fn the_end_and_a_failure_are_told_apart() {
        assert!(matches!(Chunk::read(&Bytes::from_static(b" [DONE] "), false), Ok(Chunk::Done)));
        let failed = Bytes::from_static(br#"{"error":{"message":"overloaded"}}"#);
        assert!(matches!(Chunk::read(&failed, false), Ok(Chunk::Failed { .. })));
        assert!(Chunk::read(&Bytes::from_static(b"{"), false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Chunk::read(&Bytes::from(data), false);
        }
    }
}
