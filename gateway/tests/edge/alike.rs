//! Questions in other words: which get an answer that was kept, and which never.

use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::{AnswerSource, Operation, Similarity, UsageEvent};
use steward_events::quantity::NanoDollars;

use crate::installation::{Installation, OPERATOR, chat_body};
use crate::kept::{chat, heard, model_with};
use crate::raw::{Part, RawUpstream, http, ok};

/// A model `small`, and a model `embed` whose embeddings are the number of words and of letters; with `mode`.
async fn with(mode: &str) -> (Installation, RawUpstream, String) {
    let (steward, raw) = (Installation::plain().await, RawUpstream::start().await);
    raw.answer_by("vectors", |body| {
        let text = body["input"].as_str().unwrap();
        // Questions are far from each other that differ much in length.
        let numbers = [100, text.len()];
        let answer = json!({ "data": [{ "embedding": numbers }], "usage": { "prompt_tokens": 4, "total_tokens": 4 } });
        vec![Part(Duration::ZERO, ok("application/json", answer.to_string()))]
    });
    steward.command("steward", "providers:set", json!({ "provider": "raw", "kind": "openai", "url": raw.url })).await;
    steward.model("embed", &["raw/vectors"]).await;
    let similar = json!({ "model": "embed", "threshold": 0.99, "mode": mode });
    model_with(&steward, "small", "mock/plain", json!({ "ttl_s": 600, "similar": similar })).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, raw, key)
}

const ASKED: &str = "How do I reset my password?";
const IN_OTHER_WORDS: &str = "How can I reset the password";

#[tokio::test]
async fn a_question_in_other_words_gets_the_answer() {
    let (steward, raw, key) = with("on").await;
    let (first, answer) = chat(&steward, &key, &chat_body("small", ASKED)).await;
    assert_eq!(first, "miss");
    let response = steward.chat(&key, &chat_body("small", IN_OTHER_WORDS)).await;
    let score = response.headers()["x-steward-cache-score"].to_str().unwrap().parse::<f64>().unwrap();
    assert!((0.99..=1.0).contains(&score) && response.headers().contains_key("age"));
    assert_eq!(heard(response).await, ("similar".to_owned(), answer));
    assert_eq!(chat(&steward, &key, &chat_body("small", ASKED)).await.0, "hit", "the very same needs no embedding");
    assert_eq!((steward.upstream.asked().len(), raw.asked().len()), (1, 2));

    // Each embedding is a call of its own, and is paid.
    let (mut embeddings, mut similar, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for event in steward.usage("acme").await {
        let UsageEvent::CallFinished { call, context, source, cost, saved, used, .. } = event else { continue };
        match source {
            AnswerSource::Provider if context.operation == Operation::Embeddings => embeddings.push(cost),
            AnswerSource::Provider => asked.push(call),
            AnswerSource::Similar { call, score: told } => {
                assert!(used.is_zero() && saved.money == NanoDollars(11_400));
                similar.push((call, told));
            }
            _ => {}
        }
    }
    assert_eq!(embeddings, [NanoDollars(4_000); 2]);
    assert_eq!(similar, [(asked.remove(0), Similarity::of(score))]);
}

#[tokio::test]
async fn what_would_be_given_is_only_told_in_shadow() {
    let (steward, _raw, key) = with("shadow").await;
    for (text, expected) in [(ASKED, "miss"), (IN_OTHER_WORDS, "would-hit"), (IN_OTHER_WORDS, "hit")] {
        assert_eq!(chat(&steward, &key, &chat_body("small", text)).await.0, expected);
    }
    assert_eq!(steward.upstream.asked().len(), 2);
    let metrics = steward.get(OPERATOR, "/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"result="would-hit"} 1"#), "{metrics}");
}

#[tokio::test]
async fn what_differs_in_more_than_words_is_asked() {
    let (steward, raw, key) = with("on").await;
    assert_eq!(chat(&steward, &key, &chat_body("small", ASKED)).await.0, "miss");
    let with = |field: &str, value: Value| {
        let mut body = chat_body("small", IN_OTHER_WORDS);
        body[field] = value;
        body
    };
    let turn = |role: &str, content: &str| json!({ "role": role, "content": content });
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    for other in [
        chat_body("small", "How do I reset my passwords twice?"),
        chat_body(
            "small",
            "How do I reset my password on a computer that I have not seen for a long, long, long time?",
        ),
        with("temperature", json!(0)),
        with("max_tokens", json!(51)),
        with("n", json!(2)),
        with("tools", tool),
        with("response_format", json!({ "type": "json_object" })),
        with("messages", json!([turn("system", "be brief"), turn("user", IN_OTHER_WORDS)])),
    ] {
        assert_eq!(chat(&steward, &key, &other).await.0, "miss", "{other}");
    }
    steward.create_tenant("globex").await;
    let elsewhere = steward.key_of("globex", "bot", Some("agent")).await;
    assert_eq!(chat(&steward, &elsewhere, &chat_body("small", IN_OTHER_WORDS)).await.0, "miss", "another tenant");
    let asked = raw.asked().len();
    for own in [with("n", json!(2)), with("store", json!(true))] {
        chat(&steward, &key, &own).await;
    }
    assert_eq!(raw.asked().len(), asked, "what is no question needs no embedding");
    assert_eq!(chat(&steward, &key, &chat_body("small", IN_OTHER_WORDS)).await.0, "similar");
}

#[tokio::test]
async fn without_an_embedding_a_question_is_asked_as_it_stands() {
    let (steward, raw, key) = with("on").await;
    for answer in [http("500 No", "", "{}"), ok("application/json", "{}"), ok("text/html", "?")] {
        raw.answer("vectors", answer);
        for text in [ASKED, IN_OTHER_WORDS] {
            let body = chat_body("small", &format!("{text} {}", raw.asked().len()));
            assert_eq!(chat(&steward, &key, &body).await.0, "miss");
        }
    }
    let mut similar = json!({ "model": "nobody", "threshold": 0.99, "mode": "on" });
    steward.command("steward", "caches:set", json!({ "model": "small", "ttl_s": 600, "similar": similar })).await;
    assert_eq!(chat(&steward, &key, &chat_body("small", ASKED)).await.0, "miss");
    similar["threshold"] = json!(0.5);
    let refused = json!({ "model": "small", "ttl_s": 600, "similar": similar });
    let path = "/api/v1/tenants/steward/caches:set";
    assert!(steward.post(OPERATOR, path, &refused).await.status().is_client_error());
}
