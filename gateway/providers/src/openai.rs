//! OpenAI's HTTP API, or anything compatible.

use std::collections::{HashMap, VecDeque};
use std::error::Error as _;
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use reqwest::Url;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Cause, Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use tokio::time::Instant;

use crate::config::Config;
use crate::openai_error::refused;
use crate::public_address::{PublicOnly, may_be_public};
use crate::sse::Parser;

/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// A client of OpenAI-compatible upstreams.
pub(crate) struct OpenAi {
    /// For providers that may be anywhere.
    anywhere: reqwest::Client,
    /// For providers that may be at public addresses only.
    public: reqwest::Client,
    endpoints: Endpoints,
    bounds: Config,
}

/// Where base URLs lead, each parsed once.
#[derive(Default)]
struct Endpoints(RwLock<HashMap<String, Url>>);

/// Base URLs whose endpoints are kept; beyond that all are forgotten.
const ENDPOINTS_MAX: usize = 1_024;

impl Endpoints {
    /// The endpoint of chats at `base`.
    fn of(&self, base: &str) -> Result<Url, Failure> {
        if let Some(url) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(base) {
            return Ok(url.clone());
        }
        let text = format!("{}/chat/completions", base.trim_end_matches('/'));
        let url: Url = text
            .parse()
            .map_err(|error| Failure::unbilled(Cause::Unreachable(format!("its address is no URL: {error}"))))?;
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ENDPOINTS_MAX {
            kept.clear();
        }
        kept.insert(base.to_owned(), url.clone());
        Ok(url)
    }
}

impl OpenAi {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        let anywhere = Self::client(bounds)?.build()?;
        let public = Self::client(bounds)?.dns_resolver(PublicOnly).build()?;
        Ok(Self { anywhere, public, endpoints: Endpoints::default(), bounds: bounds.clone() })
    }

    fn client(bounds: &Config) -> Result<reqwest::ClientBuilder, BoxError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(bounds.connect_time_max)
            .timeout(bounds.total_time_max)
            // A redirected POST would lose its body, or carry the provider's key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("steward/", env!("CARGO_PKG_VERSION")));
        Ok(match &bounds.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy)?),
            None => builder.no_proxy(),
        })
    }
}

#[async_trait]
impl Provider for OpenAi {
    /// OpenAI's newer models know only the newer field; compatible servers are sure to know the older one.
    fn speaks(&self, url: &str) -> Speaks {
        let is_openai = url.contains("//api.openai.com");
        let limit_field = if is_openai { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens };
        Speaks::OpenAiChat { limit_field }
    }

    async fn send(&self, outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let ends = Instant::now() + self.bounds.total_time_max;
        let trusted = outgoing.trusted || self.bounds.tenant_providers_anywhere;
        let url = self.endpoints.of(&outgoing.url)?;
        if !trusted && !may_be_public(&url) {
            return Err(Failure::unbilled(Cause::Unreachable("it has no public address".to_owned())));
        }
        let http = if trusted { &self.anywhere } else { &self.public };
        let (body, check) = (outgoing.body, outgoing.pre_send_check);
        let length = body.len();
        // A stream of one piece, so that the check is made when the connection asks for it.
        let body = stream::once(async move { check.await.map(|()| body) });
        let mut request = (http.post(url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(body));
        if let Some(secret) = outgoing.key {
            request = request.bearer_auth(secret);
        }
        let answer = tokio::time::timeout(self.bounds.first_byte_time_max, request.send()).await;
        let answer = match answer {
            Err(_) => return Err(Failure::possibly(Cause::TimedOut("no first byte in time"))),
            Ok(Err(error)) => return Err(failed_to_send(&error)),
            Ok(Ok(answer)) => answer,
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let pieces = answer.bytes_stream();
        if status != StatusCode::OK {
            let body = read(pieces, ERROR_BYTES_MAX, self.bounds.idle_time_max, ends).await.unwrap_or_default();
            return Err(refused(status, retry_after(&headers), &body));
        }
        if outgoing.stream && is_event_stream(&headers) {
            return Ok(UpstreamAnswer::Stream(events(pieces, &self.bounds, ends).boxed()));
        }
        let body = read(pieces, self.bounds.answer_bytes_max, self.bounds.idle_time_max, ends).await?;
        if outgoing.stream {
            return Err(Failure::possibly(Cause::Broke("a stream was asked for and another answer came".to_owned())));
        }
        Ok(UpstreamAnswer::Whole(body))
    }
}

fn failed_to_send(error: &reqwest::Error) -> Failure {
    let why = innermost(error);
    if error.is_connect() || error.is_builder() {
        // Nothing of the request can have arrived.
        Failure::unbilled(Cause::Unreachable(why))
    } else if error.is_timeout() {
        Failure::possibly(Cause::TimedOut("no answer in time"))
    } else {
        Failure::possibly(Cause::Broke(why))
    }
}

/// The deepest cause: the outer ones name the URL, which is nobody's business.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.source().is_none() { "the request could not be sent".to_owned() } else { cause.to_string() }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3_600)))
}

/// The next piece, waited for no longer than `idle_max` and never beyond `ends`.
async fn next<S>(pieces: &mut S, idle_max: Duration, ends: Instant) -> Result<Option<Bytes>, Failure>
where
    S: Stream<Item = reqwest::Result<Bytes>> + Unpin,
{
    let until = ends.min(Instant::now() + idle_max);
    match tokio::time::timeout_at(until, pieces.next()).await {
        Err(_) => Err(Failure::possibly(Cause::TimedOut("its answer stalled"))),
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) if error.is_timeout() => {
            Err(Failure::possibly(Cause::TimedOut("its answer took too long")))
        }
        Ok(Some(Err(error))) => Err(Failure::possibly(Cause::Broke(innermost(&error)))),
    }
}

