//! Answers that are given to more calls than one: to whom, at what cost, and to whom never.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};
use steward_events::event::{AnswerSource, CallOutcome, UsageEvent};
use steward_events::quantity::{Amounts, NanoDollars, Tokens};
use steward_ports::contents::ContentStore;

use crate::installation::{Installation, chat_body, streamed_chat_body};
use crate::raw::{RawUpstream, TEN_AND_FIVE, good_whole, ok};

/// What the cache had to do with an answer, and the answer.
pub(crate) async fn chat(steward: &Installation, key: &str, body: &Value) -> (String, String) {
    heard(steward.chat(key, body).await).await
}

pub(crate) async fn heard(response: reqwest::Response) -> (String, String) {
    assert_eq!(response.status(), 200);
    let used = response.headers().get("x-steward-cache").map_or("-", |value| value.to_str().unwrap()).to_owned();
    (used, response.text().await.unwrap())
}

/// A model whose answers are kept or shared as `policy` says. The policy comes first, so that whoever knows the model knows
/// it too.
pub(crate) async fn model_with(steward: &Installation, model: &str, target: &str, mut policy: Value) {
    policy["model"] = json!(model);
    steward.command("steward", "caches:set", policy).await;
    steward.model(model, &[target]).await;
}

/// A model `small` that `target` answers, with this policy, and a key that may call it.
pub(crate) async fn with_policy(target: &str, policy: Value) -> (Installation, String) {
    with_contents(target, policy, None).await
}

/// The same, with this store beside the log.
pub(crate) async fn with_contents(
    target: &str,
    policy: Value,
    contents: Option<Arc<dyn ContentStore>>,
) -> (Installation, String) {
    let steward = Installation::start(|settings| {
        // They open the key that seals what is kept.
        settings.views = true;
        settings.contents = contents;
        let many = NonZeroUsize::new(4_096).unwrap();
        settings.config.calls_per_tenant_max = many;
        settings.config.calls_per_principal_max = many;
        settings.config.calls_per_key_max = many;
    })
    .await;
    model_with(&steward, "small", target, policy).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, key)
}

/// The finishes of calls that were given another's answer.
pub(crate) async fn given(steward: &Installation) -> Vec<(AnswerSource, Amounts, Tokens, NanoDollars, CallOutcome)> {
    let finishes = steward.usage("acme").await.into_iter().filter_map(|event| match event {
        UsageEvent::CallFinished { source, used, saved, cost, outcome, .. } if !source.is_provider() => {
            assert_eq!(cost, NanoDollars(0));
            Some((source, used, saved.tokens, saved.money, outcome))
        }
        _ => None,
    });
    finishes.collect()
}

#[tokio::test]
async fn an_equal_call_gets_the_kept_answer_for_nothing() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600 })).await;
    let (first, answer) = chat(&steward, &key, &chat_body("small", "hello")).await;
    assert_eq!(first, "miss");
    // What is spent leaves no room for another call; what is kept needs none.
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "$0" })).await;
    let response = steward.chat(&key, &chat_body("small", "hello")).await;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-steward-response-cost").as_deref(), Some("$0.00"));
    assert_eq!((header("age").as_deref(), header("x-steward-attempts").as_deref()), (Some("0"), Some("0")));
    assert_eq!(heard(response).await, ("hit".to_owned(), answer));
    assert_eq!(steward.chat(&key, &chat_body("small", "another")).await.status(), 402);
    assert_eq!(steward.upstream.asked().len(), 1);
    let all = given(&steward).await;
    assert_eq!(all, [(AnswerSource::Cache, Amounts::ZERO, Tokens(12), NanoDollars(11_400), CallOutcome::Completed)]);
}

#[tokio::test]
async fn a_kept_stream_comes_as_it_came() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600 })).await;
    let mut body = streamed_chat_body("small", "hello");
    body["stream_options"] = json!({ "include_usage": true });
    let (first, answer) = chat(&steward, &key, &body).await;
    let (second, again) = chat(&steward, &key, &body).await;
    assert_eq!((first.as_str(), second.as_str()), ("miss", "hit"));
    assert_eq!(again.replace(": x-steward-response-cost: $0.00\n", ": x-steward-response-cost: $0.0000114\n"), answer);
    assert_eq!(steward.upstream.asked().len(), 1);
    assert_eq!(chat(&steward, &key, &chat_body("small", "hello")).await.0, "miss", "it was not asked as a stream");
}

