//! One chunk of a streamed answer: what it adds, and how it is passed on.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::generated::Generated;
use super::usage;
use crate::dialect::{AnswerEvent, Unreadable};

/// Reads an event's data. Usage is taken out unless the caller asked for it.
pub(super) fn read(data: &Bytes, keep_usage: bool) -> Result<AnswerEvent, Unreadable> {
    if data.trim_ascii() == b"[DONE]" {
        return Ok(AnswerEvent::Done);
    }
    let Fields { error, usage: said, service_tier, choices } = serde_json::from_slice(data)?;
    if let Some(error) = error {
        let message = error.get("message").or(Some(&error)).and_then(Value::as_str).unwrap_or("it failed");
        return Ok(AnswerEvent::Failed { message: message.chars().take(2_000).collect() });
    }
    let choices = choices.unwrap_or_default();
    let usage = said.and_then(|said| usage::read(said, service_tier));
    let only_usage = choices.is_empty() && usage.is_some();
    let text_bytes = choices.iter().filter_map(|choice| choice.delta).map(|Generated(bytes)| bytes).sum();
    let finished = choices.iter().any(|choice| choice.finish_reason.is_some());
    let data = match said {
        Some(_) if only_usage && !keep_usage => None,
        Some(said) if !keep_usage => Some(without_usage(data, said)?),
        _ => Some(data.clone()),
    };
    Ok(AnswerEvent::Piece { data, usage, only_usage, text_bytes, finished })
}

/// What must be understood of a chunk.
#[derive(Deserialize)]
struct Fields<'a> {
    error: Option<Value>,
    /// As it stands there, also `null`: some providers say so in every chunk.
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    choices: Option<Vec<Choice>>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Generated>,
    finish_reason: Option<IgnoredAny>,
}

fn as_it_stands<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `data` without its field `usage`, whose value is `said`: cut out where it is written as usual, so that the rest
/// stays as it came; else the chunk is written anew.
fn without_usage(data: &Bytes, said: &RawValue) -> Result<Bytes, Unreadable> {
    if let Some(cut) = cut_out(data, said) {
        return Ok(cut);
    }
    let mut chunk: Value = serde_json::from_slice(data)?;
    if let Some(fields) = chunk.as_object_mut() {
        fields.shift_remove("usage");
    }
    Ok(Bytes::from(chunk.to_string()))
}

fn cut_out(data: &Bytes, said: &RawValue) -> Option<Bytes> {
    let begins = (said.get().as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
    let (before, after) = (data.get(..begins)?, data.get(begins + said.get().len()..)?);
    let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"usage\"")?;
    let (before, after) = match before.trim_ascii_end().strip_suffix(b",") {
        Some(before) => (before, after),
        // It is the first field: the comma that follows goes with it.
        None => (before, after.trim_ascii_start().strip_prefix(b",").unwrap_or(after)),
    };
    Some(Bytes::from([before, after].concat()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed_on(data: &'static str, keep_usage: bool) -> Option<String> {
        match read(&Bytes::from_static(data.as_bytes()), keep_usage).unwrap() {
            AnswerEvent::Piece { data, .. } => data.map(|data| String::from_utf8(data.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn usage_is_hidden_unless_requested() {
        let last = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!(passed_on(last, false), None);
        assert_eq!(passed_on(last, true).as_deref(), Some(last));
        let piece = r#"{"id":"x","usage":null,"choices":[{"delta":{"content":"a"}}]}"#;
        assert_eq!(passed_on(piece, false).as_deref(), Some(r#"{"id":"x","choices":[{"delta":{"content":"a"}}]}"#));
        assert_eq!(passed_on(piece, true).as_deref(), Some(piece));
    }

    #[test]
    fn only_the_usage_goes_wherever_it_stands() {
        for (piece, rest) in [
            (r#"{"usage":null,"id":"x"}"#, r#"{"id":"x"}"#),
            (r#"{"id":"x" , "usage" : {"a":1} }"#, r#"{"id":"x"  }"#),
            (r#"{ "usage" : 7 }"#, "{  }"),
            (r#"{"id":"x","\u0075sage":null,"n":1}"#, r#"{"id":"x","n":1}"#),
        ] {
            assert_eq!(passed_on(piece, false).as_deref(), Some(rest), "{piece}");
        }
    }

    #[test]
    fn the_end_and_a_failure_are_told_apart() {
        assert!(matches!(read(&Bytes::from_static(b" [DONE] "), false), Ok(AnswerEvent::Done)));
        let failed = Bytes::from_static(br#"{"error":{"message":"overloaded"}}"#);
        assert!(matches!(read(&failed, false), Ok(AnswerEvent::Failed { .. })));
        assert!(read(&Bytes::from_static(b"{"), false).is_err());
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_chunk_without_usage(
            names in prop::collection::hash_set("usage|[a-c]{1,2}", 1..5),
            blanks in prop::collection::vec(" ?", 4),
            value in prop::sample::select(vec!["null", "7", r#"{"usage":"}"}"#, r#"[",\"usage\":"]"#]),
        ) {
            let field = |name: &String| format!("{0}\"{name}\"{1}:{2}{value}{3}", blanks[0], blanks[1], blanks[2], blanks[3]);
            let text = format!("{{{}}}", names.iter().map(field).collect::<Vec<_>>().join(","));
            let mut expected: Value = serde_json::from_str(&text).unwrap();
            expected.as_object_mut().unwrap().shift_remove("usage");
            let AnswerEvent::Piece { data, .. } = read(&Bytes::from(text), false).unwrap() else { panic!() };
            prop_assert_eq!(serde_json::from_slice::<Value>(&data.unwrap()).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&Bytes::from(data), false);
        }
    }
}
