//! Responses, over an upstream that has them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::stream;
use http::{StatusCode, header};
use serde_json::{Value, json};
use steward_events::event::CallOutcome;
use steward_events::quantity::Tokens;

use crate::installation::{Installation, chat_body};

/// What the upstream was asked.
pub(crate) type Asked = Arc<Mutex<Vec<Value>>>;

/// An installation with a provider `responder` that has responses and nothing else, and what that was asked.
pub(crate) async fn with_responder() -> (Installation, Asked) {
    let asked = Asked::default();
    let router = Router::new().route("/v1/responses", post(answer)).with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let steward = Installation::start(|settings| {
        settings.providers.tenant_providers_anywhere = true;
        // They open the key that seals what is kept.
        settings.views = true;
        settings.config.calls.abandoned_time_max = Duration::from_millis(200);
    })
    .await;
    let provider = json!({ "provider": "responder", "kind": "openai", "url": url });
    for tenant in ["steward", "acme"] {
        steward.command(tenant, "providers:set", provider.clone()).await;
    }
    (steward, asked)
}

/// A model that acme routes to its own `responder`.
pub(crate) async fn own_model(steward: &Installation, model: &str, upstream_models: &[&str]) {
    let spec = json!({ "context_max": 8_192, "output_max": 1_000 });
    steward.command("acme", "models:set", json!({ "model": model, "spec": spec })).await;
    let targets: Vec<Value> =
        upstream_models.iter().map(|name| json!({ "provider": "responder", "upstream_model": name })).collect();
    steward.command("acme", "routes:set", json!({ "model": model, "targets": targets })).await;
    let free = json!({ "input": 0, "cached": 0, "output": 0 });
    steward.command("acme", "prices:set", json!({ "model": model, "price": free })).await;
}

