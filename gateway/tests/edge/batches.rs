//! Batches as callers ask for them; the workers run them elsewhere.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::installation::Installation;

async fn installation() -> (Installation, String) {
    let steward = Installation::start(|settings| settings.views = true).await;
    let key = steward.key("dev", Some("developer")).await;
    (steward, key)
}

async fn kept(steward: &Installation, key: &str, purpose: &str) -> String {
    let part = Part::bytes(b"{}".to_vec()).file_name("calls.jsonl");
    let form = Form::new().text("purpose", purpose.to_owned()).part("file", part);
    let request = steward.http.post(format!("{}/v1/files", steward.url)).bearer_auth(key).multipart(form);
    let file: Value = request.send().await.unwrap().json().await.unwrap();
    file["id"].as_str().unwrap_or_else(|| panic!("{file}")).to_owned()
}

fn body(file: &str) -> Value {
    json!({ "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h" })
}

async fn create(steward: &Installation, key: &str, body: &Value) -> (u16, Value) {
    let response = steward.post(key, "/v1/batches", body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(steward: &Installation, key: &str, path: &str) -> (u16, Value) {
    let response = steward.get(key, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_batch_waits_for_a_worker_and_says_what_it_was_told() {
    let (steward, key) = installation().await;
    let file = kept(&steward, &key, "batch").await;
    let mut asked = body(&file);
    asked["metadata"] = json!({ "run": "nightly" });
    let (status, batch) = create(&steward, &key, &asked).await;
    assert_eq!(status, 200, "{batch}");
    let id = batch["id"].as_str().unwrap();
    assert!(id.starts_with("batch_"), "{id}");
    for (field, expected) in [
        ("object", json!("batch")),
        ("status", json!("validating")),
        ("endpoint", json!("/v1/chat/completions")),
        ("input_file_id", json!(file)),
        ("completion_window", json!("24h")),
        ("errors", Value::Null),
        ("output_file_id", Value::Null),
        ("request_counts", json!({ "total": 0, "completed": 0, "failed": 0 })),
        ("metadata", json!({ "run": "nightly" })),
    ] {
        assert_eq!(batch[field], expected, "{field}");
    }
    assert_eq!(batch["expires_at"].as_i64().unwrap() - batch["created_at"].as_i64().unwrap(), 86_400);
    assert_eq!(get(&steward, &key, &format!("/v1/batches/{id}")).await, (200, batch.clone()));
    let response = steward.post(&key, &format!("/v1/batches/{id}/cancel"), &json!({})).await;
    assert_eq!(response.json::<Value>().await.unwrap()["status"], "cancelling");
}

#[tokio::test]
async fn what_cannot_become_a_batch_is_refused_at_once() {
    let (steward, key) = installation().await;
    let (file, other) = (kept(&steward, &key, "batch").await, kept(&steward, &key, "user_data").await);
    let with = |field: &str, value: Value| {
        let mut body = body(&file);
        body[field] = value;
        body
    };
    for (body, expected) in [
        (with("endpoint", json!("/v1/audio/speech")), (400, json!("endpoint"))),
        (with("completion_window", json!("7d")), (400, json!("completion_window"))),
        (with("input_file_id", json!(other)), (400, json!("input_file_id"))),
        (with("input_file_id", json!("file-none")), (404, Value::Null)),
        (with("input_file_id", json!("../x")), (404, Value::Null)),
        (with("colour", json!("red")), (400, Value::Null)),
        (with("metadata", json!({ "a": "t".repeat(513) })), (400, json!("metadata"))),
        (
            with("output_expires_after", json!({ "anchor": "created_at", "seconds": 60 })),
            (400, json!("output_expires_after.seconds")),
        ),
    ] {
        let (status, said) = create(&steward, &key, &body).await;
        assert_eq!((status, said["error"]["param"].clone()), expected, "{body} {said}");
    }
    let caller = steward.key("bot", Some("agent")).await;
    assert_eq!(create(&steward, &caller, &body(&file)).await.0, 403);
    assert_eq!(get(&steward, &key, "/v1/batches").await.1["data"], json!([]));
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_one() {
    let (steward, key) = installation().await;
    let file = kept(&steward, &key, "batch").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = steward.http.post(format!("{}/v1/batches", steward.url)).bearer_auth(&key);
        let response = request.header("idempotency-key", "Retry-1").json(&body(&file)).send().await.unwrap();
        ids.push(response.json::<Value>().await.unwrap()["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn batches_are_listed_page_by_page_to_those_who_may_see_them() {
    let (steward, key) = installation().await;
    let file = kept(&steward, &key, "batch").await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, create(&steward, &key, &body(&file)).await.1["id"].clone());
    }
    let page = async |query: &str| get(&steward, &key, &format!("/v1/batches?{query}")).await.1;
    let ids = |list: &Value| list["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    let first = page("limit=2").await;
    assert_eq!((ids(&first), &first["has_more"]), (made[..2].to_vec(), &json!(true)));
    let second = page(&format!("limit=2&after={}", first["last_id"].as_str().unwrap())).await;
    assert_eq!((ids(&second), &second["has_more"]), (made[2..].to_vec(), &json!(false)));
    assert_eq!(page("limit=101").await["error"]["param"], "limit");
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "dev", Some("owner")).await;
    let batch = made[0].as_str().unwrap();
    for path in [format!("/v1/batches/{batch}"), "/v1/batches/batch_none".to_owned()] {
        assert_eq!(get(&steward, &other, &path).await.0, 404, "{path}");
    }
    assert_eq!(steward.post(&other, &format!("/v1/batches/{batch}/cancel"), &json!({})).await.status(), 404);
    assert_eq!(get(&steward, &other, "/v1/batches").await.1["data"], json!([]));
}
