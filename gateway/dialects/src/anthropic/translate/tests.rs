//! Requests and answers of both dialects, as each becomes the other's.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::anthropic::{Anthropic, EffortForm};
use crate::canonical::{Frame, TranslatesCaller, TranslatesUpstream, Whole};
use crate::error::Error;
use crate::openai_chat::{LimitField, OpenAiChat};
use crate::{Dialect, Recipient, Speaks};

mod streams;

const CHAT: Speaks =
    Speaks::OpenAiChat { limit_field: LimitField::MaxCompletionTokens, only_that: false, stream_options: true };
const MESSAGES: Speaks = Speaks::Anthropic { effort: EffortForm::Word };

fn to(speaks: Speaks) -> Recipient<'static> {
    Recipient { speaks, model: "theirs", output_max: 2_000 }
}

fn frame() -> Frame {
    Frame { id: "req_1".to_owned(), model: "theirs".to_owned(), created: 7 }
}

fn value(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn blamed(error: Error) -> String {
    match error {
        Error::BadRequest { param, .. } => param.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A request of Anthropic's, as a server of chat completions gets it.
fn as_chat(body: &Value) -> Result<Value, Error> {
    let request = Anthropic.read(&body.to_string().into())?;
    Ok(value(&OpenAiChat.write_request(&Anthropic.read_request(&request)?, &to(CHAT))?))
}

/// A request for chat completions, as Anthropic gets it.
fn as_messages(body: &Value, speaks: Speaks) -> Result<Value, Error> {
    let request = OpenAiChat.read(&body.to_string().into())?;
    Ok(value(&Anthropic.write_request(&OpenAiChat.read_request(&request)?, &to(speaks))?))
}

#[test]
fn a_request_for_a_message_becomes_one_for_a_chat() {
    let body = json!({
        "model": "small", "max_tokens": 9_000, "stream": true, "temperature": 0.5, "top_p": 0.9,
        "stop_sequences": ["END"], "metadata": { "user_id": "u1" },
        "thinking": { "type": "enabled", "budget_tokens": 8_000 },
        "system": [{ "type": "text", "text": "be brief", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
        "tools": [{ "name": "weather", "description": "tells it", "input_schema": { "type": "object" }, "strict": true }],
        "tool_choice": { "type": "tool", "name": "weather", "disable_parallel_tool_use": true },
        "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "what is this" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
                { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" }, "title": "t" }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "s" },
                { "type": "text", "text": "let me see" },
                { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Ulm" } }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    { "type": "text", "text": "no such city" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "CCCC" } }] },
                { "type": "text", "text": "well?" }] },
        ],
    });
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let expected = json!({
        "model": "theirs",
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [
                { "type": "text", "text": "what is this" },
                image("data:image/png;base64,AAAA"),
                image("https://example.com/a.png"),
                { "type": "file", "file": { "filename": "t", "file_data": "data:application/pdf;base64,BBBB" } }] },
            { "role": "assistant", "content": "let me see", "tool_calls": [
                { "id": "toolu_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Ulm\"}" } }] },
            { "role": "tool", "tool_call_id": "toolu_1", "content": "Error: no such city" },
            { "role": "user", "content": [image("data:image/png;base64,CCCC"), { "type": "text", "text": "well?" }] },
        ],
        "max_completion_tokens": 2_000, "temperature": 0.5, "top_p": 0.9, "user": "u1", "reasoning_effort": "medium",
        "stop": ["END"],
        "tools": [{ "type": "function", "function": { "name": "weather", "description": "tells it",
            "parameters": { "type": "object" }, "strict": true } }],
        "parallel_tool_calls": false,
        "tool_choice": { "type": "function", "function": { "name": "weather" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": { "type": "object" }, "strict": true } },
        "stream": true, "stream_options": { "include_usage": true },
    });
    assert_eq!(as_chat(&body).unwrap(), expected);
}

#[test]
fn a_request_for_a_chat_becomes_one_for_a_message() {
    let body = json!({
        "model": "small", "max_tokens": 2_000, "stream": true, "stream_options": { "include_usage": true },
        "temperature": 0.5, "top_p": null, "stop": "END", "user": "u1", "n": 1, "reasoning_effort": "minimal",
        "presence_penalty": 0, "logprobs": false, "service_tier": "auto", "store": false,
        "tools": [
            { "type": "function", "function": { "name": "weather", "parameters": { "type": "object" }, "strict": false } },
            { "type": "function", "function": { "name": "time" } }],
        "parallel_tool_calls": false,
        "response_format": { "type": "json_schema", "json_schema": { "name": "a", "schema": { "type": "object" }, "strict": true } },
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": "what is" },
            { "role": "user", "content": [
                { "type": "text", "text": "this", "cache_control": { "type": "ephemeral" } },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "auto" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
                { "type": "file", "file": { "filename": "t", "file_data": "data:application/pdf;base64,BBBB" } }] },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [],
                "reasoning_content": "hm", "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "s" }],
                "tool_calls": [{ "id": "call.1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\": \"Ulm\"}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "time", "arguments": "" } }] },
            { "role": "tool", "tool_call_id": "call.1", "content": "rain" },
            { "role": "tool", "tool_call_id": "call_2", "content": [{ "type": "text", "text": "noon" }] },
            { "role": "developer", "content": "be kind" },
            { "role": "user", "content": "well?" },
        ],
    });
    let expected = json!({
        "model": "theirs", "max_tokens": 2_000,
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "what is" },
                { "type": "text", "text": "this", "cache_control": { "type": "ephemeral" } },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
                { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" }, "title": "t" }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "hm", "signature": "s" },
                { "type": "tool_use", "id": "call_1", "name": "weather", "input": { "city": "Ulm" } },
                { "type": "tool_use", "id": "call_2", "name": "time", "input": {} }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": [{ "type": "text", "text": "rain" }] },
                { "type": "tool_result", "tool_use_id": "call_2", "content": [{ "type": "text", "text": "noon" }] },
                { "type": "text", "text": "well?" }] },
        ],
        "temperature": 0.5, "stop_sequences": ["END"], "stream": true, "thinking": { "type": "adaptive" },
        "system": [{ "type": "text", "text": "be brief" }, { "type": "text", "text": "be kind" }],
        "tools": [{ "name": "weather", "input_schema": { "type": "object" } },
            { "name": "time", "input_schema": { "type": "object", "properties": {} } }],
        "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
        "metadata": { "user_id": "u1" },
        "output_config": { "effort": "low", "format": { "type": "json_schema", "schema": { "type": "object" } } },
    });
    assert_eq!(as_messages(&body, MESSAGES).unwrap(), expected);
}

#[test]
fn thinking_stays_within_the_output_of_older_models() {
    let thinking = |effort: &str, limit: u64| {
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "reasoning_effort": effort });
        let request = OpenAiChat.read_request(&OpenAiChat.read(&body.to_string().into()).unwrap()).unwrap();
        let speaks = Speaks::Anthropic { effort: EffortForm::Tokens };
        let written = Anthropic.write_request(&request, &Recipient { output_max: limit, ..to(speaks) }).unwrap();
        assert!(value(&written).get("output_config").is_none());
        value(&written).get("thinking").cloned()
    };
    assert_eq!(thinking("high", 100_000), Some(json!({ "type": "enabled", "budget_tokens": 32_768 })));
    assert_eq!(thinking("high", 2_000), Some(json!({ "type": "enabled", "budget_tokens": 1_999 })));
    assert_eq!(thinking("high", 1_024), None);
    assert_eq!(thinking("none", 9), Some(json!({ "type": "disabled" })));
}

