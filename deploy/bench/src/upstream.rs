//! The mock upstream: an OpenAI-compatible provider whose answers are written beforehand, in a process of its own.
//!
//! It keeps its own books: how many calls reached it. It must not know who calls.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward_events::BoxError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http;

/// The events of one stream: words, the end and the usage.
pub(super) const EVENTS: usize = 32;

/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// What reached the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UpstreamCounts {
    /// Calls that were answered at once.
    pub(super) whole: u64,
    /// Calls that were answered as a stream.
    pub(super) streamed: u64,
}

struct Upstream {
    whole: Bytes,
    streamed: Bytes,
    count_whole: AtomicU64,
    count_streamed: AtomicU64,
}

/// Serves on a free port, which it prints, until the process ends.
pub(crate) async fn serve() -> Result<(), BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let upstream = Arc::new(Upstream {
        whole: whole_answer(),
        streamed: streamed_answer(),
        count_whole: AtomicU64::new(0),
        count_streamed: AtomicU64::new(0),
    });
    loop {
        let (socket, _) = listener.accept().await?;
        let upstream = Arc::clone(&upstream);
        // A connection that breaks is the other side's affair.
        tokio::spawn(async move { drop(upstream.converse(socket).await) });
    }
}

impl Upstream {
    async fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        loop {
            let head = http::head_end(&buffer);
            let end = head.and_then(|head| http::message_end(&buffer, head));
            let (Some(head), Some(end)) = (head, end) else {
                if buffer.len() > REQUEST_BYTES_MAX || socket.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            if buffer.starts_with(b"GET ") {
                socket.write_all(&self.books()).await?;
            } else if wants_stream(&buffer[head..end]) {
                self.count_streamed.fetch_add(1, Ordering::Relaxed);
                socket.write_all(&self.streamed).await?;
            } else {
                self.count_whole.fetch_add(1, Ordering::Relaxed);
                socket.write_all(&self.whole).await?;
            }
            buffer.advance(end);
        }
    }

    fn books(&self) -> Bytes {
        let books = UpstreamCounts {
            whole: self.count_whole.load(Ordering::Relaxed),
            streamed: self.count_streamed.load(Ordering::Relaxed),
        };
        json_answer(&json!(books))
    }
}

fn wants_stream(body: &[u8]) -> bool {
    let wanted = b"\"stream\":true";
    body.windows(wanted.len()).any(|window| window == wanted)
}

fn json_answer(value: &Value) -> Bytes {
    let body = value.to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into()
}

fn usage() -> Value {
    json!({ "prompt_tokens": 7, "completion_tokens": EVENTS - 2, "total_tokens": EVENTS + 5 })
}

fn whole_answer() -> Bytes {
    let message = json!({ "role": "assistant", "content": "word ".repeat(EVENTS - 2) });
    json_answer(&json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": "mock",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": usage(),
    }))
}

/// Chunked, an event a chunk, as providers write them.
fn streamed_answer() -> Bytes {
    let chunk = |choices: Value, usage: Value| {
        let event = json!({
            "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "mock",
            "choices": choices, "usage": usage,
        });
        format!("data: {event}\n\n")
    };
    let word = || json!([{ "index": 0, "delta": { "content": "word " }, "finish_reason": null }]);
    let mut events: Vec<String> = (0..EVENTS - 2).map(|_| chunk(word(), Value::Null)).collect();
    events.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), Value::Null));
    events.push(chunk(json!([]), usage()));
    events.push("data: [DONE]\n\n".to_owned());
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for event in events {
        _ = write!(text, "{:x}\r\n{event}\r\n", event.len());
    }
    text.push_str("0\r\n\r\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_its_events_and_ends() {
        let answer = streamed_answer();
        let text = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(text.matches("data: {").count(), EVENTS);
        let head = http::head_end(&answer).unwrap();
        assert_eq!(http::message_end(&answer, head), Some(answer.len()));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answer = whole_answer();
        let head = http::head_end(&answer).unwrap();
        assert_eq!(http::message_end(&answer, head), Some(answer.len()));
        assert!(wants_stream(br#"{"model":"m","stream":true}"#) && !wants_stream(br#"{"stream":false}"#));
    }
}
