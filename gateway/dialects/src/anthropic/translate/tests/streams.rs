//! Streamed answers of both dialects, and the usage of all answers.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use steward_answers::json::Json;
use steward_answers::usage::{self, Usage};
use steward_events::event::{ServiceTier, TokenUsage};
use steward_events::quantity::Tokens;

use super::{frame, value};
use crate::anthropic::Anthropic;
use crate::canonical::{Answer, Choice, Content, Delta, End, TranslatesCaller, TranslatesUpstream, WritesStream};
use crate::openai_chat::OpenAiChat;
use crate::{AnswerEvent, Dialect, ModelRequest};

/// What a stream of `events` becomes, to its end.
fn streamed(upstream: &dyn TranslatesUpstream, mut writer: Box<dyn WritesStream>, events: &[Value]) -> Vec<Bytes> {
    let mut reader = upstream.stream_reader();
    let mut deltas: Vec<Delta> = events.iter().flat_map(|event| reader.read(&event.to_string().into())).collect();
    deltas.extend(reader.end());
    deltas.into_iter().flat_map(|delta| writer.write(delta)).collect()
}

#[test]
fn a_streamed_chat_becomes_the_events_of_a_message() {
    let chunk = |delta: Value, reason: Value| json!({ "id": "c1", "model": "gpt", "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] });
    let call = |call: Value| chunk(json!({ "tool_calls": [call] }), Value::Null);
    let events = [
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
        chunk(json!({ "reasoning_content": "hm" }), Value::Null),
        chunk(json!({ "content": "good " }), Value::Null),
        chunk(json!({ "content": "day" }), Value::Null),
        call(json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"a\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "1}" } })),
        chunk(json!({}), json!("tool_calls")),
        json!({ "id": "c1", "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5 } }),
    ];
    let written = streamed(&OpenAiChat, Anthropic.stream_writer(frame()), &events);
    let start =
        |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: u64| json!({ "type": "content_block_stop", "index": index });
    let expected = [
        json!({ "type": "message_start", "message": { "id": "c1", "type": "message", "role": "assistant", "model": "gpt",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 } } }),
        start(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "hm" })),
        stop(0),
        start(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "good " })),
        delta(1, json!({ "type": "text_delta", "text": "day" })),
        stop(1),
        start(2, json!({ "type": "tool_use", "id": "call_1", "name": "f", "input": {} })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "{\"a\":" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "1}" })),
        stop(2),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": {
            "input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ];
    assert_eq!(written.iter().map(value).collect::<Vec<_>>(), expected);
}

#[test]
fn the_events_of_a_message_become_a_streamed_chat() {
    let events = [
        json!({ "type": "message_start", "message": { "id": "msg_1", "model": "claude",
            "usage": { "input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "hm" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "s" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "good day" } }),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "tool_use", "id": "t", "name": "f", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "{}" } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ];
    let written = streamed(&Anthropic, OpenAiChat.stream_writer(frame()), &events);
    assert_eq!(written.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> = written[..written.len() - 1].iter().map(value).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == "msg_1" && chunk["model"] == "claude" && chunk["created"] == 7));
    let deltas: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0].get("delta")).collect();
    let expected = [
        json!({ "role": "assistant", "content": "" }),
        json!({ "reasoning_content": "hm" }),
        json!({ "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "s" }] }),
        json!({ "content": "good day" }),
        json!({ "tool_calls": [{ "index": 0, "id": "t", "type": "function", "function": { "name": "f", "arguments": "" } }] }),
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{}" } }] }),
        json!({}),
    ];
    assert_eq!(deltas, expected.iter().collect::<Vec<_>>());
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    let usage = &chunks.last().unwrap()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(10), &json!(5)));
}

#[test]
fn a_failure_in_a_stream_is_one_to_the_caller() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } });
    let written = streamed(&Anthropic, OpenAiChat.stream_writer(frame()), &[error]);
    let request = OpenAiChat.read(&r#"{"model":"m","messages":[{}],"stream":true}"#.into()).unwrap();
    assert!(matches!(OpenAiChat.read_event(&request, &written[0]), AnswerEvent::Failed(_)));
    let written = streamed(&OpenAiChat, Anthropic.stream_writer(frame()), &[json!({ "error": { "message": "busy" } })]);
    assert!(
        matches!(Anthropic.read_event(&request, &written[0]), AnswerEvent::Failed(problem) if problem.message.as_deref() == Some("busy"))
    );
}