#[test]
fn what_a_chat_says_and_messages_cannot_is_refused_by_name() {
    let hello = || json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    for (field, value) in [
        ("n", json!(2)),
        ("seed", json!(7)),
        ("frequency_penalty", json!(0.5)),
        ("presence_penalty", json!(-1)),
        ("logprobs", json!(true)),
        ("logit_bias", json!({ "7": 1 })),
        ("modalities", json!(["text", "audio"])),
        ("service_tier", json!("flex")),
        ("store", json!(true)),
        ("functions", json!([{ "name": "f" }])),
        ("web_search_options", json!({ "a": 1 })),
        ("some_new_field", json!("x")),
    ] {
        let mut body = hello();
        body[field] = value;
        assert_eq!(blamed(as_messages(&body, MESSAGES).unwrap_err()), field);
    }
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_object" } });
    assert_eq!(blamed(as_messages(&body, MESSAGES).unwrap_err()), "response_format");
    for (message, place) in [
        (json!({ "role": "user", "name": "bob", "content": "hi" }), "messages.0.name"),
        (json!({ "role": "function", "content": "hi" }), "messages.0.role"),
        (json!({ "role": "user", "content": [{ "type": "video_url" }] }), "messages.0.content.0.type"),
        (
            json!({ "role": "user", "content": [{ "type": "input_audio", "input_audio": { "format": "wav", "data": "AA" } }] }),
            "messages.0.content.0",
        ),
        (
            json!({ "role": "assistant", "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": "{" } }] }),
            "messages.0.content.0",
        ),
        (
            json!({ "role": "assistant", "tool_calls": [{ "id": "a", "type": "custom", "custom": {} }] }),
            "messages.0.tool_calls.0.type",
        ),
    ] {
        let body = json!({ "model": "m", "messages": [message] });
        assert_eq!(blamed(as_messages(&body, MESSAGES).unwrap_err()), place);
    }
}

