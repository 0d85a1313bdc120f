//! The load generator: keep-alive connections that write prepared bytes and look for the end of the answer. It has to be
//! far cheaper than what it measures; it must not know what is at the other end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use serde_json::json;
use steward_events::BoxError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::http;
use super::sample::{Sample, nanos, rate};

/// The longest that one call may take before a run counts as failed.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// One call, ready to be written as often as needed.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Who is called.
    pub(super) address: SocketAddr,
    /// The whole request.
    pub(super) bytes: Bytes,
}

impl Call {
    /// A chat completion of `model`, at most 40 tokens.
    pub(super) fn chat(address: SocketAddr, key: &str, model: &str, stream: bool) -> Self {
        Self::post(address, "/v1/chat/completions", key, model, stream)
    }

    /// The same to another path.
    pub(super) fn post(address: SocketAddr, path: &str, key: &str, model: &str, stream: bool) -> Self {
        let messages = json!([{ "role": "user", "content": "Say hello to everybody who is here." }]);
        let mut body = json!({ "model": model, "messages": messages, "max_tokens": 40 });
        if stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({ "include_usage": true });
        }
        let body = body.to_string();
        let length = body.len();
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\naccept: */*\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        Self { address, bytes: text.into() }
    }

    /// Fetches a page.
    pub(super) fn get(address: SocketAddr, path: &str) -> Self {
        Self { address, bytes: format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into() }
    }
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimedAnswer {
    /// Its HTTP status.
    pub(super) status: u16,
    /// From sending to the first byte of its body.
    pub(super) first_byte: Duration,
    /// From sending to its last byte.
    pub(super) whole: Duration,
}

/// One keep-alive connection.
pub(super) struct Line {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Line {
    /// Connects.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, BoxError> {
        let socket = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(32 * 1024) })
    }

    /// Sends `request` and reads the whole answer, which stays readable in [`Self::body`].
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<TimedAnswer, BoxError> {
        match tokio::time::timeout(CALL_TIME_MAX, self.call_unbounded(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("a call had no answer within {CALL_TIME_MAX:?}").into()),
        }
    }

    async fn call_unbounded(&mut self, request: &[u8]) -> Result<TimedAnswer, BoxError> {
        self.buffer.clear();
        let began = Instant::now();
        self.socket.write_all(request).await?;
        let (mut head, mut first_byte) = (None, None);
        loop {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed in the middle of a call".into());
            }
            if head.is_none() {
                head = http::head_end(&self.buffer);
            }
            let Some(head) = head else { continue };
            if first_byte.is_none() && self.buffer.len() > head {
                first_byte = Some(began.elapsed());
            }
            if http::message_end(&self.buffer, head).is_some() {
                let whole = began.elapsed();
                let status = http::status(&self.buffer);
                return Ok(TimedAnswer { status, first_byte: first_byte.unwrap_or(whole), whole });
            }
        }
    }

    /// The body of the last answer, as text.
    pub(super) fn body(&self) -> String {
        let start = http::head_end(&self.buffer).unwrap_or(0);
        String::from_utf8_lossy(&self.buffer[start..]).into_owned()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Calls answered with 200.
    pub(super) calls: u64,
    /// Calls answered otherwise.
    pub(super) refused: u64,
    /// One of those other answers.
    pub(super) refusal: Option<String>,
    /// From the first byte sent to the last byte read.
    pub(super) elapsed: Duration,
    /// From sending to the first byte of the body.
    pub(super) first_byte: Sample,
    /// From sending to the last byte.
    pub(super) whole: Sample,
}

impl Outcome {
    /// Answered calls a second.
    pub(super) fn per_s(&self) -> f64 {
        rate(self.calls, self.elapsed)
    }
}

/// Calls over `connections` at once for `span`, each with one call after another; all calls begun are waited for.
///
/// # Errors
/// If a connection breaks, or if more than one call in a hundred is refused: that would measure something else.
pub(super) async fn drive(call: &Call, connections: usize, span: Duration) -> Result<Outcome, BoxError> {
    let mut lines = Vec::with_capacity(connections);
    for _ in 0..connections {
        lines.push(Line::connect(call.address).await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for line in lines {
        running.spawn(keep_calling(line, call.bytes.clone(), began + span));
    }
    let mut all = Outcome::default();
    let (mut first_byte, mut whole) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        let mut one = done??;
        first_byte.append(&mut one.first_byte);
        whole.append(&mut one.whole);
        all.refused += one.refused;
        all.refusal = all.refusal.or(one.refusal);
    }
    all.elapsed = began.elapsed();
    all.calls = whole.len() as u64;
    (all.first_byte, all.whole) = (Sample::of_nanos(first_byte), Sample::of_nanos(whole));
    if all.refused * 100 > all.calls {
        let refusal = all.refusal.unwrap_or_default();
        return Err(format!("{} of {} calls were refused: {refusal}", all.refused, all.calls + all.refused).into());
    }
    Ok(all)
}

#[derive(Default)]
struct Kept {
    first_byte: Vec<u64>,
    whole: Vec<u64>,
    refused: u64,
    refusal: Option<String>,
}

async fn keep_calling(mut line: Line, request: Bytes, until: Instant) -> Result<Kept, BoxError> {
    let mut kept = Kept::default();
    while Instant::now() < until {
        let answer = line.call(&request).await?;
        if answer.status == 200 {
            kept.first_byte.push(nanos(answer.first_byte));
            kept.whole.push(nanos(answer.whole));
        } else {
            kept.refused += 1;
            kept.refusal.get_or_insert_with(|| format!("{} {}", answer.status, line.body()));
            // Whoever is told to come back does not hammer.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(kept)
}
