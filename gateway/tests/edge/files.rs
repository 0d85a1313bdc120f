//! Files that callers keep for a while: who sees which, what they hold, and how much.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use steward_events::event::{AggregateKind, Event, FileEvent};

use crate::installation::Installation;

/// What must be in no event.
const MARKER: &str = "Marker4711";

async fn installation() -> Installation {
    Installation::start(|settings| {
        settings.views = true;
        settings.config.file_bytes_max = 600_000;
        settings.config.files_per_tenant_bytes_max = 1_000_000;
    })
    .await
}

/// A key for this scope of acme, of an account with the role `developer` in all of it.
async fn key(steward: &Installation, scope: &str) -> String {
    let name = format!("dev-{}", scope.replace('/', "-"));
    let account = steward.command("acme", "accounts:create", json!({ "name": name })).await;
    let principal = account["answer"]["principal"].as_str().unwrap().to_owned();
    steward.command("acme", "grants:give", json!({ "to": principal, "role": "developer", "on": "acme" })).await;
    let issued = steward.command("acme", "keys:issue", json!({ "principal": principal, "scope": scope })).await;
    issued["answer"]["secret"].as_str().unwrap().to_owned()
}

fn form(bytes: impl Into<Vec<u8>>, purpose: &str) -> Form {
    let part = Part::bytes(bytes.into()).file_name(format!("{MARKER}.jsonl"));
    Form::new().text("purpose", purpose.to_owned()).part("file", part)
}

