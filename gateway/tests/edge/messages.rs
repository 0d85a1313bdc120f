//! Anthropic's API: spoken by callers, by upstreams, and by either alone.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use steward_events::event::CallOutcome;
use steward_events::quantity::{NanoDollars, Tokens};

use crate::installation::{FinishedCall, Installation, chat_body, streamed_chat_body};

/// What it was asked.
type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// An installation with a provider `claude` that speaks as Anthropic does, and what that is asked.
async fn installation() -> (Installation, Seen) {
    let seen = Seen::default();
    let router = Router::new().route("/v1/messages", post(answer)).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let steward = Installation::plain().await;
    steward.command("steward", "providers:set", json!({ "provider": "claude", "kind": "anthropic", "url": url })).await;
    (steward, seen)
}

async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    seen.lock().unwrap().push((headers, body.clone()));
    match body["model"].as_str().unwrap() {
        "overloaded" => {
            let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } });
            (StatusCode::from_u16(529).unwrap(), error.to_string()).into_response()
        }
        model if body["stream"] == true => {
            ([(header::CONTENT_TYPE, "text/event-stream")], events(model)).into_response()
        }
        _ => MESSAGE.into_response(),
    }
}

/// 9 tokens of input, of which the cache had 4; 3 of output.
const MESSAGE: &str = r#"{ "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs",
    "content": [{"type": "text", "text": "one two three"}], "stop_reason": "end_turn", "stop_sequence": null,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 3} }"#;

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn text(words: &str) -> String {
    event(&json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": words } }))
}

fn events(model: &str) -> Body {
    let usage = json!({ "input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "content": [], "usage": usage });
    let start = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let mut events = vec![
        event(&json!({ "type": "message_start", "message": message })),
        event(&start),
        event(&json!({ "type": "ping" })),
    ];
    let words = ["one ", "two ", "three"].map(text);
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 3 } });
    match model {
        "endless" => {
            let words = stream::repeat_with(|| text("wonderful ")).then(|word| async {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                word
            });
            return Body::from_stream(stream::iter(events).chain(words).map(Ok::<_, std::io::Error>));
        }
        "failing" => {
            events.extend(words.into_iter().take(1));
            let error = json!({ "type": "overloaded_error", "message": "busy" });
            events.push(event(&json!({ "type": "error", "error": error })));
        }
        _ => {
            events.extend(words);
            events.push(event(&json!({ "type": "content_block_stop", "index": 0 })));
            events.extend([event(&end), event(&json!({ "type": "message_stop" }))]);
        }
    }
    Body::from_stream(stream::iter(events).map(Ok::<_, std::io::Error>))
}

async fn messages(steward: &Installation, key: &str, body: &Value) -> reqwest::Response {
    steward.post(key, "/v1/messages", body).await
}

/// Names and data of all events.
fn parsed(text: &str) -> Vec<(String, Value)> {
    let events = text.split("\n\n").filter_map(|event| {
        let line = |start: &str| event.lines().find_map(|line| line.strip_prefix(start));
        Some((line("event: ").unwrap_or_default().to_owned(), serde_json::from_str(line("data: ")?).ok()?))
    });
    events.collect()
}

/// The same call costs the same, however it is asked for and whoever answers it.
fn assert_charged(call: &FinishedCall) {
    let tokens = call.tokens;
    assert_eq!((tokens.input, tokens.cached, tokens.output), (Tokens(9), Tokens(4), Tokens(3)));
    assert_eq!((call.cost, &call.outcome), (NanoDollars(11_400), &CallOutcome::Completed));
}

#[tokio::test]
async fn a_message_passes_untouched_and_is_charged() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let response = messages(&steward, &key, &chat_body("small", "hello")).await;
    assert_eq!(response.headers()["request-id"], response.headers()["x-request-id"]);
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.0000114");
    assert_eq!(response.text().await.unwrap(), MESSAGE);
    let (headers, body) = seen.lock().unwrap()[0].clone();
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("plain"), &json!(50)));
    assert_charged(&steward.finished_calls().await[0]);
}

