//! A whole message as the events that a stream would have brought.

use bytes::Bytes;

use crate::json::Json;

/// The data of each event, up to the reason for the end; `message_stop` is for who says that all is recorded. Nothing that
/// the message says is lost.
pub fn as_events(message: &[u8]) -> Vec<Bytes> {
    let message = Json::begun(message);
    let mut events = vec![begin(message)];
    for (index, block) in message.get("content").into_iter().flat_map(Json::items).enumerate() {
        events.extend(block_events(index, block));
    }
    let mut end = b"{\"type\":\"message_delta\",\"delta\":{".to_vec();
    let ending = message.fields().filter(|(name, _)| is_of_the_end(*name));
    put_fields(&mut end, ending);
    end.push(b'}');
    if let Some(usage) = message.said("usage") {
        end.extend_from_slice(b",\"usage\":");
        end.extend_from_slice(usage.raw());
    }
    end.push(b'}');
    events.push(end.into());
    events
}

fn is_of_the_end(name: Json<'_>) -> bool {
    ["stop_reason", "stop_sequence", "stop_details", "container"].iter().any(|known| name.is(known))
}

fn begin(message: Json<'_>) -> Bytes {
    let mut event = b"{\"type\":\"message_start\",\"message\":{".to_vec();
    put_fields(&mut event, message.fields().filter(|(name, _)| !is_of_the_end(*name) && !name.is("content")));
    if !event.ends_with(b"{") {
        event.push(b',');
    }
    event.extend_from_slice(b"\"content\":[],\"stop_reason\":null,\"stop_sequence\":null}}");
    event.into()
}

/// A block begins empty, and what it says follows: clients add up what is added, and take the rest from its beginning.
fn block_events(index: usize, block: Json<'_>) -> Vec<Bytes> {
    let kind = block.get("type").and_then(Json::text).unwrap_or_default();
    let added: &[(&str, &str, &str)] = match kind.as_str() {
        "text" => &[("text", "text_delta", "text")],
        "thinking" => &[("thinking", "thinking_delta", "thinking"), ("signature", "signature_delta", "signature")],
        _ => &[],
    };
    let is_added = |name: Json<'_>| added.iter().any(|(field, ..)| name.is(field));
    let is_input = |name: Json<'_>| kind == "tool_use" && name.is("input");
    let mut start = format!("{{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{{").into_bytes();
    put_fields(&mut start, block.fields().filter(|(name, _)| !is_added(*name) && !is_input(*name)));
    for (field, ..) in added {
        put_raw(&mut start, &format!("\"{field}\":\"\""));
    }
    if kind == "tool_use" {
        put_raw(&mut start, "\"input\":{}");
    }
    start.extend_from_slice(b"}}");
    let mut events = vec![Bytes::from(start)];
    let mut add = |kind: &str, field: &str, value: &[u8]| {
        let mut event = format!(
            "{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{field}\":"
        )
        .into_bytes();
        event.extend_from_slice(value);
        event.extend_from_slice(b"}}");
        events.push(event.into());
    };
    for (field, kind, name) in added {
        if let Some(value) = block.said(field).filter(|value| value.is_text() && !value.is_nothing()) {
            add(kind, name, value.raw());
        }
    }
    if let Some(input) = block.said("input").filter(|input| kind == "tool_use" && !input.is_nothing()) {
        add("input_json_delta", "partial_json", &as_text(input.raw()));
    }
    events.push(format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}").into());
    events
}

/// JSON as a text in JSON.
fn as_text(json: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in json {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            other => text.push(*other),
        }
    }
    text.push(b'"');
    text
}

fn put_fields<'a>(to: &mut Vec<u8>, fields: impl Iterator<Item = (Json<'a>, Json<'a>)>) {
    for (name, value) in fields {
        if !to.ends_with(b"{") {
            to.push(b',');
        }
        to.extend_from_slice(name.raw());
        to.push(b':');
        to.extend_from_slice(value.raw());
    }
}

fn put_raw(to: &mut Vec<u8>, field: &str) {
    if !to.ends_with(b"{") {
        to.push(b',');
    }
    to.extend_from_slice(field.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_whole_message_becomes_its_events() {
        let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "good \"day\"", "citations": null },
            { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "a": "b\n" } }],
            "stop_reason": "tool_use", "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": 5 } });
        let events: Vec<Value> = as_events(message.to_string().as_bytes())
            .iter()
            .map(|event| serde_json::from_slice(event).unwrap())
            .collect();
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        let (start, delta, stop) = ("content_block_start", "content_block_delta", "content_block_stop");
        assert_eq!(
            kinds,
            ["message_start", start, delta, delta, stop, start, delta, stop, start, delta, stop, "message_delta"]
        );
        assert_eq!(events[0]["message"]["id"], "msg_1");
        assert_eq!(events[0]["message"]["content"], json!([]));
        assert_eq!(events[1]["content_block"], json!({ "type": "thinking", "thinking": "", "signature": "" }));
        assert_eq!(events[6]["delta"], json!({ "type": "text_delta", "text": "good \"day\"" }));
        assert_eq!(
            events[8]["content_block"],
            json!({ "type": "tool_use", "id": "toolu_1", "name": "f", "input": {} })
        );
        let input = events[9]["delta"]["partial_json"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(input).unwrap(), json!({ "a": "b\n" }));
        assert_eq!(events[11]["delta"]["stop_reason"], "tool_use");
        assert_eq!(events[11]["usage"]["output_tokens"], 5);
    }
}
