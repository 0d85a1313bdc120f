//! A tenant's own account at a provider: its key is used for its calls, and shown to nobody.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use steward_events::event::{AggregateKind, CatalogEvent, Event, ReadEvent};
use steward_events::rejection::Rejection;
use steward_events::sealed::KeyOwner;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use crate::installation::{Installation, OPERATOR, chat_body};

/// What must be nowhere but in the header to the provider.
const MARKER: &str = "sk-Marker4711";

/// With views, and a model `own` that acme routes to its own provider, whose key is the secret `openai`.
async fn installation() -> Installation {
    let steward = Installation::start(|settings| {
        settings.views = true;
        settings.providers.tenant_providers_anywhere = true;
    })
    .await;
    set_secret(&steward, "acme", MARKER).await;
    let provider = json!({ "provider": "own", "kind": "openai", "url": steward.upstream.url, "key": "secret:openai" });
    steward.command("acme", "providers:set", provider).await;
    let spec = json!({ "context_max": 8_192, "output_max": 1_000 });
    steward.command("acme", "models:set", json!({ "model": "own", "spec": spec })).await;
    let targets = json!([{ "provider": "own", "upstream_model": "plain" }]);
    steward.command("acme", "routes:set", json!({ "model": "own", "targets": targets })).await;
    let free = json!({ "input": 0, "cached": 0, "output": 0 });
    steward.command("acme", "prices:set", json!({ "model": "own", "price": free })).await;
    steward
}

async fn set_secret(steward: &Installation, tenant: &str, value: &str) {
    steward.command(tenant, "secrets:set", json!({ "secret": "openai", "value": value })).await;
}

