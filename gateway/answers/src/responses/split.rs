//! A whole response as the events that a stream would have brought.

use bytes::Bytes;

use crate::json::Json;

/// The data of each event: the beginning, every item, the end. Nothing that the response says is lost, because the last event
/// holds all of it.
pub fn as_events(answer: &[u8]) -> Vec<Bytes> {
    let json = Json::begun(answer);
    let mut events = Events::default();
    let begun = with(json, &[("status", b"\"in_progress\""), ("output", b"[]"), ("usage", b"null")]);
    events.put("response.created", &[], ("response", &begun));
    for (number, item) in json.get("output").into_iter().flat_map(Json::items).enumerate() {
        events.item(number.to_string().as_bytes(), item);
    }
    let end = ["incomplete", "failed"].into_iter().find(|end| json.get("status").is_some_and(|status| status.is(end)));
    events.put(&format!("response.{}", end.unwrap_or("completed")), &[], ("response", json.raw()));
    events.0
}

#[derive(Default)]
struct Events(Vec<Bytes>);

/// A field's name, and its value as JSON.
type Field<'a> = (&'a str, &'a [u8]);

impl Events {
    /// An event of this kind: where it belongs, and what it says.
    fn put(&mut self, kind: &str, place: &[Field<'_>], says: Field<'_>) {
        let mut event = format!("{{\"type\":\"{kind}\",\"sequence_number\":{}", self.0.len()).into_bytes();
        for (name, value) in place.iter().chain([&says]) {
            event.extend_from_slice(format!(",\"{name}\":").as_bytes());
            event.extend_from_slice(value);
        }
        event.push(b'}');
        self.0.push(event.into());
    }

    /// What clients put together piece by piece is empty where it begins.
    fn item(&mut self, number: &[u8], item: Json<'_>) {
        let of_kind = |kind: &str| item.get("type").is_some_and(|of| of.is(kind));
        let parts = item.get("content").filter(|_| of_kind("message"));
        let arguments = item.get("arguments").filter(|_| of_kind("function_call"));
        let begun = match (parts, arguments) {
            (Some(_), _) => with(item, &[("content", b"[]")]),
            (None, Some(_)) => with(item, &[("arguments", b"\"\"")]),
            (None, None) => item.raw().to_vec(),
        };
        let place = [("output_index", number), ("item_id", item.get("id").map_or(&b"null"[..], Json::raw))];
        self.put("response.output_item.added", &place[..1], ("item", &begun));
        for (index, part) in parts.into_iter().flat_map(Json::items).enumerate() {
            let index = index.to_string();
            self.part(&[place[0], place[1], ("content_index", index.as_bytes())], part);
        }
        if let Some(arguments) = arguments {
            self.put("response.function_call_arguments.delta", &place, ("delta", arguments.raw()));
            self.put("response.function_call_arguments.done", &place, ("arguments", arguments.raw()));
        }
        self.put("response.output_item.done", &place[..1], ("item", item.raw()));
    }

    fn part(&mut self, place: &[Field<'_>], part: Json<'_>) {
        let said = ["text", "refusal"].into_iter().find_map(|name| Some((name, part.get(name)?)));
        let begun = said.map_or_else(|| part.raw().to_vec(), |(name, _)| with(part, &[(name, b"\"\"")]));
        self.put("response.content_part.added", place, ("part", &begun));
        if let Some((name, words)) = said {
            let kind = if name == "text" { "response.output_text" } else { "response.refusal" };
            self.put(&format!("{kind}.delta"), place, ("delta", words.raw()));
            self.put(&format!("{kind}.done"), place, (name, words.raw()));
        }
        self.put("response.content_part.done", place, ("part", part.raw()));
    }
}

/// `object` with other values, as JSON, in these of its fields; what it does not have is not added.
fn with(object: Json<'_>, others: &[Field<'_>]) -> Vec<u8> {
    let mut text = vec![b'{'];
    for (name, value) in object.fields() {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(name.raw());
        text.push(b':');
        let other = others.iter().find(|(other, _)| name.is(other));
        text.extend_from_slice(other.map_or(value.raw(), |(_, value)| value));
    }
    text.push(b'}');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_whole_response_becomes_every_event_of_a_stream() {
        let message = json!({ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": "good day", "annotations": [] }] });
        let call =
            json!({ "id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}" });
        let search = json!({ "id": "ws_1", "type": "web_search_call", "status": "completed" });
        let answer = json!({ "id": "resp_1", "object": "response", "status": "completed", "model": "m",
            "output": [message, call, search], "usage": { "input_tokens": 1, "output_tokens": 2 } });
        let events: Vec<Value> = as_events(answer.to_string().as_bytes())
            .iter()
            .map(|event| serde_json::from_slice(event).unwrap())
            .collect();
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "response.created",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.output_item.done",
                "response.completed",
            ]
        );
        assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == number));
        assert_eq!(
            (&events[0]["response"]["status"], &events[0]["response"]["output"]),
            (&json!("in_progress"), &json!([]))
        );
        assert_eq!((&events[1]["item"]["content"], &events[7]["item"]["arguments"]), (&json!([]), &json!("")));
        assert_eq!((&events[3]["delta"], &events[3]["item_id"]), (&json!("good day"), &json!("msg_1")));
        assert_eq!((&events[6]["item"], &events[10]["item"], &events[13]["response"]), (&message, &call, &answer));
    }

    #[test]
    fn a_response_that_did_not_complete_ends_so() {
        for status in ["incomplete", "failed"] {
            let events = as_events(json!({ "status": status, "output": [] }).to_string().as_bytes());
            let last: Value = serde_json::from_slice(events.last().unwrap()).unwrap();
            assert_eq!(last["type"], format!("response.{status}"));
        }
    }
}
