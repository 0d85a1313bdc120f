//! Upstreams that fail: on to the next target only if certainly nothing was billed.

use std::time::{Duration, Instant};

use serde_json::Value;
use steward_events::event::CallOutcome;
use steward_events::quantity::{NanoDollars, Tokens};

use crate::installation::{Installation, chat_body};

#[tokio::test]
async fn an_unbilled_attempt_is_retried_elsewhere_with_its_own_reservation() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    let nowhere = serde_json::json!({ "provider": "nowhere", "kind": "openai", "url": "http://127.0.0.1:1/v1" });
    steward.command("steward", "providers:set", nowhere).await;
    let targets = ["nowhere/x", "mock/status-429", "mock/status-500", "mock/plain"];
    steward.model("small", &targets).await;
    let response = steward.chat(&key, &chat_body("small", "hello")).await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-steward-attempts"]), (200, &"4".parse().unwrap()));
    let finished = steward.finished_calls().await;
    assert_eq!(finished.len(), 4);
    for failed in &finished[..3] {
        assert!(matches!(failed.outcome, CallOutcome::NotBilled { .. }), "{failed:?}");
        assert_eq!((failed.tokens.total(), failed.cost), (Tokens(0), NanoDollars(0)));
    }
    assert_eq!(finished[3].outcome, CallOutcome::Completed);
    assert_eq!(finished[0].provider, "nowhere");
}

#[tokio::test]
async fn each_failure_has_its_status_and_its_outcome() {
    let steward = Installation::start(|settings| {
        settings.providers.first_byte_time_max = Duration::from_millis(300);
        settings.providers.answer_bytes_max = 1_000_000;
    })
    .await;
    let key = steward.key("bot", Some("agent")).await;
    for (number, (behaviour, status, code, billed)) in [
        ("status-429", 429, "rate_limit_exceeded", false),
        ("status-500", 502, "upstream_failed", false),
        ("status-401", 502, "upstream_failed", false),
        ("status-400", 400, "ordered", false),
        ("status-504", 504, "upstream_timed_out", true),
        ("redirect", 502, "upstream_failed", false),
        ("stall", 504, "upstream_timed_out", true),
        ("garbage", 502, "upstream_broke_off", true),
        ("huge", 502, "upstream_broke_off", true),
    ]
    .into_iter()
    .enumerate()
    {
        steward.model("small", &[&format!("mock/{behaviour}")]).await;
        let response = steward.chat(&key, &chat_body("small", "hello")).await;
        assert_eq!(response.status().as_u16(), status, "{behaviour}");
        let headers = response.headers().clone();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{behaviour}: {body}");
        assert_eq!(headers.contains_key("x-should-retry"), billed, "{behaviour}: paid once, not thrice by retries");
        if status == 429 {
            assert_eq!(headers["retry-after"], "7", "as the provider says");
        }
        let finished = steward.finished_calls().await;
        assert_eq!(finished.len(), number + 1, "{behaviour}");
        let estimated = matches!(finished[number].outcome, CallOutcome::Estimated { .. });
        assert_eq!(estimated, billed, "{behaviour}: {:?}", finished[number]);
    }
}

#[tokio::test]
async fn an_invalid_request_is_tried_once_with_the_providers_message() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    steward.model("small", &["mock/status-400", "mock/plain"]).await;
    let body: Value = steward.chat(&key, &chat_body("small", "hello")).await.json().await.unwrap();
    assert_eq!((&body["error"]["message"], &body["error"]["param"]), (&"as ordered".into(), &"messages".into()));
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_call() {
    let steward =
        Installation::start(|settings| settings.config.calls.abandoned_time_max = Duration::from_millis(300)).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.model("small", &["mock/stall"]).await;
    let asking =
        tokio::time::timeout(Duration::from_millis(300), steward.chat(&key, &chat_body("small", "hello"))).await;
    assert!(asking.is_err(), "the client gave up");
    let began = Instant::now();
    let finished = steward.await_finished(1).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(matches!(&finished[0].outcome, CallOutcome::Estimated { reason, .. } if reason.contains("caller")));
}

#[tokio::test]
async fn a_tenants_own_provider_cannot_reach_private_addresses() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    steward.model("small", &["mock/plain"]).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hello")).await.status(), 200, "the operators' may be anywhere");
    let port = steward.upstream.url.rsplit_once(':').unwrap().1;
    for url in [steward.upstream.url.clone(), format!("http://localhost:{port}")] {
        let own = serde_json::json!({ "provider": "own", "kind": "openai", "url": url });
        steward.command("acme", "providers:set", own).await;
        let route =
            serde_json::json!({ "model": "small", "targets": [{ "provider": "own", "upstream_model": "plain" }] });
        let spec = serde_json::json!({ "context_max": 8192, "output_max": 1024 });
        steward.command("acme", "models:set", serde_json::json!({ "model": "small", "spec": spec })).await;
        steward.command("acme", "routes:set", route).await;
        let free = serde_json::json!({ "input": 0, "cached": 0, "output": 0 });
        steward.command("acme", "prices:set", serde_json::json!({ "model": "small", "price": free })).await;
        assert_eq!(steward.chat(&key, &chat_body("small", "hello")).await.status(), 502, "{url}");
    }
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn the_providers_key_is_read_by_reference_and_stays_secret() {
    let steward = Installation::start(|settings| {
        settings.secrets = steward_calls::Secrets::new(|name| (name == "env:MOCK_KEY").then(|| "sk-mock".to_owned()));
    })
    .await;
    let key = steward.key("bot", Some("agent")).await;
    for (name, reference) in [("keyed", "env:MOCK_KEY"), ("lost", "env:NO_SUCH_KEY")] {
        let url = &steward.upstream.url;
        let provider = serde_json::json!({ "provider": name, "kind": "openai", "url": url, "key": reference });
        steward.command("steward", "providers:set", provider).await;
    }
    steward.model("small", &["lost/plain", "keyed/plain"]).await;
    let response = steward.chat(&key, &chat_body("small", "hello")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-steward-attempts"], "2", "without its key the first is not asked");
    assert_eq!(steward.upstream.last_headers()["authorization"], "Bearer sk-mock");
    assert_eq!(steward.upstream.asked().len(), 1);
}
