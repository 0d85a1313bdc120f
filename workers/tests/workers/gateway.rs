//! A gateway that says what the test wants, over real HTTP.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// One call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) secret: String,
    pub(crate) idempotency_key: String,
    pub(crate) body: Value,
}

/// What to do with a call.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// Answer with this text, 10 tokens in, 5 out, $0.000015.
    Say(&'static str),
    /// The same after a while.
    SayAfter(Duration, &'static str),
    /// Answer with so many bytes.
    SayMuch(usize),
    /// Answer with this content, as JSON.
    SayContent(&'static str),
    /// Refuse with this status, code and message.
    Refuse(u16, &'static str, &'static str),
    /// Never answer.
    Hang,
}

type Script = Box<dyn Fn(&Call) -> Do + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    script: Script,
    calls: Mutex<Vec<Call>>,
    open: AtomicUsize,
    open_most: AtomicUsize,
}

/// Counts a call as open until it is answered or broken off.
struct OpenCall(Arc<Inner>);

impl OpenCall {
    fn new(inner: &Arc<Inner>) -> Self {
        let open = inner.open.fetch_add(1, Ordering::SeqCst) + 1;
        inner.open_most.fetch_max(open, Ordering::SeqCst);
        Self(Arc::clone(inner))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gateway {
    pub(crate) async fn start(script: impl Fn(&Call) -> Do + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            script: Box::new(script),
            calls: Mutex::default(),
            open: AtomicUsize::new(0),
            open_most: AtomicUsize::new(0),
        });
        let gateway = Self { url, inner: Arc::clone(&inner) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&inner);
                let service = service_fn(move |request| answer(Arc::clone(&inner), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        gateway
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().unwrap().clone()
    }

    /// Calls of one step of a task.
    pub(crate) fn calls_of(&self, idempotency_key: &str) -> usize {
        self.calls().iter().filter(|call| call.idempotency_key == idempotency_key).count()
    }

    pub(crate) fn open(&self) -> usize {
        self.inner.open.load(Ordering::SeqCst)
    }

    pub(crate) fn open_most(&self) -> usize {
        self.inner.open_most.load(Ordering::SeqCst)
    }
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(request.uri().path(), "/v1/chat/completions");
    let secret = header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
    let idempotency_key = header("idempotency-key");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let call = Call { secret, idempotency_key, body: serde_json::from_slice(&body).unwrap() };
    let todo = (inner.script)(&call);
    inner.calls.lock().unwrap().push(call);
    let _open = OpenCall::new(&inner);
    let said_content = |content: &Value| {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": "small",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                       "prompt_tokens_details": { "cached_tokens": 2 } },
        });
        Response::builder()
            .header("x-steward-input-tokens", "10")
            .header("x-steward-cached-tokens", "2")
            .header("x-steward-output-tokens", "5")
            .header("x-steward-reasoning-tokens", "0")
            .header("x-steward-response-cost", "$0.000015")
            .body(Full::from(body.to_string()))
            .unwrap()
    };
    let said = |text: &str| said_content(&json!(text));
    Ok(match todo {
        Do::Say(text) => said(text),
        Do::SayAfter(pause, text) => {
            tokio::time::sleep(pause).await;
            said(text)
        }
        Do::SayMuch(bytes) => said(&"a".repeat(bytes)),
        Do::SayContent(content) => said_content(&serde_json::from_str(content).unwrap()),
        Do::Refuse(status, code, message) => {
            let body = json!({ "error": { "message": message, "type": code, "param": null, "code": code } });
            Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
        }
        Do::Hang => std::future::pending().await,
    })
}
