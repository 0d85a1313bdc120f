//! OpenAI's operations beside chats: what passes, what is booked, what is refused.

use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::{CallOutcome, Operation, UsageEvent};
use steward_events::quantity::{NanoDollars, Tokens};

use crate::installation::Installation;
use crate::raw::{Part, RawUpstream, events, ok};

const JSON: &str = "application/json";

struct Scene {
    steward: Installation,
    raw: RawUpstream,
    key: String,
}

impl Scene {
    /// With a model `small` at $1, $0.10 and $2 a million tokens.
    async fn new() -> Self {
        let steward = Installation::plain().await;
        let raw = RawUpstream::start().await;
        let provider = json!({ "provider": "raw", "kind": "openai", "url": raw.url });
        steward.command("steward", "providers:set", provider).await;
        steward.model("small", &["raw/theirs"]).await;
        let key = steward.key("bot", Some("agent")).await;
        Self { steward, raw, key }
    }

    async fn price(&self, price: Value) {
        self.steward.command("steward", "prices:set", json!({ "model": "small", "price": price })).await;
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.steward.post(&self.key, path, body).await
    }

    /// Status and error of a refusal.
    async fn refused(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap()["error"].clone())
    }

    /// The first lines of what the upstream was sent.
    fn asked_paths(&self) -> Vec<String> {
        self.raw.asked().iter().map(|(head, _)| head.lines().next().unwrap().to_owned()).collect()
    }
}

fn embeddings(input: &Value) -> Value {
    json!({ "model": "small", "input": input })
}

const VECTORS: &str = r#"{"object":"list","model":"theirs","data":[{"object":"embedding","index":0,"embedding":"AACAPw=="}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;

#[tokio::test]
async fn embeddings_pass_untouched_and_cost_their_input() {
    let scene = Scene::new().await;
    scene.raw.answer("theirs", ok(JSON, VECTORS));
    let mut body = embeddings(&json!(["good day", "é"]));
    body["encoding_format"] = json!("base64");
    let response = scene.post("/v1/embeddings", &body).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-steward-response-cost"), "$0.000008");
    assert_eq!((header("x-steward-input-tokens"), header("x-steward-output-tokens")), ("8".into(), "0".into()));
    assert!(response.headers().get("x-steward-max-tokens-clamped").is_none());
    assert_eq!(response.text().await.unwrap(), VECTORS, "byte for byte");
    assert_eq!(scene.asked_paths(), ["post /v1/embeddings http/1.1"]);
    body["model"] = json!("theirs");
    assert_eq!(scene.raw.asked()[0].1, body);

    let finished = scene.steward.finished_calls().await;
    assert_eq!((finished[0].tokens.input, finished[0].cost), (Tokens(8), NanoDollars(8_000)));
    assert_eq!(finished[0].outcome, CallOutcome::Completed);
    let usage = scene.steward.usage("acme").await;
    let UsageEvent::CallStarted { context, worst, .. } = &usage[0] else { panic!("{usage:?}") };
    assert_eq!(context.operation, Operation::Embeddings);
    assert_eq!(worst.money.0, worst.tokens.0 * 1_000, "no output is reserved");
}

#[tokio::test]
async fn embeddings_never_bill_more_than_was_reserved() {
    let scene = Scene::new().await;
    scene.raw.answer_by("theirs", |body| {
        // Each byte is a token, of which each text has at most what the model reads.
        let texts = body["input"].as_array().cloned().unwrap_or_else(|| vec![body["input"].clone()]);
        let read: usize = texts.iter().map(|text| text.to_string().len().min(8_192)).sum();
        let answer =
            json!({ "data": [{ "embedding": [0.5] }], "usage": { "prompt_tokens": read, "total_tokens": read } });
        vec![Part(Duration::ZERO, ok(JSON, answer.to_string()))]
    });
    let long = "word ".repeat(2_000);
    for input in [
        json!("good day"),
        json!(long),
        json!([long, long, long]),
        json!((0..500).collect::<Vec<u32>>()),
        json!(vec![vec![1_u32; 50]; 40]),
        json!(vec!["\u{1F600}"; 2_048]),
    ] {
        assert_eq!(scene.post("/v1/embeddings", &embeddings(&input)).await.status(), 200);
    }
    let (mut worst_of, mut calls) = (Tokens(0), 0);
    for event in scene.steward.usage("acme").await {
        match event {
            UsageEvent::CallStarted { worst, .. } => worst_of = worst.tokens,
            UsageEvent::CallFinished { tokens, late, .. } => {
                assert!(tokens.total() <= worst_of && late.tokens == Tokens(0), "{tokens:?} of {worst_of:?}");
                calls += 1;
            }
            UsageEvent::LeaseClosed { .. } => {}
        }
    }
    assert_eq!(calls, 6);
}