#[test]
fn what_a_message_says_and_a_chat_cannot_is_refused_by_name() {
    let with = |field: &str, value: Value| {
        let mut body = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        body[field] = value;
        body
    };
    for (field, value, place) in [
        ("tools", json!([{ "type": "web_search_20260209", "name": "web_search" }]), "tools.0.type"),
        ("container", json!("c"), "container"),
        ("speed", json!("fast"), "speed"),
        ("mcp_servers", json!([{ "name": "m" }]), "mcp_servers"),
        (
            "context_management",
            json!({ "edits": [{ "type": "clear_tool_uses_20250919" }] }),
            "context_management.edits.0.type",
        ),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "container_upload", "file_id": "f" }] }]),
            "messages.0.content.0.type",
        ),
        (
            "messages",
            json!([{ "role": "user", "content": [{ "type": "document", "source": { "type": "url", "url": "https://x" } }] }]),
            "messages.0.content.0",
        ),
    ] {
        assert_eq!(blamed(as_chat(&with(field, value)).unwrap_err()), place);
    }
    let cleared =
        with("context_management", json!({ "edits": [{ "type": "clear_thinking_20251015", "keep": "all" }] }));
    assert!(as_chat(&cleared).is_ok());
}

#[test]
fn a_whole_chat_becomes_a_message() {
    let chat = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt", "choices": [{ "index": 0, "message": {
            "role": "assistant", "content": "good day", "reasoning_content": "hm", "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }] },
            "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": { "cached_tokens": 4 } } });
    let Whole::Answer(answer) = OpenAiChat.read_whole(&chat.to_string().into()) else { panic!() };
    let expected = json!({ "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "" },
            { "type": "text", "text": "good day" },
            { "type": "tool_use", "id": "call_1", "name": "f", "input": { "a": 1 } }],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 6, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5 } });
    assert_eq!(value(&Anthropic.write_whole(&answer, &frame())), expected);
}

#[test]
fn a_whole_message_becomes_a_chat() {
    let message = json!({ "id": "msg_1", "type": "message", "model": "claude", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "good " }, { "type": "text", "text": "day" },
            { "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "a": 1 } }],
        "stop_reason": "max_tokens", "usage": { "input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5 } });
    let Whole::Answer(answer) = Anthropic.read_whole(&message.to_string().into()) else { panic!() };
    let expected = json!({ "id": "msg_1", "object": "chat.completion", "created": 7, "model": "claude", "choices": [{ "index": 0,
        "message": { "role": "assistant", "content": "good day", "refusal": null, "reasoning_content": "hm",
            "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "s" }],
            "tool_calls": [{ "id": "toolu_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }] },
        "logprobs": null, "finish_reason": "length" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": { "cached_tokens": 4 }, "completion_tokens_details": { "reasoning_tokens": 0 } } });
    assert_eq!(value(&OpenAiChat.write_whole(&answer, &frame())), expected);
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } });
    assert!(matches!(Anthropic.read_whole(&error.to_string().into()), Whole::Problem(_)));
}
