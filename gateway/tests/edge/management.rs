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
    let sender = issued["answer"]["key"].as_str().unwrap();
    let expected = json!({ "principal": sender, "subject": format!("qry.acme.{sender}.cost.report"),
                           "query": { "by": ["key", "model"] } });
    assert_eq!(asked, expected);
    let asked = steward.post(key, "/api/v1/tenants/acme/cost:report", &json!({ "by": ["day"] })).await;
    assert_eq!(asked.json::<Value>().await.unwrap()["query"], json!({ "by": ["day"] }));
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
    // Its scope is a part of what its account may, so it speaks as itself only; and it may not read the log.
    assert_eq!((caller.tenant.as_str(), caller.whole, caller.reads_log), ("acme", false, false));
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let principal = account["answer"]["principal"].as_str().unwrap();
    let whole = steward.command("acme", "keys:issue", json!({ "principal": principal })).await;
    let caller = login.authenticate(whole["answer"]["secret"].as_str().unwrap(), None).await.unwrap();
    assert_eq!((caller.principal.as_str(), caller.whole, caller.reads_log), (principal, true, false));
    let auditor = json!({ "to": principal, "role": "auditor", "on": "acme" });
    steward.command("acme", "grants:give", auditor.clone()).await;
    let reader = login.authenticate(whole["answer"]["secret"].as_str().unwrap(), None).await.unwrap();
    assert!(reader.reads_log && login.holds(&reader) && login.holds(&caller));
    let version = login.version();
    steward.command("acme", "grants:revoke", auditor).await;
    assert!(login.version() != version && !login.holds(&reader), "what was read is not to be read on");
    assert!(login.holds(&caller));
    steward.command("acme", "keys:revoke", json!({ "key": caller.key })).await;
    assert!(!login.holds(&caller));
    assert!(login.authenticate("stw_acme_0", None).await.is_none());
}

#[tokio::test]
async fn two_keys_in_one_request_are_refused() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("owner")).await;
    for (first, second) in [(OPERATOR, key.as_str()), (key.as_str(), OPERATOR), (OPERATOR, OPERATOR)] {
        for path in ["/v1/models", "/api/v1/tenants/acme/cost:report"] {
            let request = steward.http.get(format!("{}{path}", steward.url));
            let response = request.bearer_auth(first).header("authorization", format!("Bearer {second}")).send().await;
            assert_eq!(response.unwrap().status(), 400, "{path}");
        }
    }
}

#[tokio::test]
async fn a_key_of_the_operators_is_nobody_elses_in_a_tenant() {
    let steward = Installation::plain().await;
    let login = steward.gateway.authenticator();
    let operators = login.authenticate(OPERATOR, None).await.unwrap().key;
    // A tenant may choose the same id: it takes nothing away from the operator, and gives its holder nothing.
    let account = steward.command("acme", "accounts:create", json!({ "name": "twin" })).await;
    let twin = json!({ "principal": account["answer"]["principal"], "key": operators });
    let twin = steward.command("acme", "keys:issue", twin).await;
    let secret = twin["answer"]["secret"].as_str().unwrap();
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "$5" })).await;
    let set = json!({ "scope": "acme", "limit": "$9" });
    assert_eq!(steward.post(secret, "/api/v1/tenants/acme/budgets:set", &set).await.status(), 403);
    steward.command("acme", "keys:revoke", json!({ "key": operators })).await;
    steward.command("acme", "tenants:suspend", json!({ "reason": "unpaid" })).await;
}

#[tokio::test]
async fn a_key_gives_on_no_more_than_it_is_over_http() {
    let steward = Installation::plain().await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "boss" })).await;
    let boss = account["answer"]["principal"].as_str().unwrap();
    steward.command("acme", "grants:give", json!({ "to": boss, "role": "owner", "on": "acme" })).await;
    let issue = async |body: serde_json::Value| {
        let issued = steward.command("acme", "keys:issue", body).await;
        issued["answer"]["secret"].as_str().unwrap().to_owned()
    };
    let calling = issue(json!({ "principal": boss, "models": ["small"] })).await;
    for (operation, body) in [
        ("users:disable", json!({ "principal": boss })),
        ("budgets:set", json!({ "scope": "acme", "limit": "$9" })),
        ("agents:define", json!({ "agent": "a", "spec": { "model": "large", "instructions": "" } })),
        ("keys:issue", json!({ "principal": boss })),
        ("keys:issue", json!({ "principal": boss, "models": ["small"] })),
    ] {
        let response = steward.post(&calling, &format!("/api/v1/tenants/acme/{operation}"), &body).await;
        assert_eq!(response.status(), 403, "{operation}");
    }
    let minute =
        steward_ports::clock::Clock::now(&steward_ports::clock::SystemClock::default()).plus(Duration::from_mins(1));
    let short = issue(json!({ "principal": boss, "expires": minute })).await;
    let path = "/api/v1/tenants/acme/keys:issue";
    assert_eq!(steward.post(&short, path, &json!({ "principal": boss })).await.status(), 403);
    assert_eq!(steward.post(&short, path, &json!({ "principal": boss, "expires": minute })).await.status(), 200);
    let grant = json!({ "to": boss, "role": "agent", "on": "acme" });
    assert_eq!(steward.post(&short, "/api/v1/tenants/acme/grants:give", &grant).await.status(), 403, "for good");
}

#[tokio::test]
async fn a_watch_of_flags_is_answered_when_they_change() {
    let steward = Installation::plain().await;
    let watch = |after: String, wait_s: u32| {
        let url = format!("{}/api/v1/tenants/acme/flags/watch?after={after}&wait_s={wait_s}", steward.url);
        let asked = steward.http.get(url).bearer_auth(OPERATOR).send();
        async move { asked.await.unwrap().json::<Value>().await.unwrap() }
    };
    let none = watch("nothing".to_owned(), 20).await;
    assert_eq!(none["flags"], json!({}), "what differs is answered at once");
    let version = none["version"].as_str().unwrap().to_owned();
    assert_eq!(watch(version.clone(), 0).await, none, "without a change after the time");
    let set = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        steward.command("acme", "flags:set", json!({ "flag": "search", "state": "on" })).await
    };
    let (changed, _) = tokio::join!(watch(version, 20), set);
    assert_eq!(changed["flags"], json!({ "search": true }));
    let stranger = steward.http.get(format!("{}/api/v1/tenants/acme/flags/watch", steward.url)).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}