#[tokio::test]
async fn a_budget_is_not_overshot_by_embeddings() {
    let scene = Scene::new().await;
    scene.raw.answer("theirs", ok(JSON, VECTORS));
    scene.steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "1000 tokens" })).await;
    let (status, error) = scene.refused("/v1/embeddings", &embeddings(&json!("word ".repeat(300)))).await;
    assert_eq!((status, &error["code"]), (402, &json!("insufficient_quota")));
    assert!(scene.raw.asked().is_empty());
    assert_eq!(scene.post("/v1/embeddings", &embeddings(&json!("good day"))).await.status(), 200);
}

#[tokio::test]
async fn wrong_fields_of_each_operation_are_named() {
    let scene = Scene::new().await;
    for (path, body, param) in [
        ("/v1/embeddings", json!({ "model": "small" }), "input"),
        ("/v1/embeddings", json!({ "model": "small", "input": [] }), "input"),
        ("/v1/embeddings", json!({ "model": "small", "input": vec!["a"; 2_049] }), "input"),
        ("/v1/embeddings", json!({ "model": "small", "input": "a", "models": ["dear"] }), "models"),
        ("/v1/completions", json!({ "model": "small", "prompt": "a", "best_of": 500 }), "prompt"),
        ("/v1/completions", json!({ "model": "small", "prompt": "a", "Max_Tokens": 5 }), "max_tokens"),
        ("/v1/moderations", json!({ "model": "small", "input": 7 }), "input"),
        ("/v1/images/generations", json!({ "model": "small", "prompt": "a", "n": 11 }), "n"),
        ("/v1/images/generations", json!({ "model": "small", "prompt": "a", "stream": true }), "stream"),
        ("/v1/audio/speech", json!({ "model": "small", "input": "a", "stream_format": "sse" }), "stream_format"),
    ] {
        let (status, error) = scene.refused(path, &body).await;
        assert_eq!((status, &error["param"]), (400, &json!(param)), "{path} {error}");
    }
    let stranger = scene.steward.key("stranger", None).await;
    let forbidden = scene.steward.post(&stranger, "/v1/embeddings", &embeddings(&json!("a"))).await;
    assert_eq!(forbidden.status(), 403);
    assert!(scene.raw.asked().is_empty());
}

#[tokio::test]
async fn a_provider_without_the_operation_is_not_asked() {
    let scene = Scene::new().await;
    scene.steward.model("small", &["script/echo"]).await;
    let (status, error) = scene.refused("/v1/embeddings", &embeddings(&json!("a"))).await;
    assert_eq!((status, &error["code"]), (502, &json!("upstream_failed")));
    assert!(error["message"].as_str().unwrap().contains("it has no embeddings"), "{error}");
    assert!(matches!(scene.steward.finished_calls().await[0].outcome, CallOutcome::NotBilled { .. }));
}