#[tokio::test]
async fn features_that_a_caller_asks_for_are_asked_of_the_provider() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/plain"]).await;
    steward.model("other", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    for model in ["small", "other"] {
        let request = steward.http.post(format!("{}/v1/messages", steward.url)).bearer_auth(&key);
        let request = request.header("anthropic-beta", "a-1,b-2").json(&chat_body(model, "hello"));
        assert_eq!(request.send().await.unwrap().status(), 200, "{model}");
    }
    let (headers, body) = seen.lock().unwrap()[0].clone();
    assert_eq!((&headers["anthropic-beta"], body.get("anthropic_beta")), (&"a-1,b-2".parse().unwrap(), None));
}

#[tokio::test]
async fn a_streamed_message_ends_only_when_its_cost_is_recorded() {
    let (steward, _) = installation().await;
    steward.model("small", &["claude/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = messages(&steward, &key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert_charged(&steward.finished_calls().await[0]);
    let events = parsed(&text);
    assert!(events.iter().all(|(name, data)| data["type"] == name.as_str()), "{text}");
    assert_eq!(events.last().unwrap().0, "message_stop");
    assert_eq!(events.len(), 8, "{text}");
    assert!(text.contains(": x-steward-response-cost: $0.0000114\n"), "{text}");
}

#[tokio::test]
async fn a_message_is_made_by_a_server_of_chats() {
    let (steward, _) = installation().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let whole: Value = messages(&steward, &key, &chat_body("small", "hello")).await.json().await.unwrap();
    assert_eq!((&whole["type"], &whole["stop_reason"]), (&json!("message"), &json!("end_turn")));
    assert_eq!(whole["content"], json!([{ "type": "text", "text": "one two three" }]));
    assert_eq!(whole["usage"]["cache_read_input_tokens"], 4);
    let text = messages(&steward, &key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    let events = parsed(&text);
    let said: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(said, "one two three");
    assert_eq!(events[events.len() - 2].1["usage"]["output_tokens"], 3);
    assert_eq!(events.last().unwrap().0, "message_stop");
    assert_eq!(steward.upstream.asked()[1]["stream_options"]["include_usage"], true);
    steward.finished_calls().await.iter().for_each(assert_charged);
    assert_eq!(steward.finished_calls().await.len(), 2);
}

#[tokio::test]
async fn a_chat_is_completed_by_a_server_of_messages() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let whole: Value = steward.chat(&key, &chat_body("small", "hello")).await.json().await.unwrap();
    assert_eq!((&whole["object"], &whole["usage"]["total_tokens"]), (&json!("chat.completion"), &json!(12)));
    assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
    let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("usage"), "{text}");
    let said = parsed(&text);
    let said: String = said.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "one two three");
    assert_eq!(seen.lock().unwrap()[0].1["messages"][0]["content"][0]["text"], "hello");
    steward.finished_calls().await.iter().for_each(assert_charged);
}

