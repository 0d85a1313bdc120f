//! The texts of a request that a model reads as they stand, in whatever dialect: what can be counted by a vocabulary. What is
//! around them, and what a provider puts in words of its own (tools, schemas), is not among them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Fields;

/// Fields in which dialects have texts for the model.
const FIELDS: [&str; 5] = ["system", "instructions", "prompt", "input", "messages"];

/// How deep a text stands: in a part of a tool's answer in a part of a message, and lists around each.
const DEPTH_MAX: u32 = 8;

/// Passes each such text of a request to `hear`, in their order. Whatever is unclear is left out.
pub fn texts(body: &Fields, hear: &mut dyn FnMut(&str)) {
    for value in FIELDS.iter().filter_map(|field| body.get(field)) {
        within_value(value, hear);
    }
}

/// The same of one value: a text, a message, a list of these.
pub(crate) fn within_value(value: &[u8], hear: &mut dyn FnMut(&str)) {
    if let Ok(value) = serde_json::from_slice(value) {
        within(value, DEPTH_MAX, hear);
    }
}

/// A message, an item or a part of content.
#[derive(Deserialize)]
struct Part<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

fn within(value: &RawValue, depth: u32, hear: &mut dyn FnMut(&str)) {
    let json = value.get();
    let Some(depth) = depth.checked_sub(1) else { return };
    if json.starts_with('"') {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            hear(&text);
        }
    } else if json.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        for item in items {
            within(item, depth, hear);
        }
    } else if json.starts_with('{')
        && let Ok(part) = serde_json::from_str::<Part<'_>>(json)
    {
        let said = match part.r#type.as_deref() {
            Some("text" | "input_text" | "output_text") => part.text,
            None => part.content.or(part.text),
            Some("message" | "tool_result") => part.content,
            Some("function_call_output") => part.output,
            Some(_) => None,
        };
        if let Some(said) = said {
            within(said, depth, hear);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::any_json;

    fn heard(body: &Value) -> Vec<String> {
        let fields = Fields::read(&Bytes::from(body.to_string())).unwrap();
        let mut all = Vec::new();
        texts(&fields, &mut |text| all.push(text.to_owned()));
        all
    }

    #[test]
    fn texts_of_every_dialect_are_heard_in_their_order() {
        let chat = json!({ "model": "m", "messages": [
            { "role": "system", "content": "be \"brief\"" },
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }] },
            { "role": "assistant", "content": null, "tool_calls": [{ "function": { "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "found" }] });
        assert_eq!(heard(&chat), ["be \"brief\"", "look", "found"]);
        let messages = json!({ "system": [{ "type": "text", "text": "be brief" }], "messages": [
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "found" }] }] },
            { "role": "assistant", "content": [{ "type": "tool_use", "input": { "text": "no" } }] }] });
        assert_eq!(heard(&messages), ["be brief", "found"]);
        let responses = json!({ "instructions": "be brief", "input": [
            { "role": "user", "content": [{ "type": "input_text", "text": "hi" }] },
            { "type": "function_call_output", "call_id": "c", "output": "4" },
            { "type": "reasoning", "summary": [], "encrypted_content": "x" }] });
        assert_eq!(heard(&responses), ["be brief", "hi", "4"]);
        assert_eq!(heard(&json!({ "input": ["a", [1, 2], "b"] })), ["a", "b"]);
        assert_eq!(heard(&json!({ "prompt": "once" })), ["once"]);
    }

    #[test]
    fn what_stands_deeper_than_any_dialect_has_it_is_left_out() {
        let mut content = json!("deep");
        for _ in 0..200 {
            content = json!([{ "type": "tool_result", "content": content }]);
        }
        assert!(heard(&json!({ "messages": content })).is_empty());
    }

    proptest! {
        #[test]
        fn no_more_is_heard_than_there_is(value in any_json(&["content", "text", "type", "output"])) {
            let body = json!({ "messages": value });
            let bytes: usize = heard(&body).iter().map(String::len).sum();
            prop_assert!(bytes <= body.to_string().len());
        }
    }
}