#[tokio::test]
async fn completions_reserve_and_send_what_they_may_write() {
    let scene = Scene::new().await;
    let answer = r#"{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":" a time","finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":16,"total_tokens":18}}"#;
    scene.raw.answer("theirs", ok(JSON, answer));
    let body = json!({ "model": "small", "prompt": "once upon", "n": 2, "best_of": 3 });
    let response = scene.post("/v1/completions", &body).await;
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.000034");
    assert_eq!(response.text().await.unwrap(), answer);
    assert_eq!(scene.raw.asked()[0].1["max_tokens"], 16, "what OpenAI writes if nothing is said");
    assert_eq!(scene.asked_paths(), ["post /v1/completions http/1.1"]);
    let usage = scene.steward.usage("acme").await;
    let UsageEvent::CallStarted { context, worst, .. } = &usage[0] else { panic!("{usage:?}") };
    assert_eq!(context.operation, Operation::Completions);
    let output = (worst.money.0 - worst.tokens.0 * 1_000) / 1_000;
    assert_eq!(output, 3 * 16, "each of best_of is billed");
}

#[tokio::test]
async fn completions_are_streamed_and_end_with_their_cost() {
    let scene = Scene::new().await;
    let piece = r#"{"id":"cmpl-1","choices":[{"index":0,"text":"good","finish_reason":null}],"usage":null}"#;
    let last = r#"{"id":"cmpl-1","choices":[{"index":0,"text":" day","finish_reason":"stop"}],"usage":null}"#;
    let usage = r#"{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    scene.raw.answer("theirs", ok("text/event-stream", events(&[piece, last, usage, "[DONE]"])));
    let body = json!({ "model": "small", "prompt": "hi", "max_tokens": 9, "stream": true });
    let response = scene.post("/v1/completions", &body).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = response.text().await.unwrap();
    let silent = |data: &str| format!("data: {}\n\n", data.replace(",\"usage\":null", ""));
    let expected = format!("{}{}: x-steward-response-cost: $0.00002\n\ndata: [DONE]\n\n", silent(piece), silent(last));
    assert_eq!(text, expected);
    assert_eq!(scene.raw.asked()[0].1["stream_options"], json!({ "include_usage": true }));
    assert_eq!(scene.steward.finished_calls().await[0].outcome, CallOutcome::Completed);

    let whole = r#"{"choices":[{"index":0,"text":"at once","finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
    scene.raw.answer("theirs", ok(JSON, whole));
    let text = scene.post("/v1/completions", &body).await.text().await.unwrap();
    assert!(text.contains(r#""text":"at once""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(scene.steward.finished_calls().await[1].cost, NanoDollars(20_000));
}

#[tokio::test]
async fn moderations_cost_nothing_where_their_price_is_nothing() {
    let scene = Scene::new().await;
    scene.price(json!({ "input": 0, "cached": 0, "output": 0 })).await;
    let answer = r#"{"id":"modr-1","model":"theirs","results":[{"flagged":false}]}"#;
    scene.raw.answer("theirs", ok(JSON, answer));
    let response = scene.post("/v1/moderations", &json!({ "model": "small", "input": ["a", "b"] })).await;
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.00");
    assert_eq!(response.text().await.unwrap(), answer);
    assert_eq!(scene.asked_paths(), ["post /v1/moderations http/1.1"]);
    assert_eq!(scene.steward.finished_calls().await[0].cost, NanoDollars(0));
}

#[tokio::test]
async fn images_are_charged_by_the_image() {
    let scene = Scene::new().await;
    scene.price(json!({ "input": 0, "cached": 0, "output": 0, "image": "$0.04" })).await;
    let answer =
        json!({ "created": 1, "data": [{ "b64_json": "A".repeat(400_000) }, { "b64_json": "AAAA" }] }).to_string();
    scene.raw.answer("theirs", ok(JSON, &answer));
    let body = json!({ "model": "small", "prompt": "a cat", "n": 2, "response_format": "b64_json" });
    scene.steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "$0.10" })).await;
    let response = scene.post("/v1/images/generations", &body).await;
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.08");
    assert_eq!(response.text().await.unwrap(), answer);
    assert_eq!(scene.asked_paths(), ["post /v1/images/generations http/1.1"]);
    let finished = scene.steward.finished_calls().await;
    assert_eq!((finished[0].tokens.images, finished[0].cost), (2, NanoDollars(80_000_000)));
    assert_eq!(scene.refused("/v1/images/generations", &body).await.0, 402, "$0.02 pay for no two images");
    assert_eq!(scene.raw.asked().len(), 1);
}