#[tokio::test]
async fn no_answer_crosses_what_tells_calls_apart() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600, "coalesce": true })).await;
    model_with(&steward, "alias", "mock/plain", json!({ "ttl_s": 600 })).await;
    steward.create_tenant("globex").await;
    let body = || chat_body("small", "hello");
    assert_eq!(chat(&steward, &key, &body()).await.0, "miss");
    assert_eq!(chat(&steward, &key, &body()).await.0, "hit");
    let with = |field: &str, value: Value| {
        let mut body = body();
        body[field] = value;
        body
    };
    let elsewhere = steward.key_of("globex", "bot", Some("agent")).await;
    assert_eq!(chat(&steward, &elsewhere, &body()).await.0, "miss", "another tenant");
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let principal = &account["answer"]["principal"];
    let issued = json!({ "principal": principal, "scope": "acme/sales" });
    let issued = steward.command("acme", "keys:issue", issued).await;
    let beside = issued["answer"]["secret"].as_str().unwrap();
    assert_eq!(chat(&steward, beside, &body()).await.0, "miss", "another project");
    for other in [
        chat_body("alias", "hello"),
        chat_body("small", "hеllo"),
        chat_body("small", "hello "),
        with("temperature", json!(0)),
        with("max_tokens", json!(51)),
        with("tools", json!([])),
    ] {
        assert_eq!(chat(&steward, &key, &other).await.0, "miss", "{other}");
    }
    assert_eq!(chat(&steward, &key, &with("store", json!(true))).await.0, "bypass");
    let colleague = steward.key("colleague", Some("agent")).await;
    assert_eq!(chat(&steward, &colleague, &body()).await.0, "hit", "the same project");
    let stranger = steward.key("stranger", None).await;
    assert_eq!(steward.chat(&stranger, &body()).await.status(), 403, "whoever may not call is given nothing");
    for same in
        [with("user", json!("ana")), json!({ "max_tokens": 50, "messages": body()["messages"], "model": "small" })]
    {
        assert_eq!(chat(&steward, &key, &same).await.0, "hit", "{same}");
    }
}

