//! Which target a call goes to: past those that fail, to those that are for it, and again to one that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::CallOutcome;

use crate::installation::{Installation, Settings, chat_body};
use crate::raw::{Part, RawUpstream, TEN_AND_FIVE, good_whole, http, ok};

const JSON: &str = "application/json";

struct Scene {
    steward: Installation,
    raw: RawUpstream,
    key: String,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let steward = Installation::start(change).await;
        let raw = RawUpstream::start().await;
        for (provider, url) in [("raw", raw.url.as_str()), ("nowhere", "http://127.0.0.1:1/v1")] {
            let set = json!({ "provider": provider, "kind": "openai", "url": url });
            steward.command("steward", "providers:set", set).await;
        }
        let key = steward.key("bot", Some("agent")).await;
        raw.answer("good", ok(JSON, good_whole(TEN_AND_FIVE, "")));
        steward.model("small", &["raw/good"]).await;
        Self { steward, raw, key }
    }

    async fn route(&self, targets: Value, policy: &str) {
        let route = json!({ "model": "small", "targets": targets, "policy": policy });
        self.steward.command("steward", "routes:set", route).await;
    }

    /// Answers these statuses one after the other, then well.
    fn answers_after(&self, model: &str, statuses: &'static [&'static str]) {
        let asked = Arc::new(AtomicU32::new(0));
        self.raw.answer_by(model, move |_| {
            let number = asked.fetch_add(1, Ordering::SeqCst) as usize;
            let answer = match statuses.get(number) {
                Some(status) => http(status, "content-type: application/json\r\n", "{}"),
                None => ok(JSON, good_whole(TEN_AND_FIVE, "")),
            };
            vec![Part(Duration::ZERO, answer)]
        });
    }

    /// Calls; the status, and how many attempts it took if it went well.
    async fn call(&self) -> (u16, Option<u32>) {
        let response = self.steward.chat(&self.key, &chat_body("small", "hello")).await;
        let attempts =
            response.headers().get("x-steward-attempts").map(|value| value.to_str().unwrap().parse().unwrap());
        (response.status().as_u16(), attempts)
    }

    /// How often this provider's model was asked.
    fn asked(&self, model: &str) -> usize {
        self.raw.asked().iter().filter(|(_, body)| body["model"] == model).count()
    }
}

fn to(provider: &str, model: &str) -> Value {
    json!({ "provider": provider, "upstream_model": model })
}

#[tokio::test]
async fn a_dead_first_target_costs_nothing_after_a_few_calls() {
    let scene = Scene::new(|_| {}).await;
    scene.route(json!([to("nowhere", "x"), to("raw", "good")]), "ordered").await;
    for number in 0..9 {
        let expected = if number < 5 { 2 } else { 1 };
        assert_eq!(scene.call().await, (200, Some(expected)), "call {number}");
    }
    let finished = scene.steward.await_finished(14).await;
    let to_nowhere = finished.iter().filter(|call| call.provider == "nowhere");
    assert_eq!((finished.len(), to_nowhere.count()), (14, 5), "nothing is reserved for a target that is left alone");
}

#[tokio::test]
async fn a_target_that_is_well_again_is_found_by_a_probe() {
    let scene = Scene::new(|settings| {
        let targets = &mut settings.config.calls.targets;
        targets.failures_max = std::num::NonZeroU32::MIN;
        (targets.pause, targets.pause_max) = (Duration::from_secs(1), Duration::from_secs(1));
    })
    .await;
    scene.answers_after("m", &["500 Internal Server Error"]);
    scene.route(json!([to("raw", "m"), to("raw", "good")]), "ordered").await;
    assert_eq!((scene.call().await, scene.call().await), ((200, Some(2)), (200, Some(1))));
    assert_eq!((scene.asked("m"), scene.asked("good")), (1, 2), "left alone");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!((scene.call().await, scene.call().await), ((200, Some(1)), (200, Some(1))));
    assert_eq!((scene.asked("m"), scene.asked("good")), (3, 2), "asked as before");
}

#[tokio::test]
async fn the_only_target_is_asked_however_often_it_failed() {
    let scene = Scene::new(|settings| settings.config.calls.attempts_max = std::num::NonZeroU32::MIN).await;
    scene.answers_after("m", &["500 Internal Server Error"; 7]);
    scene.route(json!([to("raw", "m")]), "ordered").await;
    for _ in 0..7 {
        assert_eq!(scene.call().await, (502, None));
    }
    assert_eq!(scene.call().await, (200, Some(1)), "a breaker chooses, it does not refuse");
}

