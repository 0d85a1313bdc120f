//! What a route says beside its targets: by cost, within a provider's minute, hedged, degraded, with canaries and shadows.

use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::{CallContext, CallOutcome, Purpose, UsageEvent};
use steward_events::quantity::NanoDollars;
use steward_events::shared::Shared;

use crate::installation::{Installation, Settings, chat_body, streamed_chat_body};
use crate::raw::{Part, RawUpstream, TEN_AND_FIVE, delta, events, good_stream, good_whole, http, ok};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

struct Scene {
    steward: Installation,
    raw: RawUpstream,
    key: String,
}

impl Scene {
    /// `small` can go to models that answer well: `a`, `b` and `c`.
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let steward = Installation::start(change).await;
        let raw = RawUpstream::start().await;
        let set = json!({ "provider": "raw", "kind": "openai", "url": raw.url });
        steward.command("steward", "providers:set", set).await;
        let key = steward.key("bot", Some("agent")).await;
        for model in ["a", "b", "c"] {
            raw.answer(model, ok(JSON, good_whole(TEN_AND_FIVE, "")));
        }
        steward.model("small", &["raw/a"]).await;
        Self { steward, raw, key }
    }

    async fn route(&self, targets: &[&str], more: Value) {
        let targets: Vec<Value> = targets.iter().map(|text| written(text)).collect();
        let mut route = json!({ "model": "small", "targets": targets });
        route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.steward.command("steward", "routes:set", route).await;
    }

    async fn price(&self, target: &str, pico: u64) {
        let price = json!({ "input": pico, "cached": pico, "output": pico });
        self.steward
            .command("steward", "prices:set", json!({ "model": "small", "price": price, "target": target }))
            .await;
    }

    async fn call(&self) -> reqwest::Response {
        self.steward.chat(&self.key, &chat_body("small", "hello")).await
    }

    /// The status of a call, and which of the provider's models were asked in all.
    async fn calls(&self) -> (u16, String) {
        let status = self.call().await.status().as_u16();
        (status, self.asked())
    }

    fn asked(&self) -> String {
        self.raw.asked().iter().map(|(_, body)| body["model"].as_str().unwrap().to_owned()).collect()
    }

    /// Answers well, but only after so long.
    fn slowly(&self, model: &str, pause: Duration) {
        self.raw.answer_by(model, move |_| vec![Part(pause, ok(JSON, good_whole(TEN_AND_FIVE, "")))]);
    }

    async fn started(&self) -> Vec<Shared<CallContext>> {
        let usage = self.steward.usage("acme").await.into_iter();
        usage
            .filter_map(|event| if let UsageEvent::CallStarted { context, .. } = event { Some(context) } else { None })
            .collect()
    }
}

/// `raw/a rpm=1` as the API has it.
fn written(text: &str) -> Value {
    serde_json::to_value(text.parse::<steward_events::event::Target>().unwrap()).unwrap()
}

#[tokio::test]
async fn the_cheapest_target_is_asked_and_each_is_charged_its_price() {
    let scene = Scene::new(|_| {}).await;
    scene.route(&["raw/a", "raw/b", "raw/c"], json!({ "policy": "least_cost" })).await;
    scene.price("raw/b", 100_000).await;
    scene.price("raw/c", 10_000).await;
    scene.raw.answer("c", http("500 Internal Server Error", "", ""));
    assert_eq!(scene.calls().await, (200, "cb".to_owned()));
    let finished = scene.steward.await_finished(2).await;
    assert_eq!((finished[0].cost, finished[1].cost), (NanoDollars(0), NanoDollars(1_500)), "fifteen tokens");
    let prices =
        scene.started().await.into_iter().map(|context| context.price.target.as_ref().map(ToString::to_string));
    assert_eq!(prices.collect::<Vec<_>>(), [Some("raw/c".to_owned()), Some("raw/b".to_owned())]);
}

#[tokio::test]
async fn a_target_whose_minute_is_used_up_is_passed_over() {
    let scene = Scene::new(|settings| settings.config.calls.targets.minute_wait_max = Duration::ZERO).await;
    scene.route(&["raw/a rpm=2", "raw/b rpm=1"], json!({})).await;
    for expected in ["a", "aa", "aab"] {
        assert_eq!(scene.calls().await, (200, expected.to_owned()));
    }
    let refused = scene.call().await;
    assert_eq!((refused.status().as_u16(), scene.asked().as_str()), (429, "aab"));
    let retry_after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&retry_after), "{retry_after}");
    assert_eq!(scene.steward.finished_calls().await.len(), 3, "nothing is reserved for it");
}

