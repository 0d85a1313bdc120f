//! What is reserved for a call bounds what can be billed for it, whatever stands in its body.

use std::time::Duration;

use serde_json::{Map, Value, json};
use steward_events::event::UsageEvent;

use crate::installation::{Installation, chat_body};
use crate::raw::{Part, RawUpstream, TEN_AND_FIVE, good_whole, gzip, ok};

/// A model that can read so much, at an upstream that bills each byte that it is sent as a token, and as output the last limit
/// that it finds, under any name and in any letters.
async fn greedy(context_max: u64) -> (Installation, RawUpstream, String) {
    let steward = Installation::plain().await;
    let raw = RawUpstream::start().await;
    steward.command("steward", "providers:set", json!({ "provider": "raw", "kind": "openai", "url": raw.url })).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.model("wide", &["raw/m"]).await;
    let spec = json!({ "context_max": context_max, "output_max": 1_000 });
    steward.command("steward", "models:set", json!({ "model": "wide", "spec": spec })).await;
    raw.answer_by("m", |body| {
        let (mut limit, mut choices) = (1, 1);
        heed(body, &mut limit, &mut choices);
        let usage = json!({ "prompt_tokens": body.to_string().len(), "completion_tokens": limit * choices });
        vec![Part(Duration::ZERO, ok("application/json", good_whole(&usage.to_string(), "")))]
    });
    (steward, raw, key)
}

fn heed(value: &Value, limit: &mut u64, choices: &mut u64) {
    let Some(fields) = value.as_object() else {
        return value.as_array().into_iter().flatten().for_each(|item| heed(item, limit, choices));
    };
    for (name, value) in fields {
        let name = name.to_lowercase().replace('\u{17f}', "s");
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        match (name.as_str(), number) {
            ("n" | "best_of" | "candidate_count", Some(number)) => *choices = number,
            (_, Some(number)) if name.contains("token") || name.contains("predict") || name.contains("length") => {
                *limit = number;
            }
            ("messages" | "tools" | "functions" | "metadata", _) => {}
            _ => heed(value, limit, choices),
        }
    }
}

/// What was reserved for each call, and what was billed.
async fn billed(steward: &Installation) -> Vec<(u64, u64)> {
    let mut calls = Vec::new();
    for event in steward.usage("acme").await {
        match event {
            UsageEvent::CallStarted { call, worst, .. } => calls.push((call, worst.tokens.0, 0)),
            UsageEvent::CallFinished { call, tokens, .. } => {
                calls.iter_mut().filter(|(known, ..)| *known == call).for_each(|(.., used)| *used = tokens.total().0);
            }
            UsageEvent::LeaseClosed { .. } => {}
        }
    }
    calls.into_iter().map(|(_, worst, used)| (worst, used)).collect()
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }

    fn value(&mut self, depth: usize) -> Value {
        let text = |dice: &mut Self| Value::from("wörd \"\n".repeat(dice.roll(60)));
        match self.roll(if depth == 0 { 5 } else { 8 }) {
            0 => json!(self.one(&[1, 7, 900, 50_000])),
            1 => json!(self.one(&["9", "50000", "high"])),
            2 => json!(self.one(&[true, false])),
            3 => Value::Null,
            4 => text(self),
            5 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object((0..self.roll(4)).map(|_| (self.name(), self.value(depth - 1))).collect()),
        }
    }

    fn name(&mut self) -> String {
        self.one(&[
            "temperature",
            "top_p",
            "seed",
            "user",
            "stop",
            "documents",
            "context",
            "options",
            "extra_body",
            "parameters",
            "n",
            "N",
            "n_predict",
            "best_of",
            "max_tokens",
            "MAX_TOKENS",
            "maxTokens",
            "max_completion_tokens",
            "max_output_tokens",
            "min_tokens",
            "num_predict",
            "max_length",
            "candidate_count",
            "Model",
            "Messages",
            "me\u{17f}\u{17f}ages",
            "tools",
            "Tools",
            "functions",
            "response_format",
            "prediction",
            "image_url",
            "input_image",
            "metadata",
            "logit_bias",
            "chat_template",
            "file_ids",
            "previous_response_id",
            "web_search_options",
            "reasoning",
            "thinking",
            "alpha",
            "ALPHA",
        ])
        .to_owned()
    }

    fn message(&mut self) -> Value {
        let part = match self.roll(6) {
            0 => {
                json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "A".repeat(self.roll(30_000))) } })
            }
            1 => json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }),
            2 => {
                json!({ "type": "input_audio", "input_audio": { "data": "A".repeat(self.roll(2_000)), "format": "wav" } })
            }
            3 => json!({ "type": "file", "file": { "file_id": "file-1" } }),
            4 => {
                json!({ "type": "text", "text": "word ".repeat(self.roll(100)), "image_url": "word ".repeat(self.roll(100)) })
            }
            _ => json!({ "type": "text", "text": "\u{1F600}\u{7}".repeat(self.roll(50)) }),
        };
        json!({ "role": "user", "content": [part] })
    }

    fn body(&mut self) -> Value {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!("wide"));
        body.insert("messages".to_owned(), (0..=self.roll(3)).map(|_| self.message()).collect());
        if self.roll(2) == 0 {
            body.insert("max_tokens".to_owned(), json!(1 + self.roll(50)));
        }
        for _ in 0..self.roll(4) {
            let (name, value) = (self.name(), self.value(3));
            body.entry(name).or_insert(value);
        }
        Value::Object(body)
    }
}

