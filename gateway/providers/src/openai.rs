//! OpenAI's HTTP API, or anything compatible.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use http::{HeaderMap, header};
use reqwest::Url;
use steward_answers::problem::Problem;
use steward_answers::retry_after::AskAgain;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Cause, Failure, Outgoing, Provider, Refused, UpstreamAnswer};
use steward_events::BoxError;
use tokio::time::Instant;

use crate::coding::Unpacking;
use crate::config::Config;
use crate::public_address::{PublicOnly, may_be_public};
use crate::reading::{Reading, innermost};

/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 256 * 1024;

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

    fn reading(&self, answer: reqwest::Response, unpacking: Unpacking, ends: Instant) -> Reading {
        Reading::new(answer.bytes_stream(), unpacking, self.bounds.idle_time_max, ends)
    }
}

#[async_trait]
impl Provider for OpenAi {
    /// OpenAI's newer models know only the newer field; compatible servers are sure to know the older one.
    fn speaks(&self, url: &str) -> Speaks {
        let is_openai = url.contains("//api.openai.com");
        let limit_field = if is_openai { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens };
        Speaks::OpenAiChat { limit_field, only_that: false, stream_options: true }
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
            .header(header::ACCEPT_ENCODING, "identity")
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
        let unpacking = Unpacking::of(&headers);
        if !status.is_success() {
            let reading = self.reading(answer, unpacking.unwrap_or(Unpacking::Plain), ends);
            let body = reading.beginning(ERROR_BYTES_MAX).await;
            let refused = Refused::telling(status, Problem::of_refusal(&body));
            return Err(Failure::refused(Refused { ask_again: ask_again(&headers), ..refused }));
        }
        let unpacking = unpacking.map_err(|unknown| Failure::possibly(Cause::Broke(unknown.to_string())))?;
        let mut reading = self.reading(answer, unpacking, ends);
        // Official clients do not look at the type: what begins like a stream is one. Where the type says so too, nothing is
        // waited for.
        if outgoing.stream && (is_event_stream(&headers) || reading.begins_like_a_stream().await?) {
            return Ok(UpstreamAnswer::Stream(reading.events(self.bounds.event_bytes_max).boxed()));
        }
        Ok(UpstreamAnswer::Whole(reading.whole(self.bounds.answer_bytes_max).await?))
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

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

fn ask_again(headers: &HeaderMap) -> Option<AskAgain> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    AskAgain::read(text("retry-after-ms"), text("retry-after"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use bytes::Bytes;
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
            Speaks::OpenAiChat { limit_field, .. } => limit_field,
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
