//! A whole response, both ways.

use bytes::Bytes;
use serde_json::Value;
use steward_answers::json::Json;
use steward_answers::responses::{self, Answer as Read};
use steward_answers::usage;

use super::items::{self, Head};
use super::thoughts;
use crate::canonical::{Answer, Choice, Content, End, Frame, ToolUse, Whole};

/// Writes it.
pub(super) fn write(answer: &Answer, frame: &Frame) -> Bytes {
    let head = Head::of(frame, answer.id.as_deref(), answer.model.as_deref());
    // A response has one choice: more cannot be asked for.
    let choice = answer.choices.first();
    let end = choice.and_then(|choice| choice.end.as_ref());
    let output = output(choice.map_or(&[], |choice| &choice.parts), &frame.id, items::status(end));
    head.ended(end, &output, answer.usage.as_ref()).to_string().into()
}

/// Text and refusals that follow each other are one message; all else is an item of its own. Only the last one can be
/// incomplete.
fn output(parts: &[Content], id: &str, last_status: &str) -> Vec<Value> {
    let (mut output, mut said) = (Vec::new(), Vec::new());
    let close = |output: &mut Vec<Value>, said: &mut Vec<Value>, status: &str| {
        if !said.is_empty() {
            output.push(items::message(&format!("msg_{id}_{}", output.len()), status, &std::mem::take(said)));
        }
    };
    for (number, part) in parts.iter().enumerate() {
        let status = if number + 1 == parts.len() { last_status } else { "completed" };
        match part {
            Content::Text(text) => said.push(items::text(text)),
            Content::Refusal(why) => said.push(items::refusal(why)),
            Content::ToolUse(ToolUse { id: call, name, input }) => {
                close(&mut output, &mut said, "completed");
                let id = format!("fc_{id}_{}", output.len());
                output.push(items::call(&id, status, (call, name), input));
            }
            Content::Thinking { text, signature } => {
                close(&mut output, &mut said, "completed");
                let sealed = signature.as_deref().map(thoughts::signed);
                output.push(thoughts::item(&format!("rs_{id}_{}", output.len()), text, sealed.as_deref()));
            }
            Content::HiddenThinking(hidden) => {
                close(&mut output, &mut said, "completed");
                let sealed = thoughts::hidden(hidden);
                output.push(thoughts::item(&format!("rs_{id}_{}", output.len()), "", Some(&sealed)));
            }
            // No request that can be translated asks for these.
            Content::Image(_) | Content::Document(..) | Content::Audio(_) | Content::ToolResult { .. } => {}
        }
    }
    close(&mut output, &mut said, last_status);
    output
}

/// Reads it. What a provider's own tools did is told by what the model says of it.
pub(super) fn read(body: &Bytes) -> Whole {
    match responses::read_whole(body) {
        Read::Whole { .. } => {}
        Read::Problem(problem) => return Whole::Problem(problem),
        Read::Streamed | Read::Unreadable => return Whole::Unreadable,
    }
    let json = Json::begun(body).object();
    let parts: Vec<Content> = json.get("output").into_iter().flat_map(Json::items).flat_map(contents).collect();
    let calls_tools = parts.iter().any(|part| matches!(part, Content::ToolUse(_)));
    let text = |name: &str| json.get(name).and_then(Json::text);
    Whole::Answer(Answer {
        id: text("id"),
        model: text("model"),
        choices: vec![Choice { parts, end: Some(end(json.whole(), calls_tools)) }],
        usage: usage::of(&json),
    })
}

/// Why a response ends.
pub(super) fn end(response: Json<'_>, calls_tools: bool) -> End {
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
    match reason {
        Some(reason) if reason.is("content_filter") => End::Filtered,
        Some(reason) if reason.is_text() => End::Length,
        _ if calls_tools => End::ToolUse,
        _ => End::Stop,
    }
}