#[tokio::test]
async fn images_whose_tokens_are_said_are_charged_by_these() {
    let scene = Scene::new().await;
    let answer = r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":10,"output_tokens":272,"total_tokens":282}}"#;
    scene.raw.answer("theirs", ok(JSON, answer));
    let response = scene.post("/v1/images/generations", &json!({ "model": "small", "prompt": "a cat" })).await;
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.000554");
    assert_eq!(scene.steward.finished_calls().await[0].outcome, CallOutcome::Completed);
    assert_eq!(scene.raw.asked()[0].1.get("max_tokens"), None, "nothing but the model limits it");
}

#[tokio::test]
async fn speech_is_charged_by_the_character_and_comes_as_sound() {
    let scene = Scene::new().await;
    let body = json!({ "model": "small", "input": "Grüß dich", "voice": "alloy", "response_format": "opus" });
    let (status, error) = scene.refused("/v1/audio/speech", &body).await;
    assert_eq!((status, &error["param"]), (400, &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("a character counts as a token"), "{error}");

    scene.price(json!({ "input": 15_000_000, "cached": 0, "output": 0 })).await;
    scene.raw.answer("theirs", ok("audio/opus", b"OggS\x00\xff\xfe"));
    let response = scene.post("/v1/audio/speech", &body).await;
    assert_eq!(response.headers()["content-type"], "audio/opus");
    assert_eq!(response.headers()["x-steward-response-cost"], "$0.000135");
    assert_eq!(&*response.bytes().await.unwrap(), b"OggS\x00\xff\xfe");
    assert_eq!(scene.asked_paths(), ["post /v1/audio/speech http/1.1"]);
    assert_eq!(scene.steward.finished_calls().await[0].tokens.input, Tokens(9));
}

#[tokio::test]
async fn azures_paths_name_the_model_and_its_header_the_key() {
    let scene = Scene::new().await;
    scene.raw.answer("theirs", ok(JSON, VECTORS));
    let post = |path: &str, headers: &[(&'static str, &str)], body: Value| {
        let mut request = scene.steward.http.post(format!("{}{path}", scene.steward.url)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        }
    };
    let deployed = "/openai/deployments/small/embeddings?api-version=2024-10-21";
    let key = scene.key.as_str();
    for headers in [[("api-key", key)].as_slice(), &[("x-api-key", key)], &[("api-key", key), ("x-api-key", key)]] {
        assert_eq!(post(deployed, headers, json!({ "input": "a" })).await.0, 200, "{headers:?}");
    }
    let other = json!({ "input": "a", "model": "whatever" });
    assert_eq!(post(deployed, &[("api-key", key)], other).await.0, 200, "the path's name counts");
    assert_eq!(post("/openai/v1/embeddings", &[("api-key", key)], embeddings(&json!("a"))).await.0, 200);
    assert!(scene.raw.asked().iter().all(|(_, body)| body["model"] == "theirs"));
    assert!(scene.asked_paths().iter().all(|path| path == "post /v1/embeddings http/1.1"));

    let two = [("api-key", key), ("x-api-key", "stw_acme_other")];
    assert_eq!(post(deployed, &two, json!({ "input": "a" })).await.0, 400);
    let unknown = post("/openai/deployments/huge/embeddings", &[("api-key", key)], json!({ "input": "a" })).await;
    assert_eq!((unknown.0, &unknown.1["error"]["code"]), (404, &json!("model_not_found")));
    let nothing = post("/openai/nothing", &[("api-key", key)], json!({})).await;
    assert_eq!((nothing.0, &nothing.1["error"]["code"]), (404, &json!("unknown_url")));
    let listed = scene.steward.get(&scene.key, "/openai/models").await.json::<Value>().await.unwrap();
    assert_eq!(listed["data"][0]["id"], "small");
}