/// What was used, as a provider can mean it: what the cache had or took is a part of the input.
fn any_usage() -> impl Strategy<Value = Usage> {
    let counts = prop::array::uniform8(0..1_000_000_u64);
    let tier = prop::sample::select(vec![
        ServiceTier::Standard,
        ServiceTier::Flex,
        ServiceTier::Priority,
        ServiceTier::Fast,
        ServiceTier::Batch,
    ]);
    (counts, tier).prop_map(|([fresh, cached, short, hour, reasoning, said, sound, searches], tier)| {
        let (input, output) = (fresh + cached + short + hour, reasoning + said);
        Usage {
            tokens: TokenUsage {
                input: Tokens(input),
                cached: Tokens(cached),
                output: Tokens(output),
                reasoning: Tokens(reasoning),
                cache_write: Tokens(short),
                cache_write_1h: Tokens(hour),
                audio_input: Tokens(sound.min(input)),
                audio_output: Tokens(sound.min(output)),
                searches,
                tier,
                ..TokenUsage::default()
            },
            input_is_said: true,
            output_is_said: true,
        }
    })
}

/// The dialects of callers, and a request of each.
fn callers() -> [(&'static dyn TranslatesCaller, &'static dyn Dialect, ModelRequest); 2] {
    let chat = r#"{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"content":"a"}],"stream":true}"#;
    [
        (&OpenAiChat, &OpenAiChat, OpenAiChat.read(&chat.into()).unwrap()),
        (&Anthropic, &Anthropic, Anthropic.read(&messages.into()).unwrap()),
    ]
}

proptest! {
    #[test]
    fn usage_is_read_as_it_was_written(usage in any_usage()) {
        let choice = Choice { parts: vec![Content::Text("hi".to_owned())], end: Some(End::Stop) };
        let answer = Answer { choices: vec![choice], usage: Some(usage), ..Answer::default() };
        for (translates, dialect, request) in callers() {
            let whole = translates.write_whole(&answer, &frame());
            prop_assert_eq!(usage::of(&Json::read(&whole).unwrap().object()), Some(usage));
            let mut writer = translates.stream_writer(frame());
            let deltas = [
                Delta::Begins { id: None, model: None }, Delta::Text(0, "hi".to_owned()), Delta::Ends(0, End::Stop),
                Delta::Usage(usage), Delta::Done,
            ];
            let mut said: Option<Usage> = None;
            for data in deltas.into_iter().flat_map(|delta| writer.write(delta)) {
                if let AnswerEvent::Piece { usage: Some(usage), .. } = dialect.read_event(&request, &data) {
                    said = Some(usage.after(said));
                }
            }
            prop_assert_eq!(said, Some(usage));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..80), text in r#"\{("(type|index|delta|choices|content)":("a"|-?[0-9]{1,25}|\[\]|\[\{\}\]|\{\}|null),?){0,5}\}"#) {
        for data in [Bytes::from(data), Bytes::from(text)] {
            for upstream in [&OpenAiChat as &dyn TranslatesUpstream, &Anthropic] {
                let _ = (upstream.read_whole(&data), upstream.stream_reader().read(&data));
            }
        }
    }
}

#[test]
fn what_is_not_said_of_usage_stays_open() {
    let tokens = TokenUsage { input: Tokens(9), ..TokenUsage::default() };
    let usage = Usage { tokens, input_is_said: true, output_is_said: false };
    for (translates, dialect, request) in callers() {
        let mut writer = translates.stream_writer(frame());
        let deltas =
            [Delta::Begins { id: None, model: None }, Delta::Ends(0, End::Stop), Delta::Usage(usage), Delta::Done];
        let mut said = None;
        for data in deltas.into_iter().flat_map(|delta| writer.write(delta)) {
            if let AnswerEvent::Piece { usage: Some(usage), .. } = dialect.read_event(&request, &data) {
                said = Some(usage.after(said));
            }
        }
        assert_eq!(said, Some(usage));
        let mut writer = translates.stream_writer(frame());
        let silent = [Delta::Begins { id: None, model: None }, Delta::Ends(0, End::Stop), Delta::Done];
        let pieces = silent.into_iter().flat_map(|delta| writer.write(delta)).collect::<Vec<_>>();
        let says =
            |data: &Bytes| matches!(dialect.read_event(&request, data), AnswerEvent::Piece { usage: Some(_), .. });
        assert!(!pieces.iter().any(says), "{pieces:?}");
    }
}
