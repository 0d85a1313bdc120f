//! What calls need not use: texts counted instead of their bytes, requests said in fewer words, beginnings that providers keep;
//! and that it is on record what this saved.

use serde_json::{Value, json};
use steward_events::event::{Saving, SavingCause, Savings, UsageEvent};
use steward_events::quantity::{NanoDollars, Tokens};

use crate::installation::{Installation, chat_body};

const TEXT: &str = "All work and no play makes a dull day for everybody who has to read it again. ";

/// A model `counted`, of which the vocabulary is known. That is said before its route: who knows the route knows it too.
async fn counted_model(steward: &Installation, tokenizer: &str) {
    let spec = json!({ "context_max": 8_192, "output_max": 1_000, "tokenizer": tokenizer });
    steward.command("steward", "models:set", json!({ "model": "counted", "spec": spec })).await;
    let price = json!({ "input": 1_000_000, "cached": 100_000, "output": 2_000_000 });
    steward.command("steward", "prices:set", json!({ "model": "counted", "price": price })).await;
    let targets = json!([{ "provider": "mock", "upstream_model": "plain" }]);
    steward.command("steward", "routes:set", json!({ "model": "counted", "targets": targets })).await;
}

/// An installation with the model `small`, what is done with its requests, and a key.
async fn with_policy(policy: Value) -> (Installation, String) {
    let steward = Installation::plain().await;
    let mut body = policy;
    body["model"] = json!("small");
    steward.command("acme", "prompts:set", body).await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, key)
}

async fn worst_tokens(steward: &Installation) -> Vec<u64> {
    let events = steward.usage("acme").await.into_iter();
    events
        .filter_map(|event| if let UsageEvent::CallStarted { worst, .. } = event { Some(worst.tokens.0) } else { None })
        .collect()
}

async fn savings(steward: &Installation) -> Vec<Savings> {
    steward.await_finished(1).await;
    let events = steward.usage("acme").await.into_iter();
    events
        .filter_map(|event| if let UsageEvent::CallFinished { savings, .. } = event { Some(savings) } else { None })
        .collect()
}

fn saving(tokens: u64, money: u64) -> Saving {
    Saving { tokens: Tokens(tokens), money: NanoDollars(money), ..Saving::default() }
}

fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_the_providers_cache_saved_is_on_record() {
    let (steward, key) = with_policy(json!({})).await;
    let body = chat_body("small", "hello");
    let response = steward.chat(&key, &body).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-steward-saved")), (200, None));
    let mut sent = body.clone();
    sent["model"] = json!("plain");
    let mut asked = steward.upstream.asked().remove(0);
    asked["max_tokens"] = sent["max_tokens"].clone();
    assert_eq!(asked, sent, "without a policy it goes as it came");
    // Of 9 input tokens 4 at a tenth of the price of a dollar a million.
    assert_eq!(savings(&steward).await, [Savings::from_iter([(SavingCause::PromptCache, saving(4, 3_600))])]);
}

#[tokio::test]
async fn a_small_budget_admits_what_fits_in_tokens() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    counted_model(&steward, "o200k").await;
    let key = steward.key("bot", Some("agent")).await;
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "1200 tokens" })).await;
    let body = |model| chat_body(model, &TEXT.repeat(25));
    assert_eq!(steward.chat(&key, &body("small")).await.status(), 402, "each byte may be a token");
    assert_eq!(steward.chat(&key, &body("counted")).await.status(), 200);
    let worst = worst_tokens(&steward).await[0];
    // 17 tokens each time, and what may be around.
    assert!((25 * 17 + 50..1_200).contains(&worst), "{worst}");
}

#[tokio::test]
async fn nobody_counts_where_there_is_plenty() {
    let steward = Installation::plain().await;
    counted_model(&steward, "cl100k").await;
    let key = steward.key("bot", Some("agent")).await;
    let body = chat_body("counted", &TEXT.repeat(25));
    for _ in 0..2 {
        assert_eq!(steward.chat(&key, &body).await.status(), 200);
    }
    let worst = worst_tokens(&steward).await;
    assert!(worst[0] < 1_000, "nothing is held yet: {worst:?}");
    assert!(worst[1] > 2_000, "what is held has room for every byte: {worst:?}");
}

#[tokio::test]
async fn a_tools_answer_is_sent_in_fewer_words() {
    let (steward, key) = with_policy(json!({ "compress": true })).await;
    let rows: Vec<Value> = (0..40).map(|n| json!({ "id": n, "name": "somebody" })).collect();
    let answer = serde_json::to_string_pretty(&rows).unwrap();
    let mut body = chat_body("small", "look");
    let messages = body["messages"].as_array_mut().unwrap();
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
    messages.push(json!({ "role": "tool", "tool_call_id": "c", "content": answer }));
    let response = steward.chat(&key, &body).await;
    let asked = steward.upstream.asked().remove(0);
    let sent = asked["messages"][2]["content"].as_str().unwrap();
    assert!(sent.starts_with("id,name\n0,somebody\n"), "{sent}");
    assert_eq!(asked["messages"][1], body["messages"][1]);
    let fewer = answer.len() - sent.len();
    assert_eq!(header(&response, "x-steward-saved").unwrap(), format!("compressed={fewer}B"));
    let saved: Vec<_> = savings(&steward).await[0].iter().collect();
    let tokens = answer.len().div_ceil(4) as u64 - sent.len().div_ceil(4) as u64;
    assert_eq!(saved[1], (SavingCause::Compressed, saving(tokens, tokens * 1_000)));
}

#[tokio::test]
async fn a_chat_that_is_too_long_loses_its_oldest_turns_or_is_refused() {
    let (steward, key) = with_policy(json!({ "window": "trim_oldest" })).await;
    let mut messages = vec![json!({ "role": "system", "content": "be brief" })];
    for _ in 0..40 {
        messages.push(json!({ "role": "user", "content": TEXT.repeat(10) }));
        messages.push(json!({ "role": "assistant", "content": TEXT.repeat(3) }));
    }
    messages.push(json!({ "role": "user", "content": "and now?" }));
    let body = json!({ "model": "small", "messages": messages, "max_tokens": 50 });
    let response = steward.chat(&key, &body).await;
    let turns = header(&response, "x-steward-saved").unwrap();
    let turns: usize = turns.strip_prefix("trimmed=").unwrap().strip_suffix(" turns").unwrap().parse().unwrap();
    let asked = steward.upstream.asked().remove(0);
    let sent = asked["messages"].as_array().unwrap();
    assert_eq!((&sent[0], sent.last()), (&messages[0], messages.last()));
    assert_eq!(sent[1..], messages[1 + 2 * turns..]);
    assert!(
        savings(&steward).await[0].iter().any(|(cause, saving)| cause == SavingCause::Trimmed && saving.money.0 > 0)
    );

    steward.command("acme", "prompts:set", json!({ "model": "small", "window": "refuse" })).await;
    let mut refused = steward.chat(&key, &body).await;
    // A gateway hears of a policy a moment later.
    for _ in 0..100 {
        if refused.status() == 400 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        refused = steward.chat(&key, &body).await;
    }
    assert_eq!(refused.status(), 400);
    let said: Value = refused.json().await.unwrap();
    assert!(
        said["error"]["message"].as_str().unwrap().contains("more than the 8142 that the model `small` reads"),
        "{said}"
    );
    assert_eq!(steward.chat(&key, &chat_body("small", "hello")).await.status(), 200);
}
