//! The management API.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use steward_events::request::Format;

use crate::installation::{Installation, OPERATOR, chat_body};

#[tokio::test]
async fn a_secret_is_shown_once_and_never_recorded() {
    let steward = Installation::plain().await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let issue = || {
        let body = json!({ "principal": account["answer"]["principal"] });
        let request = steward.http.post(format!("{}/api/v1/tenants/acme/keys:issue", steward.url));
        request.bearer_auth(OPERATOR).header("Idempotency-Key", "Once-7F").json(&body).send()
    };
    let first: Value = issue().await.unwrap().json().await.unwrap();
    let secret = first["answer"]["secret"].as_str().unwrap();
    assert!(secret.starts_with("stw_acme_") && secret.len() == "stw_acme_".len() + 32);
    assert!(first["answer"]["key"].as_str().unwrap().starts_with("key_"));
    assert_eq!(steward.get(secret, "/v1/models").await.status(), 200, "works at once");
    let second = issue().await.unwrap();
    assert_eq!(second.status(), 409, "another secret would open nothing");
    let problem: Value = second.json().await.unwrap();
    assert!(problem.get("answer").is_none() && !problem.to_string().contains("stw_acme_"), "{problem}");
}

#[tokio::test]
async fn the_same_idempotency_key_is_decided_once() {
    let steward = Installation::plain().await;
    let set = |limit: &str| {
        let request = steward.http.post(format!("{}/api/v1/tenants/acme/budgets:set", steward.url));
        let body = json!({ "scope": "acme", "limit": limit });
        request.bearer_auth(OPERATOR).header("Idempotency-Key", "set-1").json(&body).send()
    };
    let first: Value = set("$5").await.unwrap().json().await.unwrap();
    assert_eq!(first["accepted"], true);
    let second: Value = set("$5").await.unwrap().json().await.unwrap();
    assert_eq!(second["accepted"], true);
    let bad = steward
        .http
        .post(format!("{}/api/v1/tenants/acme/budgets:set", steward.url))
        .bearer_auth(OPERATOR)
        .header("Idempotency-Key", "not a token")
        .json(&json!({ "scope": "acme", "limit": "$5" }));
    assert_eq!(bad.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_query_reaches_the_read_model_as_its_caller() {
    let steward = Installation::plain().await;
    let auditor = steward.command("acme", "accounts:create", json!({ "name": "auditor" })).await;
    let principal = auditor["answer"]["principal"].as_str().unwrap();
    steward.command("acme", "grants:give", json!({ "to": principal, "role": "auditor", "on": "acme" })).await;
    let issued = steward.command("acme", "keys:issue", json!({ "principal": principal })).await;
    let key = issued["answer"]["secret"].as_str().unwrap();
    let asked: Value = steward.get(key, "/api/v1/tenants/acme/cost:report?by=key,model").await.json().await.unwrap();
    let expected = json!({ "principal": principal, "subject": format!("qry.acme.{principal}.cost.report"),
                           "query": { "by": ["key", "model"] } });
    assert_eq!(asked, expected);
    let asked = steward.post(key, "/api/v1/tenants/acme/cost:report", &json!({ "by": ["day"] })).await;
    assert_eq!(asked.json::<Value>().await.unwrap()["query"], json!({ "by": ["day"] }));
    let bot = steward.key("bot", None).await;
    assert_eq!(steward.get(&bot, "/api/v1/tenants/acme/cost:report").await.status(), 403);
    assert_eq!(steward.get(key, "/api/v1/tenants/acme/budgets:set").await.status(), 405);
}

#[tokio::test]
async fn message_pack_is_answered_in_kind() {
    let steward = Installation::plain().await;
    let body = Format::MessagePack.write(&json!({ "scope": "acme", "limit": "$5.00" })).unwrap();
    let request = steward.http.post(format!("{}/api/v1/tenants/acme/budgets:set", steward.url));
    let response = request.bearer_auth(OPERATOR).header("content-type", "application/msgpack").body(body).send();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/msgpack".parse().unwrap())
    );
    let reply: Value = Format::MessagePack.read(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(reply["accepted"], true, "{reply}");
}

#[tokio::test]
async fn a_new_tenant_is_answered_when_it_is_open() {
    let steward = Installation::start(|settings| settings.config.tenant_open_wait_max = Duration::from_secs(5)).await;
    let create = |name: &'static str| {
        let body = json!({ "tenant": name });
        let path = "/api/v1/tenants/steward/tenants:create";
        let request = steward.http.post(format!("{}{path}", steward.url)).bearer_auth(OPERATOR).json(&body);
        async move { request.send().await.unwrap().status() }
    };
    let opened_late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        steward.open_tenant("globex").await;
    };
    let (status, ()) = tokio::join!(create("globex"), opened_late);
    assert_eq!(status, 200);
    steward.command("globex", "accounts:create", json!({ "name": "bot" })).await;
}

