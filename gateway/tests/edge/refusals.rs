//! Requests that are refused, and the bodies that clients match on.

use std::num::NonZeroU32;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::installation::{Installation, OPERATOR, chat_body, streamed_chat_body};

/// Status and body of a refused call, the body as text so that its form is fixed.
async fn refused(response: reqwest::Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn wrong_keys_are_refused_in_openais_form() {
    let steward = Installation::plain().await;
    let wrong = r#"{"error":{"message":"this API key is not valid: wrong, expired or revoked","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    let good = steward.key("bot", Some("agent")).await;
    let other = if good.ends_with('x') { 'y' } else { 'x' };
    let changed = format!("{}{other}", &good[..good.len() - 1]);
    for key in ["sk-123", "stw_acme_0", "stw_nobody_0123", changed.as_str()] {
        let answer = refused(steward.chat(key, &chat_body("small", "hi")).await).await;
        assert_eq!(answer, (401, wrong.to_owned()), "{key}");
    }
    let none = steward.http.get(format!("{}/v1/models", steward.url)).send().await.unwrap();
    assert_eq!(none.headers()["www-authenticate"], "Bearer");
    assert_eq!(none.status(), 401);
}

#[tokio::test]
async fn only_guessed_keys_are_slowed_down() {
    let steward =
        Installation::start(|settings| settings.config.wrong_keys_per_minute_max = NonZeroU32::new(3).unwrap()).await;
    let good = steward.key("bot", Some("agent")).await;
    let mut last = 0;
    for number in 0..5 {
        last = steward.get(&format!("stw_acme_{number}"), "/v1/models").await.status().as_u16();
    }
    assert_eq!(last, 429);
    assert_eq!(steward.get(&good, "/v1/models").await.status(), 200);
}

#[tokio::test]
async fn a_missing_permission_says_what_would_allow_it() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("stranger", None).await;
    let (status, body) = refused(steward.chat(&key, &chat_body("small", "hi")).await).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["error"]["code"], &body["error"]["type"]),
        (403, &"permission_denied".into(), &"permission_error".into())
    );
    assert!(body["error"]["message"].as_str().unwrap().contains("model:invoke"), "{body}");
    let response = steward
        .post(&key, "/api/v1/tenants/acme/budgets:set", &json!({ "scope": "acme/support", "limit": "$5" }))
        .await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (403, &"application/problem+json".parse().unwrap())
    );
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "urn:steward:problem:permission_denied");
    assert!(problem["rejection"]["would_allow"].as_str().unwrap().contains("grant"), "{problem}");
    assert!(steward.upstream.asked().is_empty());
}

#[tokio::test]
async fn a_spent_budget_is_402_and_nothing_reaches_the_provider() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.command("acme", "budgets:set", json!({ "scope": "acme/support", "limit": "1 call" })).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hi")).await.status(), 200);
    for body in [chat_body("small", "hi"), streamed_chat_body("small", "hi")] {
        let (status, body) = refused(steward.chat(&key, &body).await).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &body["error"]["code"], &body["error"]["type"]),
            (402, &"insufficient_quota".into(), &"insufficient_quota".into()),
            "{body}"
        );
    }
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn concurrent_calls_are_admitted_exactly_up_to_the_budget() {
    let steward = Installation::plain().await;
    steward.model("small", &["script/echo,delay=20"]).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "20 calls" })).await;
    let body = chat_body("small", "hi");
    let calls = futures::stream::iter(0..200).map(|_| async { steward.chat(&key, &body).await.status().as_u16() });
    let statuses: Vec<u16> = calls.buffer_unordered(64).collect().await;
    let count = |status: u16| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((count(200), count(402)), (20, 180), "{statuses:?}");
    assert_eq!(steward.finished_calls().await.len(), 20);
}

