//! An upstream that behaves as the name of the model says.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

/// What it was asked, and how many answers are under way.
#[derive(Clone, Default)]
struct Seen {
    requests: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    running: Arc<AtomicUsize>,
}

pub(crate) struct Upstream {
    /// Its base URL.
    pub(crate) url: String,
    seen: Seen,
}

/// An answer under way.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let seen = Seen::default();
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    /// The bodies of what it was asked.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.seen.requests.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The headers of what it was asked last.
    pub(crate) fn last_headers(&self) -> HeaderMap {
        self.seen.requests.lock().unwrap().last().unwrap().0.clone()
    }

    /// How many answers are under way.
    pub(crate) fn running(&self) -> usize {
        self.seen.running.load(Ordering::SeqCst)
    }
}

async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    seen.requests.lock().unwrap().push((headers, body.clone()));
    let model = body["model"].as_str().unwrap().to_owned();
    let model = match model.strip_prefix("slow-") {
        Some(rest) => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            rest.to_owned()
        }
        None => model,
    };
    if let Some(status) = model.strip_prefix("status-") {
        let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
        let error =
            json!({ "error": { "message": "as ordered", "type": "t", "param": "messages", "code": "ordered" } });
        return (status, [(header::RETRY_AFTER, "7")], error.to_string()).into_response();
    }
    match model.as_str() {
        "redirect" => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "http://127.0.0.1:9/v1")]).into_response(),
        "stall" => std::future::pending().await,
        "garbage" => "no json".into_response(),
        _ if body["stream"] == true => {
            seen.running.fetch_add(1, Ordering::SeqCst);
            let running = Running(seen.running);
            let events = events(&model).map(move |event| {
                let _ = &running;
                event
            });
            ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            whole(Some(usage())).into_response()
        }
        "huge" => format!("{{\"choices\":[{}]}}", " ".repeat(2_000_000)).into_response(),
        "no-usage" => whole(None).into_response(),
        _ => whole(Some(usage())).into_response(),
    }
}

fn usage() -> Value {
    json!({ "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
            "prompt_tokens_details": { "cached_tokens": 4 } })
}

fn whole(usage: Option<Value>) -> String {
    let message = json!({ "role": "assistant", "content": "one two three" });
    let mut body = json!({ "id": "x", "object": "chat.completion", "model": "upstream-name",
                           "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
    if let Some(usage) = usage {
        body["usage"] = usage;
    }
    body.to_string()
}

fn chunk(text: &str, finish: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": finish });
    format!("data: {}\n\n", json!({ "id": "x", "choices": [choice], "usage": null }))
}

type Piece = Result<Bytes, std::io::Error>;

fn events(model: &str) -> std::pin::Pin<Box<dyn Stream<Item = Piece> + Send>> {
    let piece = |text: String| Ok::<_, Infallible>(Bytes::from(text)).map_err(std::io::Error::other);
    let last_usage = format!("data: {}\n\n", json!({ "id": "x", "choices": [], "usage": usage() }));
    let mut pieces: Vec<String> = vec![chunk("one ", None), chunk("two ", None), chunk("three", Some("stop"))];
    match model {
        "endless" => {
            let words = stream::repeat_with(move || piece(chunk("wonderful ", None)));
            return words
                .then(|word| async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    word
                })
                .boxed();
        }
        "slow" => {
            pieces.extend([last_usage, "data: [DONE]\n\n".to_owned()]);
            let slowly = |piece| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                piece
            };
            return stream::iter(pieces).map(piece).then(slowly).boxed();
        }
        "stall-mid" => {
            pieces.truncate(2);
            return stream::iter(pieces).map(piece).chain(stream::pending()).boxed();
        }
        "cut" => {
            pieces.truncate(2);
            let cut = stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("cut"))
            });
            return stream::iter(pieces).map(piece).chain(cut).boxed();
        }
        "huge" => pieces = vec![format!("data: {}\n\n", "x".repeat(10_000_000))],
        "failing" => {
            pieces.truncate(1);
            pieces.push("data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_owned());
        }
        "no-usage" => pieces.push("data: [DONE]\n\n".to_owned()),
        "no-done" => pieces.push(last_usage),
        _ => pieces.extend([": a comment\n\n".to_owned(), last_usage, "data: [DONE]\n\n".to_owned()]),
    }
    stream::iter(pieces).map(piece).boxed()
}
