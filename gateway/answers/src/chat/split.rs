//! A whole answer as the chunks that a stream would have brought.

use bytes::Bytes;

use crate::json::Json;

/// The data of each event: every choice at once, their ends, the usage. Nothing that the answer says is lost.
pub fn as_chunks(answer: &[u8]) -> Vec<Bytes> {
    let json = Json::begun(answer);
    let head = head(json);
    let choices: Vec<Json<'_>> = json.get("choices").into_iter().flat_map(Json::items).collect();
    let mut chunks = Vec::with_capacity(choices.len() * 2 + 1);
    for choice in &choices {
        let delta = choice.said("message").map_or_else(|| b"{}".to_vec(), delta);
        chunks.push(chunk(&head, *choice, &delta, b"null"));
    }
    for choice in &choices {
        if let Some(reason) = choice.said("finish_reason") {
            chunks.push(chunk(&head, *choice, b"{}", reason.raw()));
        }
    }
    if let Some(usage) = json.said("usage") {
        let mut last = head;
        last.extend_from_slice(b"\"choices\":[],\"usage\":");
        last.extend_from_slice(usage.raw());
        last.push(b'}');
        chunks.push(last.into());
    }
    chunks
}

/// `{` and the fields that every chunk has.
fn head(answer: Json<'_>) -> Vec<u8> {
    let mut head = br#"{"object":"chat.completion.chunk","#.to_vec();
    let is_kept = |name: Json<'_>| !["object", "choices", "usage", "error"].iter().any(|left_out| name.is(left_out));
    for (name, value) in answer.fields().filter(|(name, _)| is_kept(*name)) {
        head.extend_from_slice(name.raw());
        head.push(b':');
        head.extend_from_slice(value.raw());
        head.push(b',');
    }
    head
}

fn chunk(head: &[u8], choice: Json<'_>, delta: &[u8], reason: &[u8]) -> Bytes {
    let mut chunk = head.to_vec();
    chunk.extend_from_slice(b"\"choices\":[");
    chunk.extend_from_slice(b"{\"index\":");
    chunk.extend_from_slice(choice.said("index").map_or(b"0", Json::raw));
    chunk.extend_from_slice(b",\"delta\":");
    chunk.extend_from_slice(delta);
    chunk.extend_from_slice(b",\"finish_reason\":");
    chunk.extend_from_slice(reason);
    chunk.extend_from_slice(b"}]}");
    chunk.into()
}

/// A message as a delta: its tool calls are numbered.
fn delta(message: Json<'_>) -> Vec<u8> {
    let mut delta = vec![b'{'];
    for (name, value) in message.fields() {
        if delta.len() > 1 {
            delta.push(b',');
        }
        delta.extend_from_slice(name.raw());
        delta.push(b':');
        if name.is("tool_calls") && value.is_list() {
            delta.push(b'[');
            for (number, call) in value.items().enumerate() {
                numbered(&mut delta, number, call);
            }
            delta.push(b']');
        } else {
            delta.extend_from_slice(value.raw());
        }
    }
    delta.push(b'}');
    delta
}

fn numbered(to: &mut Vec<u8>, number: usize, call: Json<'_>) {
    if number > 0 {
        to.push(b',');
    }
    if !call.is_object() || call.get("index").is_some() {
        return to.extend_from_slice(call.raw());
    }
    to.extend_from_slice(format!("{{\"index\":{number}").as_bytes());
    to.extend_from_slice(if call.fields().next().is_some() { b"," } else { b"" });
    to.extend_from_slice(&call.raw()[1..]);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_whole_answer_becomes_deltas_ends_and_usage() {
        let answer = json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            { "index": 0, "message": { "role": "assistant", "content": "good day" }, "finish_reason": "stop" },
            { "index": 1, "message": { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{}" } }, {}] },
              "finish_reason": "tool_calls" }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 5 } });
        let chunks: Vec<Value> = as_chunks(answer.to_string().as_bytes())
            .iter()
            .map(|chunk| serde_json::from_slice(chunk).unwrap())
            .collect();
        assert_eq!(chunks.len(), 5);
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == "x" && chunk["created"] == 1)
        );
        assert_eq!(
            chunks[0]["choices"],
            json!([{ "index": 0, "delta": { "role": "assistant", "content": "good day" }, "finish_reason": null }])
        );
        assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
        assert_eq!(chunks[1]["choices"][0]["delta"]["tool_calls"][1], json!({ "index": 1 }));
        assert_eq!(chunks[2]["choices"], json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]));
        assert_eq!(chunks[3]["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["prompt_tokens"]), (&json!([]), &json!(10)));
    }

    #[test]
    fn an_answer_without_anything_becomes_nothing() {
        assert!(as_chunks(b"{}").is_empty());
    }
}