/// What an item says.
fn contents(item: Json<'_>) -> Vec<Content> {
    let text = |of: Json<'_>, name: &str| of.get(name).and_then(Json::text).unwrap_or_default();
    let kind = text(item, "type");
    match kind.as_str() {
        "message" => {
            let said = |part: Json<'_>| match part.get("refusal").and_then(Json::text) {
                Some(why) => Some(Content::Refusal(why)),
                None => Some(Content::Text(part.get("text")?.text()?)),
            };
            item.get("content").into_iter().flat_map(Json::items).filter_map(said).collect()
        }
        "function_call" => {
            let [id, name, input] = ["call_id", "name", "arguments"].map(|name| text(item, name));
            vec![Content::ToolUse(ToolUse { id, name, input })]
        }
        "reasoning" => {
            let told = ["content", "summary"].map(|field| {
                let parts = item.get(field).into_iter().flat_map(Json::items);
                parts.filter_map(|part| part.get("text")?.text()).collect::<Vec<_>>().join("\n")
            });
            let signature = item.said("encrypted_content").and_then(Json::text);
            let text = told.into_iter().find(|told| !told.is_empty()).unwrap_or_default();
            let is_said = !text.is_empty() || signature.is_some();
            is_said.then_some(Content::Thinking { text, signature }).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steward_answers::usage::Usage;
    use steward_events::event::TokenUsage;
    use steward_events::quantity::Tokens;

    use super::*;

    fn frame() -> Frame {
        Frame { id: "req_1".to_owned(), model: "theirs".to_owned(), created: 7 }
    }

    fn answer(parts: Vec<Content>, end: End) -> Answer {
        let tokens = TokenUsage { input: Tokens(12), output: Tokens(9), ..TokenUsage::default() };
        let usage = Some(Usage { tokens, input_is_said: true, output_is_said: true });
        Answer { id: None, model: None, choices: vec![Choice { parts, end: Some(end) }], usage }
    }

    fn written(answer: &Answer) -> Value {
        serde_json::from_slice(&write(answer, &frame())).unwrap()
    }

    #[test]
    fn an_answer_is_written_as_items() {
        let call = ToolUse { id: "call_1".to_owned(), name: "add".to_owned(), input: "{\"a\":2}".to_owned() };
        let parts = vec![
            Content::Thinking { text: "hm".to_owned(), signature: Some("sig".to_owned()) },
            Content::Text("good ".to_owned()),
            Content::Text("day".to_owned()),
            Content::ToolUse(call),
        ];
        let expected = json!({
            "id": "resp_req_1", "object": "response", "created_at": 7, "status": "completed", "background": false,
            "error": null, "incomplete_details": null, "model": "theirs",
            "output": [
                { "id": "rs_req_1_0", "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": "signed:sig" },
                { "id": "msg_req_1_1", "type": "message", "status": "completed", "role": "assistant", "content": [
                    { "type": "output_text", "text": "good ", "annotations": [] }, { "type": "output_text", "text": "day", "annotations": [] }] },
                { "id": "fc_req_1_2", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "add", "arguments": "{\"a\":2}" },
            ],
            "previous_response_id": null, "service_tier": "default", "store": false,
            "usage": { "input_tokens": 12, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 9,
                "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 21 },
        });
        assert_eq!(written(&answer(parts, End::ToolUse)), expected);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_incomplete() {
        for (end, reason) in [(End::Length, "max_output_tokens"), (End::Filtered, "content_filter")] {
            let cut = written(&answer(vec![Content::Text("goo".to_owned())], end));
            assert_eq!((&cut["status"], &cut["incomplete_details"]["reason"]), (&json!("incomplete"), &json!(reason)));
            assert_eq!(cut["output"][0]["status"], "incomplete");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let call = ToolUse { id: "call_1".to_owned(), name: "add".to_owned(), input: "{}".to_owned() };
        let parts = vec![Content::Text("good".to_owned()), Content::Refusal("no".to_owned()), Content::ToolUse(call)];
        let before = answer(parts, End::ToolUse);
        let Whole::Answer(after) = read(&write(&before, &frame())) else { panic!() };
        assert_eq!(format!("{:?}", after.choices), format!("{:?}", before.choices));
        assert_eq!(
            (after.usage, after.id.as_deref(), after.model.as_deref()),
            (before.usage, Some("resp_req_1"), Some("theirs"))
        );
    }

    #[test]
    fn a_failed_response_is_a_problem() {
        let failed =
            json!({ "object": "response", "status": "failed", "error": { "code": "c", "message": "m" }, "output": [] });
        assert!(
            matches!(read(&failed.to_string().into()), Whole::Problem(problem) if problem.message.as_deref() == Some("m"))
        );
        assert!(matches!(read(&Bytes::from_static(b"{")), Whole::Unreadable));
    }
}
