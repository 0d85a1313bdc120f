//! Whoever cannot know that keys and grants are fresh refuses; what was revoked starts nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::UsageEvent;

use crate::installation::{Installation, OPERATOR, chat_body};

#[tokio::test]
async fn a_gateway_that_cannot_confirm_freshness_refuses_everything() {
    let steward =
        Installation::start(|settings| settings.config.calls.fresh_wait_max = Duration::from_millis(200)).await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hi")).await.status(), 200);
    steward.frozen.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let response = steward.chat(&key, &chat_body("small", "hi")).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(steward.get(&key, "/v1/models").await.status(), 503);
    let set = json!({ "scope": "acme", "limit": "$5" });
    assert_eq!(steward.post(OPERATOR, "/api/v1/tenants/acme/budgets:set", &set).await.status(), 503);
    assert!(steward.gateway.authenticator().authenticate(&key, None).await.is_none(), "nor does the bus let anyone in");
    steward.frozen.store(false, Ordering::SeqCst);
    assert_eq!(steward.chat(&key, &chat_body("small", "hi")).await.status(), 200);
    assert_eq!(steward.upstream.asked().len(), 2);
}

#[tokio::test]
async fn a_key_revoked_while_its_call_waits_starts_nothing() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    steward.model("slow", &["script/echo,delay=1000"]).await;
    // Room for one call at a time.
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "300 tokens" })).await;
    let first = steward.key("first", Some("agent")).await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "second" })).await;
    let principal = &account["answer"]["principal"];
    steward.command("acme", "grants:give", json!({ "to": principal, "role": "agent", "on": "acme" })).await;
    let issued = steward.command("acme", "keys:issue", json!({ "principal": principal })).await;
    let second = issued["answer"]["secret"].as_str().unwrap().to_owned();
    let mut large = chat_body("slow", "hi");
    large["max_tokens"] = json!(150);
    let mut small = large.clone();
    small["model"] = json!("small");
    let waiting = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        steward.chat(&second, &small).await
    };
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(steward.usage("acme").await.len() == 1, "the second call waits");
        steward.command("acme", "keys:revoke", json!({ "key": issued["answer"]["key"] })).await;
    };
    let (done, refused, ()) = tokio::join!(steward.chat(&first, &large), waiting, revoking);
    assert_eq!(done.status(), 200);
    let status = refused.status().as_u16();
    let body: Value = refused.json().await.unwrap();
    assert!(matches!(status, 403 | 503), "{status} {body}");
    assert!(steward.upstream.asked().is_empty(), "nothing was sent with a revoked key");
}

#[tokio::test]
async fn amounts_leased_to_a_revoked_key_return_at_once() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let principal = &account["answer"]["principal"];
    steward.command("acme", "grants:give", json!({ "to": principal, "role": "agent", "on": "acme" })).await;
    let issued = steward.command("acme", "keys:issue", json!({ "principal": principal })).await;
    let key = issued["answer"]["secret"].as_str().unwrap();
    assert_eq!(steward.chat(key, &chat_body("small", "hi")).await.status(), 200);
    let closed = |usage: Vec<UsageEvent>| {
        usage.into_iter().find_map(|event| match event {
            UsageEvent::LeaseClosed { reason, .. } => Some(reason),
            _ => None,
        })
    };
    assert_eq!(closed(steward.usage("acme").await), None);
    steward.command("acme", "keys:revoke", json!({ "key": issued["answer"]["key"] })).await;
    for _ in 0..100 {
        if let Some(reason) = closed(steward.usage("acme").await) {
            assert_eq!(reason, "revoked");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lease stays open");
}
