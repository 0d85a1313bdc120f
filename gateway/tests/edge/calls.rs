//! Calls that go well.

use serde_json::{Value, json};
use steward_events::event::{CallOutcome, Operation, UsageEvent};
use steward_events::quantity::{NanoDollars, Tokens};

use crate::installation::{Installation, OPERATOR, chat_body};

#[tokio::test]
async fn the_reply_agrees_with_the_log() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut body = chat_body("small", "hello");
    body["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
    body["response_format"] = json!({ "type": "json_object" });
    let response = steward.chat(&key, &body).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    // 5 × $1/M + 4 × $0.10/M + 3 × $2/M
    assert_eq!(header("x-steward-response-cost").as_deref(), Some("$0.0000114"));
    for (name, tokens) in [("input", "9"), ("cached", "4"), ("output", "3")] {
        assert_eq!(header(&format!("x-steward-{name}-tokens")).as_deref(), Some(tokens));
    }
    assert_eq!(header("x-steward-attempts").as_deref(), Some("1"));
    assert_eq!(header("x-steward-max-tokens-clamped"), None);
    assert!(header("x-request-id").unwrap().starts_with("req_"));
    for name in ["x-steward-call-id", "x-steward-overhead-ms", "openai-processing-ms"] {
        assert!(header(name).is_some(), "{name}");
    }
    let call_id = header("x-steward-call-id").unwrap();
    let request_id = header("x-request-id").unwrap();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["usage"]["total_tokens"], 12);
    assert_eq!(answer["choices"][0]["message"]["content"], "one two three");

    let finished = steward.finished_calls().await;
    assert_eq!(finished.len(), 1, "recorded before the answer ended");
    assert_eq!((finished[0].tokens.input, finished[0].tokens.cached), (Tokens(9), Tokens(4)));
    assert_eq!((finished[0].tokens.output, finished[0].cost), (Tokens(3), NanoDollars(11_400)));
    assert_eq!(finished[0].outcome, CallOutcome::Completed);
    let usage = steward.usage("acme").await;
    let UsageEvent::CallStarted { call, context, request, worst, .. } = &usage[0] else { panic!("{usage:?}") };
    assert_eq!((call.as_str(), request.as_str()), (call_id.as_str(), request_id.as_str()));
    assert_eq!(context.scopes.path.as_str(), "acme/support");
    assert_eq!((context.operation, context.upstream_model.as_str()), (Operation::Chat, "plain"));
    assert!(worst.tokens.0 > 50 && worst.money > NanoDollars(11_400), "{worst}");

    let sent = &steward.upstream.asked()[0];
    assert_eq!(sent["model"], "plain", "its own name of the model");
    assert_eq!(sent["max_tokens"], 50);
    assert_eq!((&sent["tools"], &sent["response_format"]), (&body["tools"], &body["response_format"]));
}

#[tokio::test]
async fn a_request_without_limit_reserves_the_models_maximum_output() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let mut body = chat_body("small", "hello");
    body.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(steward.chat(&key, &body).await.status(), 200);
    body["max_completion_tokens"] = json!(7);
    assert_eq!(steward.chat(&key, &body).await.status(), 200);
    body["max_completion_tokens"] = json!(5_000);
    let response = steward.chat(&key, &body).await;
    assert_eq!(response.headers()["x-steward-max-tokens-clamped"], "1000", "the model writes no more");
    let asked = steward.upstream.asked();
    assert_eq!(asked[0]["max_tokens"], 1_000);
    assert_eq!((&asked[1]["max_completion_tokens"], &asked[1]["max_tokens"]), (&json!(7), &Value::Null));
    assert_eq!(asked[2]["max_completion_tokens"], 1_000);
}

#[tokio::test]
async fn a_short_budget_clamps_only_requests_without_a_limit() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "400 tokens" })).await;
    let mut body = chat_body("small", "hello");
    body.as_object_mut().unwrap().remove("max_tokens");
    let response = steward.chat(&key, &body).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    let clamped: u64 = response.headers()["x-steward-max-tokens-clamped"].to_str().unwrap().parse().unwrap();
    assert!((16..400).contains(&clamped), "{clamped}");
    assert_eq!(steward.upstream.asked()[0]["max_tokens"], clamped);
    body["max_tokens"] = json!(900);
    let response = steward.chat(&key, &body).await;
    assert_eq!(response.status(), 402, "an explicit limit is not clamped, and would never fit");
}