#[tokio::test]
async fn a_short_wait_for_a_minutes_tokens_is_waited() {
    for (wait_max, last) in [(Duration::from_secs(5), 200), (Duration::ZERO, 429)] {
        let scene = Scene::new(|settings| settings.config.calls.targets.minute_wait_max = wait_max).await;
        scene.slowly("a", Duration::from_millis(400));
        scene.route(&["raw/a tpm=6000"], json!({})).await;
        let mut body = chat_body("small", "hello");
        body["max_tokens"] = json!(1_000);
        // Each takes a thousand until it is known that it used fifteen.
        let calls = (0..6).map(|_| scene.steward.chat(&scene.key, &body));
        let mut statuses: Vec<u16> =
            futures::future::join_all(calls).await.iter().map(|answer| answer.status().as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 200, 200, last]);
    }
}

#[tokio::test]
async fn a_provider_whose_limit_is_used_up_is_left_alone_until_it_returns() {
    let scene = Scene::new(|_| {}).await;
    let limits = "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n";
    scene.raw.answer("a", http("429 Too Many Requests", limits, "{}"));
    scene.route(&["raw/a", "raw/b"], json!({})).await;
    assert_eq!(scene.calls().await, (200, "ab".to_owned()));
    assert_eq!(scene.calls().await, (200, "abb".to_owned()), "the first is not asked again");
}

