//! Calls that share one, and pay it together.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use steward_events::event::{AnswerSource, CallOutcome, UsageEvent};
use steward_events::quantity::{Amounts, NanoDollars, Tokens};

use crate::installation::{Installation, chat_body, streamed_chat_body};
use crate::kept::{chat, with_policy};

/// What the finishes of all calls say that they paid, by their sources.
async fn paid(steward: &Installation) -> Vec<(AnswerSource, Tokens, NanoDollars, Amounts)> {
    let finishes = steward.usage("acme").await.into_iter().filter_map(|event| match event {
        UsageEvent::CallFinished { source, tokens, cost, used, outcome: CallOutcome::Completed, .. } => {
            Some((source, tokens.total(), cost, used))
        }
        _ => None,
    });
    finishes.collect()
}

#[tokio::test]
async fn a_thousand_who_share_pay_one_call_together() {
    let (steward, key) = with_policy("mock/slow", json!({ "ttl_s": 600, "coalesce": "even" })).await;
    let body = chat_body("small", "hello");
    let calls = futures::stream::iter(0..1_000).map(|_| chat(&steward, &key, &body));
    let answers: Vec<_> = calls.buffer_unordered(1_000).collect().await;
    assert_eq!(answers.iter().map(|(_, answer)| answer.as_str()).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(steward.upstream.asked().len(), 1);
    let paid = paid(&steward).await;
    assert_eq!(paid.len(), 1_000);
    assert_eq!(paid.iter().map(|(_, tokens, ..)| tokens.0).sum::<u64>(), 12);
    assert_eq!(paid.iter().map(|(.., cost, _)| cost.0).sum::<u64>(), 11_400);
    assert_eq!(
        paid.iter().map(|(.., used)| (used.calls, used.money.0)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (1, 11_400)
    );
    let shared: Vec<_> = paid.iter().filter(|(source, ..)| *source != AnswerSource::Cache).collect();
    let of = u64::try_from(shared.len()).unwrap();
    assert!(of > 100, "{of} shared it");
    assert!(shared.iter().all(|(.., cost, _)| cost.0.abs_diff(11_400 / of) <= 1), "each the same");
    assert_eq!(shared.iter().filter(|(source, ..)| source.is_provider()).count(), 1);
}

#[tokio::test]
async fn those_who_share_a_stream_pay_it_together() {
    let (steward, key) = with_policy("mock/slow", json!({ "coalesce": "even" })).await;
    let body = streamed_chat_body("small", "hello");
    let later = async |ms| {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        chat(&steward, &key, &body).await
    };
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut response = steward.chat(&key, &body).await;
        assert!(response.chunk().await.unwrap().is_some());
    };
    let (first, second, third, ()) = tokio::join!(later(0), later(250), later(450), leaves);
    assert_eq!([first.0.as_str(), &second.0, &third.0], ["miss", "shared", "shared"]);
    for (_, answer) in [&first, &second, &third] {
        assert!(answer.contains("three") && answer.contains(": x-steward-response-cost: $0.00000285\n"), "{answer}");
    }
    steward.await_finished(4).await;
    let paid = paid(&steward).await;
    assert_eq!(paid.iter().map(|(.., cost, _)| cost.0).collect::<Vec<_>>(), [2_850; 4], "who left pays its part too");
    assert_eq!(steward.upstream.asked().len(), 1);
}

#[tokio::test]
async fn those_who_share_a_call_that_fails_owe_nothing_for_it() {
    let (steward, key) = with_policy("mock/slow-status-500", json!({ "coalesce": "even" })).await;
    let body = chat_body("small", "hello");
    let calls = futures::stream::iter(0..8).map(|_| steward.chat(&key, &body));
    let answers: Vec<_> = calls.buffer_unordered(8).collect().await;
    assert!(answers.iter().all(|answer| answer.status() == 502));
    assert_eq!(steward.upstream.asked().len(), 8, "each tries for itself in the end");
    let usage = steward.usage("acme").await;
    let started = usage.iter().filter(|event| matches!(event, UsageEvent::CallStarted { .. })).count();
    let finished: Vec<_> = usage
        .iter()
        .filter_map(|event| match event {
            UsageEvent::CallFinished { used, outcome, source, .. } => Some((used, outcome, source)),
            _ => None,
        })
        .collect();
    assert!(started > 8 && finished.len() == started, "{usage:?}");
    let is_free = |outcome: &CallOutcome| matches!(outcome, CallOutcome::NotBilled { .. });
    assert!(finished.iter().all(|(used, outcome, source)| used.is_zero() && is_free(outcome) && source.is_provider()));
}

#[tokio::test]
async fn who_cannot_pay_a_call_of_its_own_shares_none() {
    let (steward, key) = with_policy("mock/slow", json!({ "coalesce": "even" })).await;
    let broke = steward.key("broke", Some("agent")).await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "broke" })).await;
    let subject = json!({ "principal": account["answer"]["principal"] });
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "subject": subject, "limit": "$0" })).await;
    let body = chat_body("small", "hello");
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        steward.chat(&broke, &body).await.status()
    };
    let (first, second) = tokio::join!(chat(&steward, &key, &body), later);
    assert_eq!((first.0.as_str(), second.as_u16()), ("miss", 402));
    let paid = paid(&steward).await;
    assert_eq!(paid.iter().map(|(.., cost, _)| cost.0).collect::<Vec<_>>(), [11_400]);
}
