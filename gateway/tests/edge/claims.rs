//! Calls that come again under the same `Idempotency-Key`: made once, whatever comes of it.

use futures::future::join_all;
use serde_json::{Value, json};
use steward_events::event::{AnswerSource, UsageEvent};

use crate::installation::{Installation, chat_body, streamed_chat_body};

/// With views, which open the key that seals what is kept, and a model `small` that `target` answers.
async fn with(target: &str) -> (Installation, String) {
    let steward = Installation::start(|settings| settings.views = true).await;
    steward.model("small", &[target]).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, key)
}

/// With a tenant that may keep next to nothing.
async fn that_keeps_little() -> (Installation, String) {
    let steward = Installation::start(|settings| {
        settings.views = true;
        settings.config.calls.kept_per_tenant_bytes_max = 1;
    })
    .await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, key)
}

/// Status, what the headers say of giving it again, and the body.
async fn send(steward: &Installation, key: &str, name: &str, body: &Value) -> (u16, String, String) {
    let request = steward.http.post(format!("{}/v1/chat/completions", steward.url)).bearer_auth(key);
    let response = request.header("Idempotency-Key", name).json(body).send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let again = if response.status().is_success() { header("x-steward-cache") } else { header("x-should-retry") };
    (response.status().as_u16(), again, response.text().await.unwrap())
}

/// The finishes of calls that got an answer which their caller had asked for before.
async fn repeated(steward: &Installation) -> usize {
    let is_repeated = |event: &UsageEvent| {
        matches!(event, UsageEvent::CallFinished { source: AnswerSource::Repeated { .. }, cost, saved, .. }
            if cost.0 == 0 && saved.is_nothing())
    };
    steward.usage("acme").await.iter().filter(|event| is_repeated(event)).count()
}

#[tokio::test]
async fn the_same_again_gets_the_answer_that_was_recorded() {
    let (steward, key) = with("mock/plain").await;
    let (body, mut stream) = (chat_body("small", "hello"), streamed_chat_body("small", "hello"));
    stream["stream_options"] = json!({ "include_usage": true });
    for (name, body) in [("whole", body), ("stream", stream)] {
        let (status, used, first) = send(&steward, &key, name, &body).await;
        assert_eq!((status, used.as_str()), (200, "-"), "{first}");
        let (status, used, again) = send(&steward, &key, name, &body).await;
        let again = again.replace("response-cost: $0.00\n", "response-cost: $0.0000114\n");
        assert_eq!((status, used.as_str(), again), (200, "replayed", first));
    }
    assert_eq!(steward.upstream.asked().len(), 2);
    assert_eq!(repeated(&steward).await, 2);
}

#[tokio::test]
async fn of_many_at_once_one_is_made() {
    let (steward, key) = with("mock/slow").await;
    let body = chat_body("small", "hello");
    let all = join_all((0..20).map(|_| send(&steward, &key, "k", &body))).await;
    let first = &all[0].2;
    assert!(all.iter().all(|(status, _, answer)| *status == 200 && answer == first), "{all:?}");
    assert_eq!(all.iter().filter(|(_, used, _)| used == "replayed").count(), 19);
    assert_eq!(steward.upstream.asked().len(), 1);
    assert_eq!(repeated(&steward).await, 19);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let (steward, key) = with("mock/plain").await;
    assert_eq!(send(&steward, &key, "k", &chat_body("small", "hello")).await.0, 200);
    let (status, _, body) = send(&steward, &key, "k", &chat_body("small", "another")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["error"]["code"].as_str()), (422, Some("idempotency_key_reused")));
    // Keys are each caller's own.
    steward.create_tenant("globex").await;
    for other in [steward.key("other", Some("agent")).await, steward.key_of("globex", "bot", Some("agent")).await] {
        let (status, used, _) = send(&steward, &other, "k", &chat_body("small", "another")).await;
        assert_eq!((status, used.as_str()), (200, "-"));
    }
    for name in ["", "two words", &"k".repeat(256)] {
        assert_eq!(send(&steward, &key, name, &chat_body("small", "hello")).await.0, 400, "{name:?}");
    }
    assert_eq!(steward.upstream.asked().len(), 3);
}