fn response() -> Value {
    let message = json!({ "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": "one two three", "annotations": [] }] });
    json!({ "id": "resp_1", "object": "response", "status": "completed", "error": null, "model": "upstream-name",
        "output": [message], "usage": { "input_tokens": 9, "input_tokens_details": { "cached_tokens": 4 },
            "output_tokens": 3, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 12 } })
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn delta(text: &str) -> String {
    event(
        &json!({ "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text }),
    )
}

/// Behaves as the name of the model says.
async fn answer(State(asked): State<Asked>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    asked.lock().unwrap().push(body.clone());
    let completed = event(&json!({ "type": "response.completed", "response": response() }));
    let events = match body["model"].as_str().unwrap() {
        "stall" => std::future::pending().await,
        "down" => return (StatusCode::SERVICE_UNAVAILABLE, "{}").into_response(),
        _ if body["stream"] != true => return response().to_string().into_response(),
        "endless" => vec![delta("wonderful "); 2_000],
        "failing" => vec![delta("one "), event(&json!({ "type": "error", "code": "c", "message": "overloaded" }))],
        "cut" => vec![delta("one ")],
        _ => vec![delta("one "), delta("two three"), completed],
    };
    let events = stream::iter(events.into_iter().map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

fn body(stream: bool) -> Value {
    json!({ "model": "small", "input": "hello", "max_output_tokens": 50, "stream": stream })
}

#[tokio::test]
async fn a_whole_response_passes_untouched_and_is_charged() {
    let (steward, asked) = with_responder().await;
    steward.model("small", &["responder/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let answered = steward.post(&key, "/v1/responses", &body(false)).await;
    assert_eq!(answered.headers()["x-steward-output-tokens"], "3");
    assert_eq!(answered.text().await.unwrap(), response().to_string());
    let seen = asked.lock().unwrap()[0].clone();
    assert_eq!(seen, json!({ "model": "plain", "input": "hello", "max_output_tokens": 50, "stream": false }));
    let finished = steward.finished_calls().await;
    assert_eq!((finished[0].tokens.cached, finished[0].tokens.output), (Tokens(4), Tokens(3)));
    assert_eq!(finished[0].outcome, CallOutcome::Completed);
}

#[tokio::test]
async fn a_streamed_response_ends_when_its_cost_is_recorded() {
    let (steward, _) = with_responder().await;
    steward.model("small", &["responder/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = steward.post(&key, "/v1/responses", &body(true)).await.text().await.unwrap();
    assert_eq!(steward.finished_calls().await[0].outcome, CallOutcome::Completed);
    let completed = event(&json!({ "type": "response.completed", "response": response() }));
    let events = [delta("one "), delta("two three"), ": x-steward-response-cost: $0.0000114\n\n".to_owned(), completed];
    assert_eq!(text, events.concat());
}

#[tokio::test]
async fn a_response_beyond_its_reservation_is_cut_off() {
    let (steward, _) = with_responder().await;
    steward.model("small", &["responder/endless"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = steward.post(&key, "/v1/responses", &body(true)).await.text().await.unwrap();
    let last = text.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    let last: Value = serde_json::from_str(&last[6..]).unwrap();
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    assert!(text.lines().count() < 1_000, "it goes on");
}

#[tokio::test]
async fn a_broken_response_ends_with_an_error_event() {
    let (steward, _) = with_responder().await;
    let key = steward.key("bot", Some("agent")).await;
    for behaviour in ["failing", "cut"] {
        steward.model("small", &[&format!("responder/{behaviour}"), "responder/plain"]).await;
        let text = steward.post(&key, "/v1/responses", &body(true)).await.text().await.unwrap();
        let (_, error) = text.split_once("event: error\ndata: ").unwrap_or_else(|| panic!("{behaviour}: {text}"));
        let error: Value = serde_json::from_str(error).unwrap();
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("upstream_broke_off")), "{behaviour}");
    }
    let finished = steward.finished_calls().await;
    assert!(finished.iter().all(|call| matches!(call.outcome, CallOutcome::Estimated { .. })));
}

#[tokio::test]
async fn only_its_provider_can_build_on_a_kept_response() {
    let (steward, asked) = with_responder().await;
    own_model(&steward, "small", &["down", "plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.post(&key, "/v1/responses", &body(false)).await.status(), StatusCode::OK);
    let mut builds_on = body(false);
    builds_on["previous_response_id"] = json!("resp_1");
    assert_eq!(steward.post(&key, "/v1/responses", &builds_on).await.status(), StatusCode::BAD_GATEWAY);
    let models: Vec<Value> = asked.lock().unwrap().iter().map(|asked| asked["model"].clone()).collect();
    assert_eq!(models, ["down", "plain", "down"]);
}

#[tokio::test]
async fn no_tenant_builds_on_what_the_platforms_provider_keeps() {
    let (steward, asked) = with_responder().await;
    steward.model("small", &["responder/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let anothers = json!("of_another_tenant");
    let item = json!([{ "type": "item_reference", "id": anothers }]);
    let spoken = json!([{ "role": "assistant", "audio": { "id": anothers } }, { "role": "user", "content": "go on" }]);
    for (path, field, value) in [
        ("/v1/responses", "previous_response_id", &anothers),
        ("/v1/responses", "conversation", &anothers),
        ("/v1/responses", "input", &item),
        ("/v1/chat/completions", "previous_response_id", &anothers),
        ("/v1/chat/completions", "messages", &spoken),
        ("/v1/messages", "container", &anothers),
    ] {
        let mut builds_on = if path == "/v1/responses" { body(false) } else { chat_body("small", "hi") };
        builds_on["max_tokens"] = if path == "/v1/messages" { json!(9) } else { Value::Null };
        if path == "/v1/responses" {
            builds_on.as_object_mut().unwrap().remove("max_tokens");
        }
        builds_on[field] = value.clone();
        let refused = steward.post(&key, path, &builds_on).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path} {field}");
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["param"], field, "{path}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_provider_that_has_chats_only_is_asked_for_a_chat() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let response: Value = steward.post(&key, "/v1/responses", &body(false)).await.json().await.unwrap();
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(response["output"][0]["content"][0]["text"], "one two three");
    let usage = &response["usage"];
    assert_eq!((&usage["input_tokens"], &usage["input_tokens_details"]["cached_tokens"]), (&json!(9), &json!(4)));
    let asked = &steward.upstream.asked()[0];
    assert_eq!((&asked["messages"][0]["content"], &asked["max_tokens"]), (&json!("hello"), &json!(50)));
    let finished = steward.finished_calls().await;
    assert_eq!(
        (finished.len(), finished[0].tokens.output, &finished[0].outcome),
        (1, Tokens(3), &CallOutcome::Completed)
    );

    let text = steward.post(&key, "/v1/responses", &body(true)).await.text().await.unwrap();
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("response.created", "response.completed"), "{text}");
    let finished = steward.finished_calls().await;
    assert_eq!(
        (finished.len(), finished[1].tokens.output, &finished[1].outcome),
        (2, Tokens(3), &CallOutcome::Completed)
    );
}

#[tokio::test]
async fn a_chats_failure_is_an_error_event() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    for behaviour in ["failing", "cut"] {
        steward.model("small", &[&format!("mock/{behaviour}")]).await;
        let text = steward.post(&key, "/v1/responses", &body(true)).await.text().await.unwrap();
        assert!(text.contains("event: error\ndata: "), "{behaviour}: {text}");
        assert!(!text.contains("response.completed"), "{behaviour}: {text}");
    }
}

#[tokio::test]
async fn what_a_chat_cannot_say_is_refused_by_name() {
    let steward = Installation::start(|settings| settings.views = true).await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    for (field, value) in [("previous_response_id", json!("resp_1")), ("tools", json!([{ "type": "web_search" }]))] {
        let mut asks = body(false);
        asks[field] = value;
        let refused = steward.post(&key, "/v1/responses", &asks).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["param"], field);
    }
    assert!(steward.upstream.asked().is_empty());
}