#[tokio::test]
async fn a_tenant_that_opens_late_is_only_accepted() {
    let steward = Installation::plain().await;
    let body = json!({ "tenant": "initech" });
    let response = steward.post(OPERATOR, "/api/v1/tenants/steward/tenants:create", &body).await;
    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn tenants_neither_see_nor_reach_each_other() {
    let steward = Installation::plain().await;
    steward.create_tenant("globex").await;
    let key = steward.key("boss", Some("owner")).await;
    for tenant in ["globex", "nobody", "steward"] {
        let set = json!({ "scope": tenant, "limit": "$0" });
        let response = steward.post(&key, &format!("/api/v1/tenants/{tenant}/budgets:set"), &set).await;
        assert_eq!(response.status(), 403, "{tenant}: not even whether it exists");
    }
    let response = steward
        .post(OPERATOR, "/api/v1/tenants/nobody/budgets:set", &json!({ "scope": "nobody", "limit": "$0" }))
        .await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn the_documents_and_the_probes_need_no_key() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hi")).await.status(), 200);
    let get = |path: &str| steward.http.get(format!("{}{path}", steward.url)).send();
    let openapi: Value = get("/openapi.json").await.unwrap().json().await.unwrap();
    assert_eq!(openapi["openapi"], "3.1.0");
    let asyncapi: Value = get("/asyncapi.json").await.unwrap().json().await.unwrap();
    assert_eq!(asyncapi["asyncapi"], "3.0.0");
    assert_eq!(get("/livez").await.unwrap().status(), 200);
    assert_eq!(get("/readyz").await.unwrap().status(), 200);
    steward.unwell.store(true, Ordering::SeqCst);
    let unready = get("/readyz").await.unwrap();
    assert_eq!(unready.status(), 503);
    assert_eq!(unready.text().await.unwrap(), "nats-server: away\n");
    assert_eq!(get("/metrics").await.unwrap().status(), 401, "it names tenants");
    let owner = steward.key("boss", Some("owner")).await;
    assert_eq!(steward.get(&owner, "/metrics").await.status(), 403, "of all of them");
    let metrics = steward.get(OPERATOR, "/metrics").await.text().await.unwrap();
    for line in [
        "steward_gateway_attempts_total{outcome=\"completed\"} 1",
        "steward_gateway_tokens_total{kind=\"output\"} 3",
        "steward_gateway_calls_running 0",
        "steward_gateway_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn the_bus_accepts_the_keys_the_edge_accepts() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    let login = steward.gateway.authenticator();
    let caller = login.authenticate(&key, None).await.unwrap();
    // Its scope is a part of what its account may, and a subject has no other place to say so.
    assert_eq!((caller.tenant.as_str(), caller.principal.as_str()), ("acme", caller.key.as_str()));
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let principal = account["answer"]["principal"].as_str().unwrap();
    let whole = steward.command("acme", "keys:issue", json!({ "principal": principal })).await;
    let caller = login.authenticate(whole["answer"]["secret"].as_str().unwrap(), None).await.unwrap();
    assert_eq!(caller.principal.as_str(), principal);
    assert!(login.authenticate("stw_acme_0", None).await.is_none());
}