#[tokio::test]
async fn what_was_not_billed_is_made_again_and_what_may_have_been_is_not() {
    let (steward, key) = with("mock/status-400").await;
    for asked in 1..=2 {
        assert_eq!(send(&steward, &key, "k", &chat_body("small", "hello")).await.0, 400);
        assert_eq!(steward.upstream.asked().len(), asked);
    }
    steward.model("broken", &["mock/garbage"]).await;
    assert_eq!(send(&steward, &key, "k2", &chat_body("broken", "hello")).await.0, 502);
    for _ in 0..2 {
        let (status, retry, body) = send(&steward, &key, "k2", &chat_body("broken", "hello")).await;
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, retry.as_str()), (409, "false"), "{body}");
        assert_eq!(error["error"]["code"], "idempotency_outcome_unknown");
    }
    let asked = steward.upstream.asked().len();
    assert_eq!(asked, 3, "the second was not asked again");
}

#[tokio::test]
async fn a_stream_whose_client_left_is_read_to_its_end_for_when_it_comes_again() {
    let (steward, key) = with("mock/slow").await;
    let body = streamed_chat_body("small", "hello");
    let request = steward.http.post(format!("{}/v1/chat/completions", steward.url)).bearer_auth(&key);
    let mut response = request.header("Idempotency-Key", "k").json(&body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let (status, used, answer) = send(&steward, &key, "k", &body).await;
    assert_eq!((status, used.as_str()), (200, "replayed"));
    assert!(answer.contains("one ") && answer.contains("three") && answer.ends_with("[DONE]\n\n"), "{answer}");
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_stream_that_broke_off_is_not_made_again() {
    let (steward, key) = with("mock/cut").await;
    let body = streamed_chat_body("small", "hello");
    assert_eq!(send(&steward, &key, "k", &body).await.0, 200);
    assert_eq!(send(&steward, &key, "k", &body).await.0, 409);
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn who_may_call_no_more_gets_no_recorded_answer() {
    let (steward, key) = with("mock/plain").await;
    let body = chat_body("small", "hello");
    assert_eq!(send(&steward, &key, "k", &body).await.0, 200);
    // What is spent leaves no room for another call; what is recorded needs none.
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "$0" })).await;
    assert_eq!(send(&steward, &key, "k", &body).await.1, "replayed");
    steward.command("acme", "tenants:suspend", json!({ "reason": "unpaid" })).await;
    assert_eq!(send(&steward, &key, "k", &body).await.0, 403);
}

#[tokio::test]
async fn a_tenant_that_keeps_too_much_keeps_no_more() {
    let (steward, key) = that_keeps_little().await;
    let body = chat_body("small", "hello");
    assert_eq!(send(&steward, &key, "first", &body).await.0, 200);
    let (status, again, refused) = send(&steward, &key, "second", &body).await;
    let refused: Value = serde_json::from_str(&refused).unwrap();
    let said = (status, again.as_str(), refused["error"]["code"].as_str());
    assert_eq!(said, (429, "false", Some("kept_bytes_exceeded")), "{refused}");
    // What is kept is given, what keeps nothing is made, and nobody else is bound.
    assert_eq!(send(&steward, &key, "first", &body).await.1, "replayed");
    assert_eq!(steward.post(&key, "/v1/chat/completions", &body).await.status(), 200);
    let stored = json!({ "model": "small", "input": "hello", "store": true });
    assert_eq!(steward.post(&key, "/v1/responses", &stored).await.status(), 429);
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "bot", Some("agent")).await;
    assert_eq!(send(&steward, &other, "first", &body).await.0, 200);
    assert_eq!(steward.upstream.asked().len(), 3);
}
