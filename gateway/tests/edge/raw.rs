//! An upstream that answers with the very bytes that a test gives it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Answer = Arc<dyn Fn(&Value) -> Vec<Part> + Send + Sync>;

/// A part of an answer: what is written, after a pause.
pub(crate) struct Part(pub(crate) Duration, pub(crate) Vec<u8>);

/// Answers each call as its model's name says. The end of an answer is the end of its connection.
#[derive(Clone)]
pub(crate) struct RawUpstream {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl RawUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let this = Self { url, answers: Arc::default(), asked: Arc::default() };
        let serving = this.clone();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let serving = serving.clone();
                // A gateway that has heard enough hangs up.
                tokio::spawn(async move { serving.serve(peer).await.ok() });
            }
        });
        this
    }

    /// From now on calls of `model` are answered so.
    pub(crate) fn answer(&self, model: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.answer_by(model, move |_| vec![Part(Duration::ZERO, bytes.clone())]);
    }

    pub(crate) fn answer_by(&self, model: &str, answer: impl Fn(&Value) -> Vec<Part> + Send + Sync + 'static) {
        self.answers.lock().unwrap().insert(model.to_owned(), Arc::new(answer));
    }

    /// Heads and bodies of what it was asked.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    async fn serve(&self, mut peer: TcpStream) -> std::io::Result<()> {
        let mut heard = Vec::new();
        let (head, length) = loop {
            if peer.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
            if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
                break (head, end + 4 + length.unwrap_or(0));
            }
        };
        while heard.len() < length {
            if peer.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
        }
        let body: Value = serde_json::from_slice(&heard[length - body_bytes(&head)..length]).unwrap();
        let model = body["model"].as_str().unwrap().to_owned();
        self.asked.lock().unwrap().push((head, body.clone()));
        let answer = self.answers.lock().unwrap().get(&model).cloned().unwrap_or_else(|| panic!("nothing for {model}"));
        for Part(pause, bytes) in answer(&body) {
            tokio::time::sleep(pause).await;
            peer.write_all(&bytes).await?;
        }
        peer.shutdown().await
    }
}

fn body_bytes(head: &str) -> usize {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0)
}

/// An answer with this first line, these headers and this body.
pub(crate) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n").into_bytes();
    answer.extend_from_slice(body.as_ref());
    answer
}

/// A good answer of this type.
pub(crate) fn ok(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    http("200 OK", &format!("content-type: {content_type}\r\n"), body)
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}

/// A delta of the first choice.
pub(crate) fn delta(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}"#)
}

pub(crate) const STOP: &str = r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub(crate) const USAGE: &str =
    r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;

/// Events with these data.
pub(crate) fn events<T: AsRef<str>>(data: &[T]) -> String {
    data.iter().flat_map(|data| ["data: ", data.as_ref(), "\n\n"]).collect()
}

/// `good day`, streamed.
pub(crate) fn good_stream() -> String {
    events(&[&delta("good"), &delta(" day"), STOP, USAGE, "[DONE]"])
}

/// `good day` at once, with this usage and whatever else.
pub(crate) fn good_whole(usage: &str, more: &str) -> String {
    format!(
        r#"{{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"good day"}},"finish_reason":"stop"}}],"usage":{usage}{more}}}"#
    )
}

pub(crate) const TEN_AND_FIVE: &str = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#;