/// A kind of provider, a path, a request there, its answer, and fields that change nothing.
type Face = (&'static str, &'static str, Value, String, Vec<(&'static str, Value)>);

/// What each face has, of whom it can be asked, and what of its requests changes nothing.
fn whole_answers() -> Vec<Face> {
    let texts = json!({ "input": "good day" });
    let said = json!({ "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] });
    let message = r#"{"id":"msg_1","type":"message","role":"assistant","model":"theirs","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":3}}"#;
    let response = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"m","output":[],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}"#;
    let completion =
        format!(r#"{{"id":"c","choices":[{{"index":0,"text":"hi","finish_reason":"stop"}}],"usage":{TEN_AND_FIVE}}}"#);
    let vectors = r#"{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    vec![
        ("openai", "/v1/embeddings", texts.clone(), vectors.to_owned(), vec![("user", json!("ana"))]),
        ("openai", "/v1/moderations", texts, r#"{"id":"m","results":[{"flagged":false}]}"#.to_owned(), vec![]),
        ("openai", "/v1/completions", json!({ "prompt": "good day" }), completion, vec![("user", json!("ana"))]),
        ("anthropic", "/v1/messages", said.clone(), message.to_owned(), vec![("metadata", json!({ "user_id": "a" }))]),
        ("openai", "/v1/messages", said, good_whole(TEN_AND_FIVE, ""), vec![("metadata", json!({ "user_id": "a" }))]),
        ("openai", "/v1/responses", json!({ "input": "hi", "store": false }), response.to_owned(), vec![]),
    ]
}

#[tokio::test]
async fn every_face_gives_whole_answers_again() {
    let steward = Installation::plain().await;
    let key = steward.key("bot", Some("agent")).await;
    for (number, (kind, path, mut body, answer, idle)) in (0..).zip(whole_answers()) {
        let raw = RawUpstream::start().await;
        raw.answer("theirs", ok("application/json", answer));
        let provider = format!("raw{number}");
        let set = json!({ "provider": provider, "kind": kind, "url": raw.url });
        steward.command("steward", "providers:set", set).await;
        let model = format!("small{number}");
        model_with(&steward, &model, &format!("{provider}/theirs"), json!({ "ttl_s": 600, "coalesce": true })).await;
        body["model"] = json!(model);
        let ask = async |body: &Value| heard(steward.post(&key, path, body).await).await;
        let with = |field: &str, value: &Value| {
            let mut body = body.clone();
            body[field] = value.clone();
            body
        };
        let (first, answer) = ask(&body).await;
        assert_eq!(first, "miss", "{path}");
        assert_eq!(ask(&body).await, ("hit".to_owned(), answer), "{path}");
        for (field, value) in idle {
            assert_eq!(ask(&with(field, &value)).await.0, "hit", "{path} with another {field}");
        }
        assert_eq!(ask(&with("temperature", &json!(0.5))).await.0, "miss", "{path}");
        assert_eq!(raw.asked().len(), 2, "{path}");
    }
}

#[tokio::test]
async fn what_does_not_stand_in_a_request_is_asked_each_time() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600, "coalesce": true })).await;
    let file = json!([{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "file-1" } }] }]);
    let search = json!([{ "type": "web_search" }]);
    let mut named = chat_body("small", "hello");
    named["messages"] = file;
    let mut searched = chat_body("small", "hello");
    searched["tools"] = search.clone();
    let response = |field: &str, value: Value| {
        let mut body = json!({ "model": "small", "input": "hi", "store": false });
        body[field] = value;
        body
    };
    let block =
        json!([{ "role": "user", "content": [{ "type": "document", "source": { "type": "file", "file_id": "f" } }] }]);
    for (path, body) in [
        ("/v1/chat/completions", named),
        ("/v1/chat/completions", searched),
        ("/v1/messages", json!({ "model": "small", "max_tokens": 9, "messages": block })),
        ("/v1/responses", response("store", json!(null))),
        ("/v1/responses", response("tools", search)),
        ("/v1/responses", response("prompt", json!({ "id": "pmpt_1" }))),
        ("/v1/responses", response("input", json!([{ "type": "item_reference", "id": "msg_1" }]))),
    ] {
        for _ in 0..2 {
            let response = steward.post(&key, path, &body).await;
            let used = response.headers().get("x-steward-cache").map(|used| used.to_str().unwrap().to_owned());
            // Some are refused: they would have to be understood by another provider.
            assert!(matches!(used.as_deref(), None | Some("bypass")), "{path} {body}: {used:?}");
        }
    }
    assert!(given(&steward).await.is_empty());
}

#[tokio::test]
async fn a_caller_may_want_an_answer_of_its_own() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600, "coalesce": true })).await;
    for expected in ["miss", "hit"] {
        assert_eq!(chat(&steward, &key, &chat_body("small", "hello")).await.0, expected);
    }
    let request = steward.http.post(format!("{}/v1/chat/completions", steward.url)).bearer_auth(&key);
    let request = request.header("x-steward-cache", "bypass").json(&chat_body("small", "hello"));
    assert_eq!(heard(request.send().await.unwrap()).await.0, "bypass");
    assert_eq!(steward.upstream.asked().len(), 2);
}

#[tokio::test]
async fn what_is_purged_or_routed_anew_is_asked_again() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600 })).await;
    let body = chat_body("small", "hello");
    assert_eq!(chat(&steward, &key, &body).await.0, "miss");
    for tenant in ["acme", "steward"] {
        assert_eq!(chat(&steward, &key, &body).await.0, "hit");
        steward.command(tenant, "caches:purge", json!({ "model": "small" })).await;
        soon(&steward, &key, &body, "miss").await;
    }
    assert_eq!(chat(&steward, &key, &body).await.0, "hit");
    let target = json!({ "provider": "mock", "upstream_model": "another" });
    steward.command("steward", "routes:set", json!({ "model": "small", "targets": [target] })).await;
    soon(&steward, &key, &body, "miss").await;
    steward.command("acme", "caches:set", json!({ "model": "small" })).await;
    soon(&steward, &key, &body, "-").await;
}

