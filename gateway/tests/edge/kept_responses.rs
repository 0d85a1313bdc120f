//! Responses that are kept here: built on whoever answers, shown, listed, stopped and forgotten; and by whom never.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::installation::Installation;
use crate::responses::{Asked, own_model, with_responder};

/// With a model `small` of the platform, and a key that may call it.
async fn kept() -> (Installation, Asked, String) {
    let (steward, asked) = with_responder().await;
    steward.model("small", &["responder/plain"]).await;
    let key = steward.key("bot", Some("agent")).await;
    (steward, asked, key)
}

fn body(more: &Value) -> Value {
    let mut body = json!({ "model": "small", "input": "hello", "max_output_tokens": 50 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn make(steward: &Installation, key: &str, more: Value) -> Value {
    let answered = steward.post(key, "/v1/responses", &body(&more)).await;
    assert_eq!(answered.status(), StatusCode::OK);
    answered.json().await.unwrap()
}

async fn get(steward: &Installation, key: &str, path: &str) -> (StatusCode, Value) {
    let answered = steward.get(key, &format!("/v1/responses/{path}")).await;
    (answered.status(), answered.json().await.unwrap())
}

fn text(id: &Value) -> &str {
    id.as_str().unwrap()
}

#[tokio::test]
async fn a_response_is_kept_only_where_that_is_said() {
    let (steward, asked, key) = kept().await;
    let made = make(&steward, &key, json!({ "store": true })).await;
    assert_eq!((&made["store"], &made["status"]), (&json!(true), &json!("completed")));
    assert_eq!(asked.lock().unwrap()[0]["store"], false, "the provider's account is everybody's");
    assert_eq!(get(&steward, &key, text(&made["id"])).await, (StatusCode::OK, made));
    for more in [json!({}), json!({ "store": false })] {
        let made = make(&steward, &key, more).await;
        let (status, error) = get(&steward, &key, text(&made["id"])).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    }
}

#[tokio::test]
async fn a_response_builds_on_all_that_was_said_before() {
    let (steward, asked, key) = kept().await;
    let first = make(&steward, &key, json!({ "store": true })).await;
    let second =
        json!({ "store": true, "previous_response_id": first["id"], "input": [{ "role": "user", "content": "and?" }] });
    let second = make(&steward, &key, second).await;
    assert_eq!(second["previous_response_id"], first["id"]);
    make(&steward, &key, json!({ "previous_response_id": second["id"], "input": "so?" })).await;
    let said: Vec<Value> = asked.lock().unwrap()[2]["input"].as_array().unwrap().clone();
    let roles: Vec<&str> = said.iter().map(|item| text(&item["role"])).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!((&said[2]["content"], &said[4]["content"][0]["text"]), (&json!("and?"), &json!("so?")));
    assert_eq!(asked.lock().unwrap()[2].get("previous_response_id"), None);
    let (_, listed) = get(&steward, &key, &format!("{}/input_items?order=asc&limit=2", text(&second["id"]))).await;
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["has_more"]), (2, &json!(true)));
    assert_eq!(listed["data"][0]["content"][0]["text"], "hello");
    for wrong in ["limit=0", "limit=101", "limit=x", "order=up", "after=item_99"] {
        let (status, refused) = get(&steward, &key, &format!("{}/input_items?{wrong}", text(&second["id"]))).await;
        let field = wrong.split('=').next().unwrap();
        assert_eq!((status, refused["error"]["param"].as_str()), (StatusCode::BAD_REQUEST, Some(field)), "{wrong}");
    }
}

#[tokio::test]
async fn a_streamed_response_is_kept_when_it_is_whole() {
    let (steward, _, key) = kept().await;
    let answered = steward.post(&key, "/v1/responses", &body(&json!({ "store": true, "stream": true }))).await;
    let events = answered.text().await.unwrap();
    let last = events.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let response = serde_json::from_str::<Value>(last).unwrap()["response"].clone();
    assert_eq!(response["store"], true);
    assert!(events.contains(": x-steward-response-cost"));
    assert_eq!(get(&steward, &key, text(&response["id"])).await, (StatusCode::OK, response));
}

#[tokio::test]
async fn nobody_else_finds_a_response() {
    let (steward, asked, key) = kept().await;
    let made = make(&steward, &key, json!({ "store": true })).await;
    steward.create_tenant("globex").await;
    let elsewhere = steward.key_of("globex", "bot", Some("agent")).await;
    let account = steward.command("acme", "accounts:create", json!({ "name": "bot" })).await;
    let issued = json!({ "principal": account["answer"]["principal"], "scope": "acme/sales" });
    let issued = steward.command("acme", "keys:issue", issued).await;
    let beside = text(&issued["answer"]["secret"]).to_owned();
    let before = asked.lock().unwrap().len();
    for other in [&elsewhere, &beside] {
        for path in ["", "/input_items"] {
            let (status, _) = get(&steward, other, &format!("{}{path}", text(&made["id"]))).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
        }
        let builds_on = body(&json!({ "previous_response_id": made["id"] }));
        let refused = steward.post(other, "/v1/responses", &builds_on).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["param"], "previous_response_id");
    }
    assert_eq!(asked.lock().unwrap().len(), before);
    let stranger = steward.key("stranger", None).await;
    assert_eq!(get(&steward, &stranger, text(&made["id"])).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_forgotten_response_is_gone() {
    let (steward, _, key) = kept().await;
    let made = make(&steward, &key, json!({ "store": true })).await;
    let url = format!("{}/v1/responses/{}", steward.url, text(&made["id"]));
    let forgotten = steward.http.delete(&url).bearer_auth(&key).send().await.unwrap();
    assert_eq!(forgotten.json::<Value>().await.unwrap()["deleted"], true);
    assert_eq!(get(&steward, &key, text(&made["id"])).await.0, StatusCode::NOT_FOUND);
    assert_eq!(steward.http.delete(&url).bearer_auth(&key).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

/// How it stands once it is no longer being made.
async fn ended(steward: &Installation, key: &str, id: &Value) -> Value {
    for _ in 0..400 {
        let (_, response) = get(steward, key, text(id)).await;
        if !["queued", "in_progress"].contains(&text(&response["status"])) {
            return response;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not end");
}

#[tokio::test]
async fn a_response_is_made_in_the_background() {
    let (steward, _, key) = kept().await;
    let queued = make(&steward, &key, json!({ "background": true })).await;
    assert_eq!((&queued["status"], &queued["output"]), (&json!("queued"), &json!([])));
    let response = ended(&steward, &key, &queued["id"]).await;
    assert_eq!((&response["status"], &response["background"]), (&json!("completed"), &json!(true)));
    assert_eq!(response["output"][0]["content"][0]["text"], "one two three");
    assert_eq!(steward.await_finished(1).await.len(), 1);
    make(&steward, &key, json!({ "previous_response_id": queued["id"] })).await;
    // A tenant's own provider needs to know nothing of it.
    own_model(&steward, "own", &["plain"]).await;
    let queued = make(&steward, &key, json!({ "model": "own", "background": true })).await;
    assert_eq!(ended(&steward, &key, &queued["id"]).await["status"], "completed");
}

#[tokio::test]
async fn a_failure_in_the_background_is_told() {
    let (steward, _, key) = kept().await;
    steward.model("down", &["responder/down"]).await;
    let queued = make(&steward, &key, json!({ "model": "down", "background": true })).await;
    let failed = ended(&steward, &key, &queued["id"]).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    for wrong in [json!({ "background": true, "stream": true }), json!({ "background": true, "store": false })] {
        let refused = steward.post(&key, "/v1/responses", &body(&wrong)).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_response_in_the_background_is_stopped() {
    let (steward, asked, key) = kept().await;
    steward.model("stall", &["responder/stall"]).await;
    let queued = make(&steward, &key, json!({ "model": "stall", "background": true })).await;
    while asked.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cancel = format!("/v1/responses/{}/cancel", text(&queued["id"]));
    for _ in 0..2 {
        let stopped = steward.post(&key, &cancel, &json!({})).await;
        assert_eq!(stopped.json::<Value>().await.unwrap()["status"], "cancelled");
    }
    let calls = steward.await_finished(1).await;
    assert!(matches!(calls[0].outcome, steward_events::event::CallOutcome::Estimated { .. }), "{:?}", calls[0].outcome);
    assert_eq!(ended(&steward, &key, &queued["id"]).await["status"], "cancelled");
    let builds_on = body(&json!({ "previous_response_id": queued["id"] }));
    assert_eq!(steward.post(&key, "/v1/responses", &builds_on).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_responses_tokens_are_counted_and_nobody_is_asked() {
    let (steward, asked, key) = kept().await;
    let count = async |body: Value| {
        let answered = steward.post(&key, "/v1/responses/input_tokens", &body).await;
        (answered.status(), answered.json::<Value>().await.unwrap())
    };
    let (status, short) = count(json!({ "model": "small", "input": "hello" })).await;
    assert_eq!((status, &short["object"]), (StatusCode::OK, &json!("response.input_tokens")));
    let (_, long) =
        count(json!({ "model": "small", "input": "hello ".repeat(100), "instructions": "Be brief." })).await;
    let tokens = |counted: &Value| counted["input_tokens"].as_u64().unwrap();
    assert!(tokens(&short) > 0 && tokens(&long) > tokens(&short) + 100, "{short} {long}");
    let (status, _) = count(json!({ "model": "small", "input": "hello", "previous_response_id": "resp_1" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(count(json!({ "model": "none", "input": "hello" })).await.0, StatusCode::NOT_FOUND);
    assert!(asked.lock().unwrap().is_empty());
}
