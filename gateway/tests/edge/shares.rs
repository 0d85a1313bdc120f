//! What one tenant may take leaves the rest for others, and every refusal is on record.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::json;
use steward_events::event::{AggregateKind, DenialEvent, DenialKind, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::installation::{Installation, OPERATOR, chat_body};

const MIB: usize = 1024 * 1024;

fn few(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A connection on which a call is announced, and nothing of its body sent.
async fn announce(steward: &Installation, key: &str, length: usize) -> TcpStream {
    let mut client = TcpStream::connect(steward.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn status(client: &mut TcpStream) -> String {
    let mut line = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), client.read_exact(&mut line)).await;
    read.expect("an answer before the body").unwrap();
    String::from_utf8_lossy(&line[9..]).into_owned()
}

/// Waits until the log holds an event for which `found` is true.
async fn on_record(steward: &Installation, tenant: &str, kind: AggregateKind, found: impl Fn(&Event) -> bool) {
    for _ in 0..500 {
        if steward.events(tenant, kind).await.iter().any(&found) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not on record: {:?}", steward.events(tenant, kind).await);
}

#[tokio::test]
async fn who_may_call_nothing_is_told_before_the_body_comes() {
    let steward = Installation::plain().await;
    for role in [None, Some("billing")] {
        let key = steward.key(role.unwrap_or("nobody"), role).await;
        let mut client = announce(&steward, &key, 8 * MIB).await;
        assert_eq!(status(&mut client).await, "403", "{role:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_only_announced_hold_up_nobody() {
    let steward = Installation::start(|settings| settings.config.bodies_bytes_max = 16 * MIB).await;
    steward.model("small", &["mock/plain"]).await;
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "bot", Some("agent")).await;
    let mut silent = Vec::new();
    for number in 0..5 {
        let key = steward.key(&format!("bot-{number}"), Some("agent")).await;
        for _ in 0..8 {
            silent.push(announce(&steward, &key, 8 * MIB).await);
        }
    }
    assert_eq!(steward.chat(&other, &chat_body("small", "hi")).await.status(), 200);
    drop(silent);
}

#[tokio::test]
async fn bodies_of_one_tenant_leave_room_for_anothers() {
    let bound = |settings: &mut crate::installation::Settings| {
        (settings.config.body_bytes_max, settings.config.bodies_bytes_max) = (MIB, 8 * MIB);
    };
    let steward = Installation::start(bound).await;
    steward.model("small", &["mock/plain"]).await;
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "bot", Some("agent")).await;
    let mut greedy = Vec::new();
    for number in 0..4 {
        let key = steward.key(&format!("bot-{number}"), Some("agent")).await;
        for _ in 0..4 {
            let mut client = announce(&steward, &key, MIB).await;
            // All but the last byte comes.
            let _ = client.write_all(&vec![b' '; MIB - 1]).await;
            greedy.push(client);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mine = steward.key("late", Some("agent")).await;
    assert_eq!(steward.chat(&mine, &chat_body("small", "hi")).await.status(), 429, "the tenant's half is taken");
    assert_eq!(steward.chat(&other, &chat_body("small", "hi")).await.status(), 200);
    drop(greedy);
}

#[tokio::test]
async fn calls_of_one_tenant_leave_room_for_anothers() {
    let bound = |settings: &mut crate::installation::Settings| {
        settings.config.calls_max = few(8);
        settings.config.calls_per_tenant_max = few(4);
        settings.config.calls_per_principal_max = few(3);
    };
    let steward = Installation::start(bound).await;
    steward.model("slow", &["mock/stall"]).await;
    steward.model("small", &["mock/plain"]).await;
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "bot", Some("agent")).await;
    let (slow, mut running) = (chat_body("slow", "hi"), Vec::new());
    for number in 0..4 {
        let key = steward.key(&format!("bot-{number}"), Some("agent")).await;
        let mut call = Box::pin({
            let (request, slow) = (steward.http.post(format!("{}/v1/chat/completions", steward.url)), slow.clone());
            async move { request.bearer_auth(key).json(&slow).send().await }
        });
        let _ = tokio::time::timeout(Duration::from_millis(300), call.as_mut()).await;
        running.push(call);
    }
    let fifth = steward.key("bot-4", Some("agent")).await;
    let refused = steward.chat(&fifth, &chat_body("small", "hi")).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.text().await.unwrap().contains("this tenant has 4 calls running"));
    assert_eq!(steward.chat(&other, &chat_body("small", "hi")).await.status(), 200);
}

#[tokio::test]
async fn every_refusal_over_http_is_on_record() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let (bot, nobody) = (steward.key("bot", Some("agent")).await, steward.key("nobody", None).await);
    let budget = json!({ "scope": "acme", "limit": "$0", "per": "day" });
    assert_eq!(steward.chat("stw_acme_0", &chat_body("small", "hi")).await.status(), 401);
    assert_eq!(steward.chat(&nobody, &chat_body("small", "hi")).await.status(), 403);
    assert_eq!(steward.chat(&bot, &chat_body("gpt-9", "hi")).await.status(), 404);
    assert_eq!(steward.post(&bot, "/api/v1/tenants/acme/budgets:set", &budget).await.status(), 403);
    steward.command("acme", "budgets:set", budget).await;
    assert_eq!(steward.chat(&bot, &chat_body("small", "hi")).await.status(), 402);
    let denied = |wanted: DenialKind, known: bool| {
        move |event: &Event| match event {
            Event::Denials(DenialEvent::Denied { kind, principal, address, .. }) => {
                *kind == wanted && principal.is_some() == known && address.is_some() != known
            }
            _ => false,
        }
    };
    on_record(&steward, "steward", AggregateKind::Denials, denied(DenialKind::WrongKey, false)).await;
    for kind in [DenialKind::Forbidden, DenialKind::NotFound, DenialKind::BudgetExhausted] {
        on_record(&steward, "acme", AggregateKind::Denials, denied(kind, true)).await;
    }
    let of_budget = |event: &Event| matches!(event, Event::Denials(DenialEvent::Denied { permission: Some(what), .. }) if what.as_str() == "budget:set");
    on_record(&steward, "acme", AggregateKind::Denials, of_budget).await;
}

#[tokio::test]
async fn noise_hides_no_refusal() {
    let steward = Installation::plain().await;
    let bot = steward.key("bot", Some("agent")).await;
    for number in 0..40 {
        let budget = json!({ "scope": format!("acme/noise-{number}"), "limit": "$1" });
        assert_eq!(steward.post(&bot, "/api/v1/tenants/acme/budgets:set", &budget).await.status(), 403);
    }
    let told = |event: &Event| match event {
        Event::Denials(DenialEvent::Denied { .. }) => 1,
        Event::Denials(DenialEvent::LeftOut { kinds, .. }) => kinds.values().sum(),
        _ => 0,
    };
    for _ in 0..500 {
        let events = steward.events("acme", AggregateKind::Denials).await;
        if events.iter().map(told).sum::<u64>() == 40 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", steward.events("acme", AggregateKind::Denials).await);
}

#[tokio::test]
async fn what_led_to_a_command_is_a_command_or_an_event() {
    let steward = Installation::plain().await;
    let budget = json!({ "scope": "acme", "limit": "$1" });
    for (cause, expected) in [("c_1", 200), ("evt.00.acme.task.t1@7", 200), ("FORGED line", 400), ("x@y", 400)] {
        let request = steward.http.post(format!("{}/api/v1/tenants/acme/budgets:set", steward.url));
        let request = request.bearer_auth(OPERATOR).header("steward-causation", cause).json(&budget);
        assert_eq!(request.send().await.unwrap().status(), expected, "{cause}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_the_operators_matter() {
    let steward = Installation::plain().await;
    let provider =
        json!({ "provider": "far", "kind": "openai", "url": "http://127.0.0.1:9", "key": "env:NOWHERE_TO_BE_SEEN" });
    steward.command("steward", "providers:set", provider).await;
    steward.model("far", &["far/any"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let answer = steward.chat(&key, &chat_body("far", "hi")).await;
    assert_eq!(answer.status(), 502);
    let body = answer.text().await.unwrap();
    assert!(body.contains("the provider far is not configured") && !body.contains("NOWHERE"), "{body}");
    let usage = format!("{:?}", steward.usage("acme").await);
    assert!(!usage.contains("NOWHERE"), "{usage}");
}

#[tokio::test]
async fn the_tests_provider_is_not_for_tenants() {
    let steward = Installation::plain().await;
    let owner = steward.key("boss", Some("owner")).await;
    let provider = json!({ "provider": "script", "kind": "scripted", "url": "" });
    assert_eq!(steward.post(&owner, "/api/v1/tenants/acme/providers:set", &provider).await.status(), 403);
    assert_eq!(steward.post(OPERATOR, "/api/v1/tenants/acme/providers:set", &provider).await.status(), 400);
    let off = Installation::start(|settings| settings.providers.scripted = false).await;
    off.model("script", &["script/hello"]).await;
    let key = off.key("bot", Some("agent")).await;
    assert_eq!(off.chat(&key, &chat_body("script", "hi")).await.status(), 502);
}

#[tokio::test]
async fn wrong_keys_on_the_bus_are_counted_by_address_too() {
    let steward = Installation::start(|settings| {
        settings.config.wrong_keys_per_minute_max = std::num::NonZeroU32::new(2).unwrap();
        settings.config.calls.fresh_wait_max = Duration::from_millis(400);
    })
    .await;
    let login = steward.gateway.authenticator();
    let from = |last: u8| Some(std::net::IpAddr::from([192, 0, 2, last]));
    // While the log is silent a look-up takes as long as it may, so it shows whether there is one.
    steward.frozen.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut took = Vec::new();
    for address in [1, 1, 1, 2] {
        let began = std::time::Instant::now();
        assert!(login.authenticate(&format!("stw_acme_{}", took.len()), from(address)).await.is_none());
        took.push(began.elapsed() >= Duration::from_millis(300));
    }
    assert_eq!(took, [true, true, false, true], "the third from one address is not looked up");
}