#[tokio::test]
async fn an_exhausted_minute_rate_is_429_with_retry_after() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let rate = json!({ "scope": "acme", "limit": "1 call", "per": "minute" });
    steward.command("acme", "budgets:set", rate).await;
    // The second call may fall into the next minute, the third cannot then.
    let mut refused = None;
    for _ in 0..3 {
        let response = steward.chat(&key, &chat_body("small", "hi")).await;
        if response.status() != 200 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn models_that_cannot_be_called_are_told_apart() {
    let steward = Installation::plain().await;
    steward.unpriced_model("free", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let unknown = r#"{"error":{"message":"the model `gpt-9` does not exist or has no route","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
    assert_eq!(refused(steward.chat(&key, &chat_body("gpt-9", "hi")).await).await, (404, unknown.to_owned()));
    let (status, body) = refused(steward.chat(&key, &chat_body("free", "hi")).await).await;
    assert_eq!((status, body.contains("model_has_no_price")), (400, true), "{body}");
    assert_eq!(steward.chat(&key, &chat_body("Not/A.Name", "hi")).await.status(), 404);
    assert!(steward.upstream.asked().is_empty());
}

#[tokio::test]
async fn bodies_that_are_wrong_or_too_long_are_refused() {
    let steward = Installation::start(|settings| settings.config.body_bytes_max = 1_000).await;
    let key = steward.key("bot", Some("agent")).await;
    let send = |body: String| {
        let request = steward.http.post(format!("{}/v1/chat/completions", steward.url)).bearer_auth(&key);
        async move { refused(request.body(body).send().await.unwrap()).await }
    };
    let (status, body) = send("{".to_owned()).await;
    assert_eq!((status, body.contains("invalid_value")), (400, true), "{body}");
    let at_bound = format!("{:1000}", r#"{"model":"small","messages":[{}]}"#);
    assert_eq!(send(at_bound.clone()).await.0, 404, "read, and the model is unknown");
    assert_eq!(send(at_bound + " ").await.0, 413);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_their_apis_form() {
    let steward = Installation::plain().await;
    let v1 = steward.get(OPERATOR, "/v1/nothing").await;
    assert_eq!(
        (v1.status().as_u16(), v1.json::<Value>().await.unwrap()["error"]["code"].clone()),
        (404, json!("unknown_url"))
    );
    let v1 = steward.get(OPERATOR, "/v1/chat/completions").await;
    assert_eq!(
        (v1.status().as_u16(), v1.json::<Value>().await.unwrap()["error"]["code"].clone()),
        (405, json!("method_not_allowed"))
    );
    for path in ["/nothing", "/api/v1/tenants/acme/nothings:do", "/api/v1/tenants/acme/leases:grant"] {
        let response = steward.post(OPERATOR, path, &json!({})).await;
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), 404, "{path}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["instance"], format!("urn:steward:request:{id}"));
    }
}

#[tokio::test]
async fn revoked_keys_and_suspended_tenants_are_refused_at_once() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hi")).await.status(), 200);
    steward.command("acme", "tenants:suspend", json!({ "reason": "unpaid" })).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let (status, body) = refused(steward.chat(&key, &chat_body("small", "hi")).await).await;
    assert_eq!((status, body.contains("unpaid")), (403, true), "{body}");
    let (status, body) = refused(steward.get(&key, "/v1/models").await).await;
    assert_eq!((status, body.contains("unpaid")), (403, true), "{body}");
    steward.command("acme", "tenants:resume", json!({})).await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "other" })).await;
    let issued = steward.command("acme", "keys:issue", json!({ "principal": account["answer"]["principal"] })).await;
    let (id, secret) = (&issued["answer"]["key"], issued["answer"]["secret"].as_str().unwrap());
    assert_eq!(steward.get(secret, "/v1/models").await.status(), 200);
    steward.command("acme", "keys:revoke", json!({ "key": id, "reason": "lost" })).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(steward.get(secret, "/v1/models").await.status(), 401);
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn one_key_gets_so_many_calls_at_once() {
    let steward = Installation::start(|settings| settings.config.calls_per_key_max = std::num::NonZeroUsize::MIN).await;
    steward.model("small", &["mock/stall"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let body = chat_body("small", "hi");
    let mut first = Box::pin(steward.chat(&key, &body));
    let _ = tokio::time::timeout(std::time::Duration::from_millis(300), first.as_mut()).await;
    let second = steward.chat(&key, &body).await;
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"1".parse().unwrap()));
}