/// With which key the provider was called last.
fn authorization(steward: &Installation) -> String {
    steward.upstream.last_headers()["authorization"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_tenants_provider_is_called_with_the_tenants_secret() {
    let steward = installation().await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    assert_eq!(authorization(&steward), format!("Bearer {MARKER}"));
    set_secret(&steward, "acme", "sk-rotated").await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    assert_eq!(authorization(&steward), "Bearer sk-rotated", "with the next call");
    // The same secret set again is no other.
    set_secret(&steward, "acme", "sk-rotated").await;
    let recorded = steward.events("acme", AggregateKind::Catalog).await;
    let set = |event: &&Event| matches!(event, Event::Catalog(CatalogEvent::SecretSet { .. }));
    assert_eq!(recorded.iter().filter(set).count(), 2);
}

#[tokio::test]
async fn a_secret_is_opened_once_and_that_is_on_record() {
    let steward = installation().await;
    let key = steward.key("bot", Some("agent")).await;
    for _ in 0..3 {
        assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    }
    let mut read = Vec::new();
    for _ in 0..250 {
        read = steward.events("acme", AggregateKind::Reads).await;
        if !read.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let [Event::Reads(ReadEvent::Read { principal, query, asked })] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((principal.as_str(), query.as_str()), ("sys_gateway", "secret:open"));
    assert!(asked.contains("openai"), "{asked}");
}

#[tokio::test]
async fn a_secret_is_removed_only_when_no_provider_uses_it() {
    let steward = installation().await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    let remove = json!({ "secret": "openai" });
    let refused = steward.post(OPERATOR, "/api/v1/tenants/acme/secrets:remove", &remove).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("the provider own uses it"));
    let keyless = json!({ "provider": "own", "kind": "openai", "url": steward.upstream.url });
    steward.command("acme", "providers:set", keyless).await;
    steward.command("acme", "secrets:remove", remove).await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    assert!(steward.upstream.last_headers().get("authorization").is_none(), "it ends at once");
}

#[tokio::test]
async fn nobody_but_the_gateway_opens_a_secret() {
    let steward = installation().await;
    steward.create_tenant("globex").await;
    let open = json!({ "secret": "openai", "min_position": 0 });
    let mut opened = Err(Rejection::Expired);
    for _ in 0..250 {
        opened = steward.ask("acme", "sys_gateway", ("secret", "open"), &open).await;
        if opened.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(opened.unwrap()["value"], MARKER);
    for sender in ["op_root", "p_ana", "sys_worker", "sys_bootstrap", "sys_worker/sys_gateway", "sys_gateway/p_ana"] {
        let refused = steward.ask("acme", sender, ("secret", "open"), &open).await.unwrap_err();
        assert!(matches!(refused, Rejection::Forbidden { .. }), "{sender}: {refused}");
    }
    let owner = steward.key("boss", Some("owner")).await;
    for key in [OPERATOR, &owner] {
        let over_http = steward.post(key, "/api/v1/tenants/acme/secret:open", &open).await;
        assert_eq!(over_http.status(), 404, "it is in no API");
    }
    // Another tenant has no such secret, can refer to none, and cannot call the model.
    let others = steward.ask("globex", "sys_gateway", ("secret", "open"), &open).await.unwrap_err();
    assert_eq!(others.to_string(), "there is no secret openai");
    let provider = json!({ "provider": "own", "kind": "openai", "url": "https://example.org", "key": "secret:openai" });
    assert_eq!(steward.post(OPERATOR, "/api/v1/tenants/globex/providers:set", &provider).await.status(), 400);
    let key = steward.key_of("globex", "bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 404);
    assert!(steward.upstream.asked().is_empty());
}

#[tokio::test]
async fn an_erased_secret_is_not_configured() {
    let steward = installation().await;
    let key = steward.key("bot", Some("agent")).await;
    steward.keyring.destroy(&KeyOwner::Tenant("acme".parse().unwrap())).await.unwrap();
    let refused = steward.chat(&key, &chat_body("own", "hello")).await;
    assert_eq!(refused.status(), 502);
    let told = refused.text().await.unwrap();
    assert!(told.contains("the provider own is not configured"), "{told}");
    assert!(steward.upstream.asked().is_empty());
    // No data key is made in place of one that was destroyed.
    let again = json!({ "secret": "openai", "value": "sk-again" });
    assert_eq!(steward.post(OPERATOR, "/api/v1/tenants/acme/secrets:set", &again).await.status(), 409);
}

#[tokio::test]
async fn a_secret_is_shown_nowhere() {
    let told = Told::default();
    let _listening = tracing::subscriber::set_default(told.clone());
    let steward = installation().await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("own", "hello")).await.status(), 200);
    assert_eq!(authorization(&steward), format!("Bearer {MARKER}"));
    let mut shown = String::new();
    for (query, tells) in [
        ("history:replay", "catalog.secret_set"),
        ("secret:list", "openai"),
        ("provider:list", "secret:openai"),
        ("audit:commits", "commits"),
    ] {
        let answer = steward.post(OPERATOR, &format!("/api/v1/tenants/acme/{query}"), &json!({})).await;
        assert_eq!(answer.status(), 200, "{query}");
        let answer = answer.text().await.unwrap();
        assert!(answer.contains(tells), "{query}: {answer}");
        shown += &answer;
    }
    // Refused for its form, and as the body of a command of the same id as another.
    for value in [json!(format!("{MARKER} ")), json!([MARKER]), json!({ MARKER: 1 })] {
        let body = json!({ "secret": "openai", "value": value });
        let refused = steward.post(OPERATOR, "/api/v1/tenants/acme/secrets:set", &body).await;
        assert_eq!(refused.status(), 400, "{body}");
        shown += &refused.text().await.unwrap();
    }
    shown += &steward.get(OPERATOR, "/metrics").await.text().await.unwrap();
    for kind in AggregateKind::ALL {
        write!(shown, "{:?}", steward.events("acme", kind).await).unwrap();
    }
    for stored in steward.stored("acme", &AggregateKind::ALL).await {
        shown += &String::from_utf8_lossy(&stored.bytes);
    }
    assert!(!shown.contains("Marker"), "{}", around(&shown));
    let told = told.0.lock().unwrap().clone();
    assert!(told.contains("acme"), "something was logged");
    assert!(!told.contains("Marker"), "{}", around(&told));
}

#[tokio::test]
async fn a_list_of_secrets_says_who_set_them_and_who_uses_them() {
    let steward = installation().await;
    let list = || async {
        let listed: Value = steward.get(OPERATOR, "/api/v1/tenants/acme/secret:list").await.json().await.unwrap();
        listed["rows"].as_array().unwrap().clone()
    };
    let row = list().await[0].clone();
    assert_eq!((&row["secret"], &row["providers"]), (&json!("openai"), &json!(["own"])));
    assert!(row["set_by"].as_str().unwrap().starts_with("op_"), "{row}");
    assert_eq!(row.as_object().unwrap().len(), 4, "{row}");
    let keyless = json!({ "provider": "own", "kind": "openai", "url": steward.upstream.url });
    steward.command("acme", "providers:set", keyless).await;
    assert_eq!(list().await[0]["providers"], json!([]));
    steward.command("acme", "secrets:remove", json!({ "secret": "openai" })).await;
    assert!(list().await.is_empty());
}

fn around(text: &str) -> String {
    let at = text.find("Marker").unwrap_or_default();
    String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..text.len().min(at + 100)]).into_owned()
}

/// All that this thread logs and traces, as text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<String>>);

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Told {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        of.target().starts_with("steward") || *of.level() <= Level::INFO
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