#[tokio::test]
async fn the_same_target_is_asked_again_each_time_with_a_reservation() {
    let scene = Scene::new(|_| {}).await;
    scene.answers_after("m", &["503 Service Unavailable", "429 Too Many Requests"]);
    scene.route(json!([to("raw", "m")]), "ordered").await;
    assert_eq!(scene.call().await, (200, Some(3)));
    let finished = scene.steward.await_finished(3).await;
    assert!(finished[..2].iter().all(|call| matches!(call.outcome, CallOutcome::NotBilled { .. })), "{finished:?}");
    assert_eq!(finished[2].outcome, CallOutcome::Completed);
    scene.answers_after("m", &["500 Internal Server Error"; 9]);
    assert_eq!(scene.call().await, (502, None));
    assert_eq!(scene.asked("m"), 3 + 4, "as often as the configuration says");
}

#[tokio::test]
async fn a_caller_that_left_is_not_tried_for_again() {
    let scene = Scene::new(|_| {}).await;
    scene.raw.answer("m", http("503 Service Unavailable", "retry-after: 1.5\r\n", "{}"));
    scene.route(json!([to("raw", "m")]), "ordered").await;
    assert!(tokio::time::timeout(Duration::from_millis(500), scene.call()).await.is_err(), "the client gave up");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.asked("m"), 1);
}

#[tokio::test]
async fn a_request_too_long_goes_to_the_target_for_that() {
    let scene = Scene::new(|_| {}).await;
    let body = r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#;
    scene.raw.answer("short", http("400 Bad Request", "content-type: application/json\r\n", body));
    let mut long = to("raw", "good");
    long["on"] = json!(["context_length"]);
    scene.route(json!([to("raw", "short"), to("raw", "other"), long]), "ordered").await;
    assert_eq!(scene.call().await, (200, Some(2)));
    assert_eq!((scene.asked("short"), scene.asked("other"), scene.asked("good")), (1, 0, 1));
    scene.route(json!([to("raw", "short"), to("raw", "good")]), "ordered").await;
    assert_eq!(scene.call().await, (400, None), "no target is there for it");
    assert_eq!(scene.asked("good"), 1);
}

#[tokio::test]
async fn a_calls_tags_open_the_targets_that_ask_for_them() {
    let scene = Scene::new(|_| {}).await;
    let mut tagged = to("raw", "good");
    tagged["tags"] = json!(["eu"]);
    scene.route(json!([tagged]), "ordered").await;
    let call = async |tags: &str| {
        let request = scene.steward.http.post(format!("{}/v1/chat/completions", scene.steward.url));
        let request = request.bearer_auth(&scene.key).header("x-steward-route-tags", tags);
        request.json(&chat_body("small", "hello")).send().await.unwrap()
    };
    assert_eq!(call("fast, eu").await.status(), 200);
    let refused = call("us").await;
    assert_eq!(refused.status(), 400);
    let text = refused.text().await.unwrap();
    assert!(text.contains("tags [us]") && text.contains("target 1"), "{text}");
    assert_eq!(scene.steward.finished_calls().await.len(), 1, "nothing is reserved");
}

#[tokio::test]
async fn one_of_alike_calls_goes_where_the_others_went() {
    let scene = Scene::new(|_| {}).await;
    let models = ["m1", "m2", "m3", "m4"];
    for model in models {
        scene.raw.answer(model, ok(JSON, good_whole(TEN_AND_FIVE, "")));
    }
    scene.route(models.iter().map(|model| to("raw", model)).collect(), "sticky").await;
    for _ in 0..6 {
        assert_eq!(scene.call().await, (200, Some(1)));
    }
    let mut asked = models.map(|model| scene.asked(model));
    asked.sort_unstable();
    assert_eq!(asked, [0, 0, 0, 6]);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_tried_again() {
    let scene = Scene::new(|_| {}).await;
    scene.route(json!([to("mock", "cut"), to("raw", "good")]), "ordered").await;
    let body = crate::installation::streamed_chat_body("small", "hello");
    let text = scene.steward.chat(&scene.key, &body).await.text().await.unwrap();
    assert!(text.contains("two") && text.contains("error") && !text.contains("good day"), "{text}");
    let finished = scene.steward.await_finished(1).await;
    assert!(matches!(finished[0].outcome, CallOutcome::Estimated { .. }), "{finished:?}");
    assert_eq!(scene.asked("good"), 0, "it may have been billed, and half of it is with the caller");
}