async fn upload(steward: &Installation, key: &str, form: Form) -> (u16, Value) {
    let request = steward.http.post(format!("{}/v1/files", steward.url)).bearer_auth(key).multipart(form);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn kept(steward: &Installation, key: &str, bytes: impl Into<Vec<u8>>, purpose: &str) -> String {
    let (status, file) = upload(steward, key, form(bytes, purpose)).await;
    assert_eq!(status, 200, "{file}");
    file["id"].as_str().unwrap().to_owned()
}

async fn get(steward: &Installation, key: &str, path: &str) -> (u16, Value) {
    let response = steward.get(key, path).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn delete(steward: &Installation, key: &str, file: &str) -> (u16, Value) {
    let request = steward.http.delete(format!("{}/v1/files/{file}", steward.url)).bearer_auth(key);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_file_is_read_as_it_was_kept() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    // More than one part, and not a whole number of them.
    let bytes: Vec<u8> = (0..600_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (status, file) = upload(&steward, &key, form(bytes.clone(), "user_data")).await;
    assert_eq!(status, 200, "{file}");
    let id = file["id"].as_str().unwrap();
    let said = (&file["object"], &file["bytes"], &file["filename"], &file["purpose"], &file["status"]);
    let name = json!(format!("{MARKER}.jsonl"));
    assert_eq!(said, (&json!("file"), &json!(600_000), &name, &json!("user_data"), &json!("processed")));
    let (created, expires) = (file["created_at"].as_i64().unwrap(), file["expires_at"].as_i64().unwrap());
    assert_eq!(expires - created, 30 * 86_400, "as long as is configured");
    assert_eq!(get(&steward, &key, &format!("/v1/files/{id}")).await, (200, file.clone()));
    let content = steward.get(&key, &format!("/v1/files/{id}/content")).await;
    assert_eq!(content.headers()["content-length"], "600000");
    assert_eq!(content.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn no_event_says_what_a_file_holds_or_is_called() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    kept(&steward, &key, MARKER, "batch").await;
    let events = steward.events("acme", AggregateKind::File).await;
    assert!(matches!(&events[..], [Event::File(FileEvent::Kept { bytes: 10, .. })]), "{events:?}");
    let recorded = format!("{} {events:?}", serde_json::to_string(&events).unwrap());
    assert!(!recorded.contains(MARKER), "{recorded}");
}

#[tokio::test]
async fn a_file_is_seen_where_it_belongs_and_nowhere_else() {
    let steward = installation().await;
    let (support, sales) = (key(&steward, "acme/support").await, key(&steward, "acme/sales").await);
    let all = key(&steward, "acme").await;
    steward.create_tenant("globex").await;
    let other = steward.key_of("globex", "bot", Some("owner")).await;
    let file = kept(&steward, &support, "one", "batch").await;
    for stranger in [&sales, &other] {
        for path in [format!("/v1/files/{file}"), format!("/v1/files/{file}/content")] {
            let (status, said) = get(&steward, stranger, &path).await;
            assert_eq!((status, &said["error"]["code"]), (404, &json!("not_found")), "{path}: {said}");
        }
        assert_eq!(delete(&steward, stranger, &file).await.0, 404);
        let (status, list) = get(&steward, stranger, "/v1/files").await;
        assert_eq!((status, ids(&list)), (200, vec![]));
    }
    for sees in [&support, &all] {
        assert_eq!(ids(&get(&steward, sees, "/v1/files").await.1), [file.as_str()]);
    }
    let caller = steward.key("bot", Some("agent")).await;
    let (status, said) = upload(&steward, &caller, form("x", "batch")).await;
    assert_eq!((status, &said["error"]["code"]), (403, &json!("permission_denied")), "{said}");
    assert_eq!(said["error"]["type"], "permission_error");
}

#[tokio::test]
async fn a_removed_file_is_gone_at_once() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    let file = kept(&steward, &key, vec![7; 300_000], "batch").await;
    let (status, said) = delete(&steward, &key, &file).await;
    assert_eq!((status, said), (200, json!({ "id": file, "object": "file", "deleted": true })));
    for path in [format!("/v1/files/{file}"), format!("/v1/files/{file}/content")] {
        assert_eq!(get(&steward, &key, &path).await.0, 404, "{path}");
    }
    assert_eq!(ids(&get(&steward, &key, "/v1/files").await.1), Vec::<&str>::new());
    assert_eq!(delete(&steward, &key, &file).await.0, 404, "once");
    // What it held is gone too, also if it is removed as any thing is.
    let file = kept(&steward, &key, "again", "batch").await;
    steward.command("acme", "files:remove", json!({ "file": file })).await;
    assert_eq!(get(&steward, &key, &format!("/v1/files/{file}/content")).await.0, 404);
    assert_eq!(steward.contents.count(), 0);
}

#[tokio::test]
async fn files_are_listed_by_age_page_by_page() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    let mut files = Vec::new();
    for purpose in ["batch", "user_data", "batch", "batch"] {
        files.push(kept(&steward, &key, "x", purpose).await);
    }
    let page = async |query: &str| get(&steward, &key, &format!("/v1/files?{query}")).await.1;
    let newest: Vec<&str> = files.iter().rev().map(String::as_str).collect();
    assert_eq!(ids(&page("").await), newest);
    assert_eq!(ids(&page("order=asc").await), files);
    let first = page("limit=3").await;
    assert_eq!((ids(&first), &first["has_more"]), (newest[..3].to_vec(), &json!(true)));
    assert_eq!((&first["first_id"], &first["last_id"]), (&json!(newest[0]), &json!(newest[2])));
    let second = page(&format!("limit=3&after={}", newest[2])).await;
    assert_eq!((ids(&second), &second["has_more"]), (newest[3..].to_vec(), &json!(false)));
    assert_eq!(ids(&page("purpose=user_data").await), [files[1].as_str()]);
    for (wrong, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("purpose=x", "purpose"),
        ("after=file-x", "after"),
    ] {
        let said = page(wrong).await;
        assert_eq!(said["error"]["param"], field, "{wrong}: {said}");
    }
}

#[tokio::test]
async fn a_form_that_is_wrong_is_refused_and_leaves_nothing() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    let file = || Part::bytes(b"x".to_vec()).file_name("a");
    let anchor = "expires_after[anchor]";
    let seconds = "expires_after[seconds]";
    let lasting =
        |seconds_said: &'static str| form("x", "batch").text(anchor, "created_at").text(seconds, seconds_said);
    for (form, field) in [
        (Form::new().part("file", file()), json!("purpose")),
        (form("x", "fine-tune"), json!("purpose")),
        (form("x", "batch_output"), json!("purpose")),
        (Form::new().text("purpose", "batch"), json!("file")),
        (form("", "batch"), json!("file")),
        (form("x", "batch").part("file", file()), json!("file")),
        (form("x", "batch").text("colour", "red"), json!("colour")),
        (form("x", "batch").text(anchor, "now"), json!(anchor)),
        (form("x", "batch").text(anchor, "created_at"), json!(seconds)),
        (lasting("3599"), json!(seconds)),
        (lasting("2592001"), json!(seconds)),
        (lasting("soon"), json!(seconds)),
    ] {
        let (status, said) = upload(&steward, &key, form).await;
        assert_eq!((status, &said["error"]["param"]), (400, &field), "{said}");
        assert_eq!(said["error"]["type"], "invalid_request_error");
    }
    let request = steward.http.post(format!("{}/v1/files", steward.url)).bearer_auth(&key).body("{}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["param"], "Content-Type");
    assert_eq!(steward.events("acme", AggregateKind::File).await, vec![]);
    assert_eq!(steward.contents.count(), 0);
}

#[tokio::test]
async fn files_have_a_bound_each_and_a_tenant_has_one_of_its_own() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    let (status, said) = upload(&steward, &key, form(vec![0; 600_001], "batch")).await;
    assert_eq!((status, &said["error"]["code"]), (413, &json!("request_too_large")), "{said}");
    let file = kept(&steward, &key, vec![0; 600_000], "batch").await;
    let (status, said) = upload(&steward, &key, form(vec![0; 400_001], "batch")).await;
    assert_eq!((status, &said["error"]["param"]), (400, &json!("file")), "{said}");
    assert!(said["error"]["message"].as_str().unwrap().contains("remove files"), "{said}");
    assert_eq!(delete(&steward, &key, &file).await.0, 200);
    kept(&steward, &key, vec![0; 400_001], "batch").await;
}

#[tokio::test]
async fn a_file_ends_when_its_owner_says_wherever_the_form_says_it() {
    let steward = installation().await;
    let key = key(&steward, "acme/support").await;
    let lasting = |form: Form| form.text("expires_after[anchor]", "created_at").text("expires_after[seconds]", "3600");
    let file = || Part::bytes(vec![1; 300_000]).file_name("a");
    let before = lasting(Form::new().text("purpose", "batch")).part("file", file());
    let after = lasting(Form::new().part("file", file()).text("purpose", "batch"));
    for form in [before, after] {
        let (status, said) = upload(&steward, &key, form).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(said["expires_at"].as_i64().unwrap() - said["created_at"].as_i64().unwrap(), 3_600);
        let content = steward.get(&key, &format!("/v1/files/{}/content", said["id"].as_str().unwrap())).await;
        assert_eq!(content.bytes().await.unwrap(), vec![1; 300_000]);
    }
}