/// Gateways hear of a setting a moment later.
async fn soon(steward: &Installation, key: &str, body: &Value, expected: &str) {
    for _ in 0..100 {
        if chat(steward, key, body).await.0 == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no {expected}");
}

#[tokio::test]
async fn answers_that_failed_or_broke_off_are_not_kept() {
    let (steward, key) = with_policy("mock/plain", json!({ "ttl_s": 600, "coalesce": true })).await;
    for model in ["status-500", "cut", "garbage", "failing"] {
        model_with(&steward, model, &format!("mock/{model}"), json!({ "ttl_s": 600, "coalesce": true })).await;
        // The last two break off, or fail, in a stream only.
        let whole = (!["cut", "failing"].contains(&model)).then(|| chat_body(model, "hello"));
        for body in whole.into_iter().chain([streamed_chat_body(model, "hello")]) {
            for _ in 0..2 {
                let response = steward.chat(&key, &body).await;
                let used = response.headers().get("x-steward-cache").map(http::HeaderValue::as_bytes);
                assert_ne!(used, Some(&b"hit"[..]), "{body}");
                drop(response.bytes().await);
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_equal_calls_at_once_ask_the_provider_once() {
    let (steward, key) = with_policy("mock/slow", json!({ "ttl_s": 600, "coalesce": true })).await;
    let body = chat_body("small", "hello");
    let calls = futures::stream::iter(0..1_000).map(|_| chat(&steward, &key, &body));
    let answers: Vec<_> = calls.buffer_unordered(1_000).collect().await;
    assert_eq!(answers.iter().map(|(_, answer)| answer.as_str()).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(steward.upstream.asked().len(), 1);
    assert_eq!(answers.iter().filter(|(used, _)| used == "miss").count(), 1);
    // Who came after it was answered got what was kept.
    assert!(answers.iter().filter(|(used, _)| used == "shared").count() > 1);
    let usage = steward.usage("acme").await;
    let paid: Vec<_> = usage
        .iter()
        .filter_map(|event| match event {
            UsageEvent::CallFinished { call, cost, source, .. } if source.is_provider() => Some((call.clone(), *cost)),
            _ => None,
        })
        .collect();
    assert_eq!(paid.len(), 1);
    let all = given(&steward).await;
    assert_eq!(all.len(), 999);
    let sources = [AnswerSource::Shared { call: paid[0].0.clone() }, AnswerSource::Cache];
    assert!(
        all.iter()
            .all(|(source, used, _, money, _)| { sources.contains(source) && used.is_zero() && *money == paid[0].1 })
    );
}

#[tokio::test]
async fn who_comes_later_hears_a_stream_from_its_beginning() {
    let (steward, key) = with_policy("mock/slow", json!({ "coalesce": true })).await;
    let body = streamed_chat_body("small", "hello");
    let later = |ms| {
        let (steward, key, body) = (&steward, &key, &body);
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            chat(steward, key, body).await
        }
    };
    let (first, second, third) = tokio::join!(later(0), later(300), later(600));
    assert_eq!([first.0.as_str(), &second.0, &third.0], ["miss", "shared", "shared"]);
    let data = |text: &str| text.lines().filter(|line| line.starts_with("data")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(data(&first.1).len(), 4, "{}", first.1);
    assert_eq!(data(&second.1), data(&first.1));
    assert_eq!(data(&third.1), data(&first.1));
    assert_eq!((steward.upstream.asked().len(), given(&steward).await.len()), (1, 2));
}

#[tokio::test]
async fn a_call_runs_on_for_those_who_follow_it() {
    let (steward, key) = with_policy("mock/slow", json!({ "coalesce": true })).await;
    for body in [chat_body("small", "hello"), streamed_chat_body("small", "hello")] {
        let asked = steward.upstream.asked().len();
        let leads = steward.http.post(format!("{}/v1/chat/completions", steward.url)).bearer_auth(&key).json(&body);
        let leads = tokio::spawn(async move { leads.send().await?.text().await });
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let follows = chat(&steward, &key, &body);
        let leaves = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            leads.abort();
        };
        let ((used, answer), ()) = tokio::join!(follows, leaves);
        assert_eq!(used, "shared");
        assert!(answer.contains("three"), "{answer}");
        assert_eq!(steward.upstream.asked().len(), asked + 1);
    }
}

#[tokio::test]
async fn who_follows_a_call_that_fails_makes_one() {
    let (steward, key) = with_policy("mock/slow-status-500", json!({ "coalesce": true })).await;
    let body = chat_body("small", "hello");
    let calls = futures::stream::iter(0..8).map(|_| steward.chat(&key, &body));
    let answers: Vec<_> = calls.buffer_unordered(8).collect().await;
    assert!(answers.iter().all(|answer| answer.status() == 502));
    assert_eq!(steward.upstream.asked().len(), 8, "each tries for itself in the end");
    assert!(given(&steward).await.is_empty());
}