#[tokio::test]
async fn the_budget_that_is_left_is_told() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    steward.command("acme", "budgets:set", json!({ "scope": "acme", "limit": "$1.00" })).await;
    let response = steward.chat(&key, &chat_body("small", "hello")).await;
    assert_eq!(response.headers()["x-steward-budget-remaining"], "$0.9999886");
}

#[tokio::test]
async fn an_answer_without_usage_is_an_estimate() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/no-usage"]).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("small", "hello")).await.status(), 200);
    let finished = steward.finished_calls().await;
    assert!(matches!(finished[0].outcome, CallOutcome::Estimated { .. }), "{finished:?}");
    assert!(finished[0].tokens.output > Tokens(0) && finished[0].cost > NanoDollars(0), "{finished:?}");
}

#[tokio::test]
async fn only_models_that_the_key_may_use_are_listed() {
    let steward = Installation::plain().await;
    steward.model("small", &["mock/plain"]).await;
    steward.model("large", &["mock/plain"]).await;
    let names = |answer: Value| {
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = steward.key("bot", Some("agent")).await;
    assert_eq!(names(steward.get(&all, "/v1/models").await.json().await.unwrap()), ["large", "small"]);
    let none = steward.key("stranger", None).await;
    assert!(names(steward.get(&none, "/v1/models").await.json().await.unwrap()).is_empty());

    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let principal = &account["answer"]["principal"];
    let issued = steward.command("acme", "keys:issue", json!({ "principal": principal, "models": ["small"] })).await;
    let small = issued["answer"]["secret"].as_str().unwrap();
    assert_eq!(names(steward.get(small, "/v1/models").await.json().await.unwrap()), ["small"]);
    assert_eq!(steward.get(small, "/v1/models/small").await.status(), 200);
    assert_eq!(steward.get(small, "/v1/models/large").await.status(), 404);
    assert_eq!(steward.chat(small, &chat_body("large", "hello")).await.status(), 403);
    assert_eq!(steward.chat(small, &chat_body("small", "hello")).await.status(), 200);
}

#[tokio::test]
async fn a_model_is_called_by_its_makers_name() {
    let steward = Installation::plain().await;
    steward.model("gpt-4.1", &["mock/plain"]).await;
    let budget = json!({ "scope": "acme", "subject": { "model": "gpt-4.1" }, "limit": "1 calls" });
    steward.command("acme", "budgets:set", budget).await;
    let key = steward.key("bot", Some("agent")).await;
    assert_eq!(steward.chat(&key, &chat_body("gpt-4.1", "hello")).await.status(), 200);
    let shown: Value = steward.get(&key, "/v1/models/gpt-4.1").await.json().await.unwrap();
    assert_eq!(shown["id"], "gpt-4.1");
    let usage = steward.usage("acme").await;
    let UsageEvent::CallStarted { context, .. } = &usage[0] else { panic!("{usage:?}") };
    assert_eq!(context.scopes.model.as_str(), "gpt-4.1");
    assert_eq!(steward.chat(&key, &chat_body("gpt-4.1", "too often")).await.status(), 402);
    for wrong in ["gpt:4.1", "GPT-4.1", ".gpt"] {
        let body = json!({ "model": wrong, "spec": { "context_max": 8_192, "output_max": 1_000 } });
        let refused = steward.post(OPERATOR, "/api/v1/tenants/acme/models:set", &body).await;
        assert_eq!(refused.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_scripted_provider_says_so() {
    let steward = Installation::plain().await;
    steward.model("small", &["script/echo"]).await;
    let key = steward.key("bot", Some("agent")).await;
    let answer: Value = steward.chat(&key, &chat_body("small", "what goes in")).await.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "what goes in");
    assert_eq!(answer["system_fingerprint"], "scripted");
    assert_eq!(steward.finished_calls().await[0].tokens.output, Tokens(3));
    let called: Value = steward.chat(&key, &chat_body("small", "go\nscript: tool=look_up")).await.json().await.unwrap();
    assert_eq!(called["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "look_up");
}
