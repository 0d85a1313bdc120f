//! Streamed answers.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use steward_events::event::CallOutcome;
use steward_events::quantity::Tokens;

use crate::installation::{Installation, streamed_chat_body};

/// The data of each event.
fn data(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stream_ends_only_when_its_cost_is_recorded() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let response = steward.chat(&key, &streamed_chat_body("small", "hello")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert!(response.headers().contains_key("x-steward-call-id"));
    let text = response.text().await.unwrap();
    let finished = steward.finished_calls().await;
    assert_eq!((finished[0].tokens.output, &finished[0].outcome), (Tokens(3), &CallOutcome::Completed));
    let events = data(&text);
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(events.len(), 4, "{text}");
    assert!(!text.contains("usage"), "the caller did not ask for it: {text}");
    assert!(text.contains(": x-steward-response-cost: $0.0000114\n"), "{text}");
    assert_eq!(steward.upstream.asked()[0]["stream_options"]["include_usage"], true, "but it is always asked for");
}

#[tokio::test]
async fn requested_usage_is_the_last_piece_of_a_stream() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut body = streamed_chat_body("small", "hello");
    body["stream_options"] = json!({ "include_usage": true });
    let text = steward.chat(&key, &body).await.text().await.unwrap();
    let events = data(&text);
    let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(12)));
    let first: Value = serde_json::from_str(&events[0]).unwrap();
    assert!(first.get("usage").is_some_and(Value::is_null));
}

#[tokio::test]
async fn a_provider_that_leaves_out_the_end_marker_is_understood() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/no-done"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert_eq!(data(&text).last().unwrap(), "[DONE]");
    assert_eq!(steward.finished_calls().await[0].outcome, CallOutcome::Completed);
}

#[tokio::test]
async fn a_broken_stream_ends_with_an_error_and_an_estimate() {
    let steward = Installation::start(|settings| {
        settings.providers.idle_time_max = Duration::from_millis(300);
        settings.providers.event_bytes_max = 100_000;
    })
    .await;
    let key = steward.key("bot", Some("agent")).await;
    for (number, behaviour) in ["cut", "stall-mid", "huge", "failing"].into_iter().enumerate() {
        steward.model("small", &[&format!("mock/{behaviour}"), "mock/plain"]).await;
        let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
        let events = data(&text);
        let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "{behaviour}: {text}");
        let finished = steward.finished_calls().await;
        assert_eq!(finished.len(), number + 1, "{behaviour}: no second attempt, for the first may be billed");
        assert!(matches!(finished[number].outcome, CallOutcome::Estimated { .. }), "{behaviour}: {finished:?}");
        if behaviour != "huge" {
            assert!(finished[number].tokens.output > Tokens(0), "{behaviour}: what passed is charged");
        }
    }
}

#[tokio::test]
async fn a_stream_without_usage_is_an_estimate_but_whole() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/no-usage"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    assert_eq!(data(&text).last().unwrap(), "[DONE]");
    assert!(matches!(steward.finished_calls().await[0].outcome, CallOutcome::Estimated { .. }));
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_its_reservation() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/endless"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let text = steward.chat(&key, &streamed_chat_body("small", "hello")).await.text().await.unwrap();
    let events = data(&text);
    assert!((50..=60).contains(&(events.len() - 2)), "50 tokens were reserved, {} words came", events.len() - 2);
    let last: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    let finished = steward.finished_calls().await;
    assert!(matches!(&finished[0].outcome, CallOutcome::Estimated { reason, .. } if reason.contains("used up")));
    for _ in 0..100 {
        if steward.upstream.running() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the call goes on at the provider");
}

#[tokio::test]
async fn a_disconnecting_client_ends_its_call_and_usage_is_recorded() {
    let steward =
        Installation::start(|settings| settings.config.calls.abandoned_time_max = Duration::from_millis(300)).await;
    steward.model("small", &["mock/stall-mid"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut pieces = steward.chat(&key, &streamed_chat_body("small", "hello")).await.bytes_stream();
    pieces.next().await.unwrap().unwrap();
    assert_eq!(steward.upstream.running(), 1);
    drop(pieces);
    let finished = steward.await_finished(1).await;
    assert!(matches!(&finished[0].outcome, CallOutcome::Estimated { reason, .. } if reason.contains("caller")));
    for _ in 0..100 {
        if steward.upstream.running() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the call goes on at the provider");
}