#[tokio::test]
async fn a_route_gives_up_a_silent_target_before_the_gateway_would() {
    let scene = Scene::new(|_| {}).await;
    scene.slowly("a", Duration::from_secs(60));
    scene.route(&["raw/a"], json!({ "terms": { "first_byte_ms": 100 } })).await;
    assert_eq!(scene.call().await.status(), 504);
    scene.raw.answer_by("a", |_| {
        let begins = ok(EVENTS, events(&[&delta("good")]));
        vec![Part(Duration::ZERO, begins), Part(Duration::from_secs(60), good_stream().into_bytes())]
    });
    scene.route(&["raw/a"], json!({ "terms": { "idle_ms": 100 } })).await;
    let text = scene.steward.chat(&scene.key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert!(text.contains("good") && text.contains("stalled"), "{text}");
}

#[tokio::test]
async fn a_call_that_the_model_can_not_answer_reserves_nothing() {
    let scene = Scene::new(|_| {}).await;
    let set = async |more: Value| {
        let mut spec = json!({ "context_max": 8_192, "output_max": 1_000 });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.steward.command("steward", "models:set", json!({ "model": "small", "spec": spec })).await;
    };
    let refused = async |body: &Value| {
        let response = scene.steward.chat(&scene.key, body).await;
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"]["param"].as_str().unwrap_or_default().to_owned())
    };
    set(json!({ "operations": ["chat"], "features": ["text", "tools"], "ends": "2099-01-01T00:00:00Z" })).await;
    assert_eq!(scene.call().await.status(), 200);
    let mut image = chat_body("small", "");
    image["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": "https://example.org/a.png" } }]);
    assert_eq!(refused(&image).await, (400, "messages".to_owned()));
    assert_eq!(refused(&streamed_chat_body("small", "hi")).await, (400, "stream".to_owned()));
    let shown: Value = scene.steward.get(&scene.key, "/v1/models/small").await.json().await.unwrap();
    assert_eq!((&shown["context_length"], &shown["features"][1]), (&json!(8_192), &json!("tools")), "{shown}");
    set(json!({ "operations": ["embeddings"] })).await;
    assert_eq!(refused(&chat_body("small", "hi")).await, (400, "model".to_owned()));
    set(json!({ "ends": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(refused(&chat_body("small", "hi")).await, (400, "model".to_owned()));
    assert_eq!((scene.asked().as_str(), scene.steward.finished_calls().await.len()), ("a", 1));
}

#[tokio::test]
async fn a_silent_target_is_raced_and_both_attempts_are_booked() {
    let scene = Scene::new(|_| {}).await;
    scene.slowly("a", Duration::from_secs(60));
    scene.route(&["raw/a", "raw/b", "raw/c"], json!({ "terms": { "hedge_after": "50ms" } })).await;
    let answered = scene.call().await;
    assert_eq!((answered.status().as_u16(), &answered.headers()["x-steward-attempts"]), (200, &"2".parse().unwrap()));
    assert_eq!(scene.asked(), "ab", "never more than two at once");
    let finished = scene.steward.await_finished(2).await;
    let lost = finished.iter().find(|call| call.outcome != CallOutcome::Completed).unwrap();
    let CallOutcome::Estimated { reason, .. } = &lost.outcome else { panic!("{finished:?}") };
    assert!(reason.contains("answered first"), "{reason}");
    assert_eq!(lost.tokens.output.0, 50, "all that it may have written");
}

#[tokio::test]
async fn a_target_that_answers_in_time_is_not_raced() {
    let scene = Scene::new(|_| {}).await;
    scene.route(&["raw/a", "raw/b"], json!({ "terms": { "hedge_after": "5000ms" } })).await;
    assert_eq!(scene.calls().await, (200, "a".to_owned()));
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_to_answer() {
    let scene = Scene::new(|_| {}).await;
    scene.slowly("a", Duration::from_millis(600));
    scene.raw.answer("b", http("400 Bad Request", "content-type: application/json\r\n", "{}"));
    scene.route(&["raw/a", "raw/b"], json!({ "terms": { "hedge_after": "50ms" } })).await;
    assert_eq!(scene.calls().await, (200, "ab".to_owned()));
    let finished = scene.steward.await_finished(2).await;
    assert!(finished.iter().any(|call| call.outcome == CallOutcome::Completed), "{finished:?}");
}

#[tokio::test]
async fn a_canary_answers_its_callers_and_no_others() {
    let scene = Scene::new(|_| {}).await;
    scene.route(&["raw/a", "raw/b canary=100%"], json!({})).await;
    assert_eq!(scene.calls().await, (200, "b".to_owned()));
    scene.raw.answer("b", http("500 Internal Server Error", "", ""));
    assert_eq!(scene.calls().await, (200, "bba".to_owned()), "the others stand behind it");
}

#[tokio::test]
async fn a_shadow_is_called_after_the_answer_and_harms_nobody() {
    let scene = Scene::new(|_| {}).await;
    scene.raw.answer("b", http("500 Internal Server Error", "", ""));
    scene.route(&["raw/a", "raw/b shadow=100%", "raw/c"], json!({})).await;
    assert_eq!(scene.call().await.status(), 200);
    scene.steward.await_finished(2).await;
    let text = scene.steward.chat(&scene.key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert!(text.contains("good day"), "{text}");
    scene.steward.await_finished(4).await;
    assert_eq!(scene.asked(), "abab");
    let purposes: Vec<_> = scene.started().await.into_iter().map(|context| context.purpose.clone()).collect();
    assert_eq!(purposes, [Purpose::Asked, Purpose::Shadow, Purpose::Asked, Purpose::Shadow]);
}

/// A tenant with a provider of its own: `large` is dear, `tiny` stands in for it.
async fn degrading(terms: Value, targets: &[&str]) -> Scene {
    let scene = Scene::new(|settings| {
        settings.providers.tenant_providers_anywhere = true;
        settings.config.calls.targets.failures_max = std::num::NonZeroU32::MIN;
    })
    .await;
    let command = async |operation: &str, body: Value| _ = scene.steward.command("acme", operation, body).await;
    command("providers:set", json!({ "provider": "own", "kind": "openai", "url": scene.raw.url })).await;
    for (model, targets, terms) in [("tiny", &["own/c"][..], json!({})), ("large", targets, terms)] {
        let spec = json!({ "context_max": 8_192, "output_max": 1_000 });
        command("models:set", json!({ "model": model, "spec": spec })).await;
        let targets: Vec<Value> = targets.iter().map(|text| written(text)).collect();
        command("routes:set", json!({ "model": model, "targets": targets, "terms": terms })).await;
        let price = json!({ "input": 1_000_000, "cached": 1_000_000, "output": 1_000_000 });
        command("prices:set", json!({ "model": model, "price": price })).await;
    }
    scene
}

fn degraded(response: &reqwest::Response) -> Option<String> {
    response.headers().get("x-steward-degraded").map(|why| why.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn another_model_stands_in_while_all_targets_fail() {
    let terms = json!({ "degrade_to": "tiny", "degrade_down": true });
    let scene = degrading(terms, &["own/a"]).await;
    scene.raw.answer("a", http("500 Internal Server Error", "", ""));
    let call = async || scene.steward.chat(&scene.key, &chat_body("large", "hello")).await;
    let failed = call().await;
    assert_eq!((failed.status().as_u16(), degraded(&failed)), (502, None));
    let answered = call().await;
    assert_eq!((answered.status().as_u16(), degraded(&answered)), (200, Some("down".to_owned())));
    let context = scene.started().await.pop().unwrap();
    assert_eq!(context.scopes.model.as_str(), "tiny");
    assert_eq!(context.purpose, Purpose::StandIn { asked: "large".parse().unwrap() });
}

#[tokio::test]
async fn another_model_stands_in_when_little_of_a_budget_is_left() {
    let terms = json!({ "degrade_to": "tiny", "degrade_below": 50 });
    let scene = degrading(terms, &["own/a"]).await;
    let budget = json!({ "scope": "acme", "limit": "12 calls", "per": "day", "hard": true });
    scene.steward.command("acme", "budgets:set", budget).await;
    let mut first = None;
    for number in 0..12 {
        let answered = scene.steward.chat(&scene.key, &chat_body("large", "hello")).await;
        assert_eq!(answered.status(), 200, "call {number}");
        if first.is_none() && degraded(&answered).is_some() {
            assert_eq!(degraded(&answered).as_deref(), Some("budget"));
            first = Some(number);
        }
    }
    let first = first.expect("one is answered by the model that stands in");
    assert!(first > 6, "not before half is spent: {first}");
}