async fn read<S>(pieces: S, bytes_max: usize, idle_max: Duration, ends: Instant) -> Result<Bytes, Failure>
where
    S: Stream<Item = reqwest::Result<Bytes>> + Unpin,
{
    let mut pieces = pieces;
    let mut body = BytesMut::new();
    while let Some(piece) = next(&mut pieces, idle_max, ends).await? {
        if body.len() + piece.len() > bytes_max {
            return Err(Failure::possibly(Cause::Broke(format!("an answer of more than {bytes_max} bytes"))));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Reads events until the body ends or something breaks; what was complete before the break comes first.
fn events<S>(pieces: S, bounds: &Config, ends: Instant) -> impl Stream<Item = Result<Bytes, Failure>> + use<S>
where
    S: Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
{
    struct Reading<S> {
        pieces: Pin<Box<S>>,
        parser: Parser,
        ready: VecDeque<Bytes>,
        /// Nothing more is read: the body ended, or this broke it.
        end: Option<Result<(), Failure>>,
    }
    let idle_max = bounds.idle_time_max;
    let reading = Reading {
        pieces: Box::pin(pieces),
        parser: Parser::new(bounds.event_bytes_max),
        ready: VecDeque::new(),
        end: None,
    };
    stream::unfold(reading, move |mut reading| async move {
        loop {
            if let Some(event) = reading.ready.pop_front() {
                return Some((Ok(event), reading));
            }
            match reading.end.replace(Ok(())) {
                Some(Ok(())) => return None,
                Some(Err(failure)) => return Some((Err(failure), reading)),
                None => {}
            }
            let Reading { pieces, parser, ready, end } = &mut reading;
            *end = match next(pieces, idle_max, ends).await {
                Ok(None) => {
                    ready.extend(parser.finish());
                    Some(Ok(()))
                }
                Ok(Some(piece)) => {
                    let fed = parser.feed(&piece, |event| ready.push_back(event));
                    fed.err().map(|too_long| Err(Failure::possibly(Cause::Broke(too_long.to_string()))))
                }
                Err(failure) => Some(Err(failure)),
            };
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures::FutureExt;
    use steward_calls::upstream::Revoked;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

    /// What a server hears of one attempt until its body is whole or the client hangs up, and what the client makes of it.
    async fn heard(check: Result<(), Revoked>) -> (String, Result<UpstreamAnswer, Failure>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"}") {
                match peer.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => heard.extend_from_slice(&piece[..read]),
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
            // Nobody listens any more if the attempt was revoked.
            let _ = peer.write_all(head.as_bytes()).await;
            String::from_utf8(heard).unwrap()
        });
        let body = Bytes::from_static(br#"{"model":"m"}"#);
        let pre_send_check = ready(check).boxed();
        let outgoing = Outgoing { url, key: None, body, stream: false, trusted: true, pre_send_check };
        let answer = OpenAi::new(&Config::default()).unwrap().send(outgoing).await;
        (server.await.unwrap(), answer)
    }

    #[tokio::test]
    async fn only_openai_itself_gets_the_newer_limit_field() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let openai = OpenAi::new(&Config::default()).unwrap();
        let field = |url: &str| match openai.speaks(url) {
            Speaks::OpenAiChat { limit_field } => limit_field,
        };
        assert_eq!(field("https://api.openai.com/v1"), LimitField::MaxCompletionTokens);
        assert_eq!(field("http://127.0.0.1:9090/v1"), LimitField::MaxTokens);
    }

    #[tokio::test]
    async fn the_body_goes_in_one_piece_of_known_length() {
        let (heard, answer) = heard(Ok(())).await;
        assert!(matches!(answer, Ok(UpstreamAnswer::Whole(_))));
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"model":"m"}"#);
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-length: 13") && head.contains("content-type: application/json"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }

    #[tokio::test]
    async fn nothing_of_a_revoked_attempts_body_goes() {
        let (heard, answer) = heard(Err(Revoked)).await;
        assert!(answer.is_err());
        assert_eq!(heard.split_once("\r\n\r\n").map_or("", |(_, body)| body), "");
    }
}