#[tokio::test]
async fn a_message_beyond_its_reservation_is_cut_off_in_form() {
    let (steward, _) = installation().await;
    steward.model("small", &["claude/endless"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = messages(&steward, &key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    let events = parsed(&text);
    let last: Vec<&str> = events.iter().rev().take(3).map(|(name, _)| name.as_str()).collect();
    assert_eq!(last, ["message_stop", "message_delta", "content_block_stop"], "{text}");
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "max_tokens");
    assert!(matches!(steward.finished_calls().await[0].outcome, CallOutcome::Estimated { .. }));
}

#[tokio::test]
async fn a_stream_that_fails_ends_with_an_error_event() {
    let (steward, _) = installation().await;
    steward.model("small", &["claude/failing"]).await;
    steward.model("other", &["mock/failing"]).await;
    let key = steward.key("bot", Some("agent")).await;
    for model in ["small", "other"] {
        let text = messages(&steward, &key, &streamed_chat_body(model, "hello")).await.text().await.unwrap();
        let (name, data) = parsed(&text).pop().unwrap();
        assert_eq!((name.as_str(), &data["error"]["type"]), ("error", &json!("api_error")), "{text}");
    }
    let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert!(!text.contains("[DONE]") && text.contains("busy"), "{text}");
}

#[tokio::test]
async fn another_target_takes_over_in_its_own_dialect() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/overloaded", "mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut body = chat_body("small", "hello");
    body["seed"] = json!(7);
    // No field of Anthropic's API: it is never asked.
    let whole: Value = steward.chat(&key, &body).await.json().await.unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
    assert!(seen.lock().unwrap().is_empty());
    let response = messages(&steward, &key, &chat_body("small", "hello")).await;
    assert_eq!(response.headers()["x-steward-attempts"], "2");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_have_anthropics_form() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/overloaded"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let hello = chat_body("small", "hello");
    let with = |field: &str, value: Value| {
        let mut body = hello.clone();
        body[field] = value;
        body
    };
    for (key, path, body, expected) in [
        ("stw_acme_wrong", "/v1/messages", hello.clone(), (401, "authentication_error")),
        (&key, "/v1/messages", with("max_tokens", json!(null)), (400, "invalid_request_error")),
        (&key, "/v1/messages", with("model", json!("huge")), (404, "not_found_error")),
        (&key, "/v1/messages", hello.clone(), (502, "api_error")),
        (&key, "/v1/messages/batches", hello.clone(), (404, "not_found_error")),
        (&key, "/v1/messages/count_tokens", with("model", json!("huge")), (404, "not_found_error")),
    ] {
        let response = steward.post(key, path, &body).await;
        let (status, id) = (response.status().as_u16(), response.headers()["request-id"].to_str().unwrap().to_owned());
        let body: Value = response.json().await.unwrap();
        assert_eq!((status, body["error"]["type"].as_str().unwrap()), expected, "{path} {body}");
        assert_eq!((&body["type"], &body["request_id"]), (&json!("error"), &json!(id)));
    }
    let response = steward.get(&key, "/v1/messages").await;
    let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
    assert_eq!((status, &body["type"]), (405, &json!("error")));
    assert_eq!(seen.lock().unwrap().len(), 4, "only the good one was asked, as often as one is that is overloaded");
}

#[tokio::test]
async fn marks_for_the_providers_cache_are_set_where_the_policy_says_so() {
    let (steward, seen) = installation().await;
    steward.command("steward", "prompts:set", json!({ "model": "small", "cache_breakpoints": true })).await;
    steward.model("small", &["claude/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut messages = json!({ "model": "small", "max_tokens": 50, "system": "be brief", "messages": [
        { "role": "user", "content": "hi" }, { "role": "assistant", "content": "ho" }, { "role": "user", "content": "and?" }] });
    assert_eq!(steward.post(&key, "/v1/messages", &messages).await.status(), 200);
    let mark = json!({ "type": "ephemeral" });
    let block = |text: &str| json!([{ "type": "text", "text": text, "cache_control": mark }]);
    let sent = || seen.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((&sent()["system"], &sent()["messages"][1]["content"]), (&block("be brief"), &block("ho")));
    assert_eq!(sent()["messages"][2], messages["messages"][2]);
    messages["messages"][0]["content"] = block("hi");
    assert_eq!(steward.post(&key, "/v1/messages", &messages).await.status(), 200);
    assert_eq!(sent()["messages"], messages["messages"], "the caller has set its own");
    let mut chat = chat_body("small", "hi");
    chat["messages"].as_array_mut().unwrap().insert(0, json!({ "role": "system", "content": "be brief" }));
    assert_eq!(steward.chat(&key, &chat).await.status(), 200);
    assert_eq!(sent()["system"], block("be brief"));
}

#[tokio::test]
async fn tokens_are_counted_without_a_call() {
    let (steward, seen) = installation().await;
    steward.model("small", &["claude/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let body = json!({ "model": "small", "messages": [{ "role": "user", "content": "x".repeat(4_000) }] });
    let counted: Value = steward.post(&key, "/v1/messages/count_tokens", &body).await.json().await.unwrap();
    assert!((1_000..1_050).contains(&counted["input_tokens"].as_u64().unwrap()), "{counted}");
    let spec = json!({ "context_max": 8_192, "output_max": 1_000, "tokenizer": "o200k" });
    steward.command("steward", "models:set", json!({ "model": "small", "spec": spec })).await;
    let mut exact = counted.clone();
    // A gateway hears of it a moment later.
    for _ in 0..100 {
        exact = steward.post(&key, "/v1/messages/count_tokens", &body).await.json().await.unwrap();
        if exact["input_tokens"] != counted["input_tokens"] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Eight x are a token of that vocabulary, about.
    assert!((450..600).contains(&exact["input_tokens"].as_u64().unwrap()), "{exact}");
    assert!(seen.lock().unwrap().is_empty() && steward.finished_calls().await.is_empty());
}