#[tokio::test]
async fn never_more_is_billed_than_was_reserved() {
    let (steward, _, key) = greedy(1_000_000).await;
    let mut dice = Dice(0x5eed);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..400 {
        let body = dice.body();
        let response = steward.chat(&key, &body).await;
        match response.status().as_u16() {
            200 => passed += 1,
            400 => refused += 1,
            other => panic!("{other}: {} for {body}", response.text().await.unwrap()),
        }
    }
    assert!(passed > 80 && refused > 80, "{passed} passed, {refused} were refused");
    let calls = billed(&steward).await;
    assert_eq!(calls.len(), passed);
    for (number, (worst, used)) in calls.into_iter().enumerate() {
        assert!(used <= worst, "call {number}: {used} were billed, {worst} reserved");
    }
}

#[tokio::test]
async fn a_schema_is_no_image_and_text_by_that_name_is_text() {
    let (steward, _, key) = greedy(128_000).await;
    let budget = json!({ "scope": "acme/support", "limit": "$0.01", "per": "day", "hard": true });
    steward.command("acme", "budgets:set", budget).await;
    let mut body = chat_body("wide", "hi");
    body["max_tokens"] = json!(5);
    let schema = |value: Value| json!([{ "type": "function", "function": { "name": "describe", "parameters": { "type": "object", "properties": { "image_url": value } } } }]);
    body["tools"] = schema(json!({ "type": "string" }));
    assert_eq!(steward.chat(&key, &body).await.status(), 200);
    body["tools"] = schema(json!({ "description": "word ".repeat(160_000) }));
    assert_eq!(steward.chat(&key, &body).await.status(), 402);
}

#[tokio::test]
async fn text_in_any_field_is_reserved_like_messages() {
    let (steward, raw, key) = greedy(1_000_000).await;
    let budget = json!({ "scope": "acme/support", "limit": "$0.05", "per": "day", "hard": true });
    steward.command("acme", "budgets:set", budget).await;
    let text = "word ".repeat(160_000);
    for (field, value) in [
        ("documents", json!([{ "title": "t", "text": text }])),
        ("context", json!(text)),
        ("metadata", json!({ "a": text })),
        ("stop", json!([text])),
        ("user", json!(text)),
        ("options", json!({ "prefix": text })),
        ("temperature", json!(text)),
    ] {
        let mut body = chat_body("wide", "hi");
        body[field] = value;
        assert_eq!(steward.chat(&key, &body).await.status(), 402, "{field}");
    }
    let mut by_id = chat_body("wide", "hi");
    by_id["messages"] = json!([{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "file-1" } }] }]);
    assert_eq!(steward.chat(&key, &by_id).await.status(), 402, "as much as the model can read");
    assert!(raw.asked().is_empty());
}

#[tokio::test]
async fn what_is_written_twice_or_otherwise_is_refused_by_name() {
    let (steward, raw, key) = greedy(8_192).await;
    for (more, param) in [
        (r#""Model":"dear""#, "model"),
        (r#""MAX_TOKENS":100000"#, "max_tokens"),
        (r#""maxTokens":100000"#, "max_tokens"),
        (r#""Messages":[]"#, "messages"),
        (r#""n_predict":100000"#, "n_predict"),
        (r#""options":{"num_predict":100000}"#, "options"),
        (r#""best_of":8"#, "best_of"),
        (r#""chat_template":"{% for i in range(9999) %}word{% endfor %}""#, "chat_template"),
        (r#""models":["dear"]"#, "models"),
        (r#""a":1,"A":2"#, "A"),
    ] {
        let body = format!(r#"{{"model":"wide","max_tokens":1,"messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
        let path = format!("{}/v1/chat/completions", steward.url);
        let response = steward.http.post(path).bearer_auth(&key).body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{more}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["param"], param, "{error}");
    }
    assert!(raw.asked().is_empty());
}

#[tokio::test]
async fn coded_requests_are_unpacked_within_bounds_or_refused_by_the_codings_taken() {
    let steward = Installation::start(|settings| settings.config.body_bytes_max = 100_000).await;
    let raw = RawUpstream::start().await;
    steward.command("steward", "providers:set", json!({ "provider": "raw", "kind": "openai", "url": raw.url })).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.model("small", &["raw/m"]).await;
    raw.answer("m", ok("application/json", good_whole(TEN_AND_FIVE, "")));
    let body = chat_body("small", "hi").to_string();
    let send = async |coding: &'static str, body: Vec<u8>| {
        let path = format!("{}/v1/chat/completions", steward.url);
        let request = steward.http.post(path).bearer_auth(&key).header("content-encoding", coding);
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
    };
    assert_eq!(send("gzip", gzip(body.as_bytes())).await.0, 200);
    assert_eq!(send("identity", body.clone().into_bytes()).await.0, 200);
    assert_eq!(raw.asked()[0].1["messages"][0]["content"], "hi");
    assert_eq!(send("gzip", body.clone().into_bytes()).await.0, 400);
    assert_eq!(send("gzip", gzip(&vec![b' '; 10_000_000])).await.0, 413, "however small it was packed");
    for coding in ["zstd", "br", "gzip, gzip"] {
        let (status, headers, text) = send(coding, body.clone().into_bytes()).await;
        assert_eq!((status, &headers["accept-encoding"]), (415, &"gzip, deflate".parse().unwrap()), "{coding}: {text}");
        assert!(text.contains("gzip, deflate"), "{text}");
    }
}
