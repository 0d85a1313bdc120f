//! The question that a request asks: the text of its last message, apart from all else that it says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Fields;

/// Bytes of a question; what is longer is no question but material.
const TEXT_BYTES_MAX: usize = 2_000;

/// Fields by which more is asked for than some text.
const MORE: &[&str] = &[
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "modalities",
    "audio",
    "logprobs",
    "top_logprobs",
    "prediction",
    "web_search_options",
    "output_config",
    "output_format",
    "mcp_servers",
];

/// What is asked last, and all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The text.
    pub text: String,
    /// A digest of all that stands beside it: what was said before, and the settings.
    pub rest: [u8; blake3::OUT_LEN],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    r#type: Cow<'a, str>,
    text: String,
}

/// The question of a body whose turns are `messages`; none if anything in it is more than text. `idle` are the fields that
/// change nothing.
pub(super) fn of_messages(body: &Fields, idle: &[&str]) -> Option<Question> {
    let is_said = |field: &&str| body.get(field).is_some_and(|value| &**value != b"null");
    if MORE.iter().any(is_said) {
        return None;
    }
    let messages: Vec<&RawValue> = body.read_as("messages").ok()??;
    let (last, before) = messages.split_last()?;
    let (role, text) = text_of(last)?;
    if role != "user" || text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut rest = blake3::Hasher::new();
    for message in before {
        let (role, text) = text_of(message)?;
        // Both have one length, so that they cannot run into each other.
        rest.update(blake3::hash(role.as_bytes()).as_bytes());
        rest.update(blake3::hash(text.as_bytes()).as_bytes());
    }
    let beside: Vec<&str> = idle.iter().copied().chain(["messages"]).collect();
    rest.update(&body.digest(&beside));
    Some(Question { text, rest: rest.finalize().into() })
}

/// Who says what, if it is text.
fn text_of(message: &RawValue) -> Option<(Cow<'_, str>, String)> {
    let Message { role, content } = serde_json::from_str(message.get()).ok()?;
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return Some((role, text));
    }
    let [Part { r#type, text }] = serde_json::from_str::<[Part<'_>; 1]>(content.get()).ok()?;
    (r#type == "text").then_some((role, text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::openai_chat::OpenAiChat;
    use crate::{Dialect, Question};

    fn question(body: &Value) -> Option<Question> {
        OpenAiChat.question(&OpenAiChat.read(&body.to_string().into()).unwrap())
    }

    fn asks(text: &str) -> Value {
        json!({ "model": "m", "temperature": 0, "messages": [
            { "role": "system", "content": "be brief" }, { "role": "user", "content": text },
        ] })
    }

    #[test]
    fn a_question_is_the_last_text_apart_from_all_else() {
        let one = question(&asks("how are you?")).unwrap();
        assert_eq!(one.text, "how are you?");
        let in_parts = json!([{ "type": "text", "text": "how do you do?" }]);
        let mut other = asks("");
        other["messages"][1]["content"] = in_parts;
        other["user"] = json!("ana");
        let other = question(&other).unwrap();
        assert_eq!((other.text.as_str(), other.rest), ("how do you do?", one.rest));
        for (place, value) in
            [("/temperature", json!(1)), ("/messages/0/content", json!("be long")), ("/messages/0/role", json!("user"))]
        {
            let mut body = asks("how are you?");
            *body.pointer_mut(place).unwrap() = value;
            assert_ne!(question(&body).unwrap().rest, one.rest, "{place}");
        }
        let mut longer = asks("how are you?");
        longer["messages"].as_array_mut().unwrap().insert(1, json!({ "role": "assistant", "content": "well" }));
        assert_ne!(question(&longer).unwrap().rest, one.rest);
    }

    #[test]
    fn what_is_more_than_text_is_no_question() {
        let image = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA" } }]);
        for (field, value) in [
            ("tools", json!([{ "type": "function", "function": { "name": "f" } }])),
            ("response_format", json!({ "type": "json_object" })),
            ("n", json!(2)),
            ("messages", json!([{ "role": "user", "content": image }])),
            ("messages", json!([{ "role": "user", "content": image }, { "role": "user", "content": "what is it?" }])),
            ("messages", json!([{ "role": "assistant", "content": "hi" }])),
            ("messages", json!([{ "role": "user", "content": "x".repeat(2_001) }])),
            ("messages", json!([{ "role": "user", "content": " " }])),
            ("messages", json!([{ "role": "user", "name": "ana", "content": "hi" }])),
        ] {
            let mut body = asks("hi");
            body[field] = value;
            assert_eq!(question(&body), None, "{body}");
        }
    }
}
