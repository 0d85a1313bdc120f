//! OpenAI's HTTP API, or anything compatible.

use async_trait::async_trait;
use futures::StreamExt;
use http::{HeaderMap, header};
use steward_answers::problem::Problem;
use steward_answers::retry_after::AskAgain;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Cause, Failure, Outgoing, Provider, Refused, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;
use tokio::time::Instant;

use crate::coding::Unpacking;
use crate::config::Config;
use crate::http::{Http, HttpAnswer, Incoming, Message, bearer};
use crate::reading::Reading;

/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 256 * 1024;

/// A client of OpenAI-compatible upstreams.
pub(crate) struct OpenAi {
    http: Http,
    bounds: Config,
}

impl OpenAi {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self { http: Http::new(bounds)?, bounds: bounds.clone() })
    }

    const fn reading(&self, body: Incoming, unpacking: Unpacking, ends: Instant) -> Reading {
        Reading::new(body, unpacking, self.bounds.idle_time_max, ends)
    }
}

#[async_trait]
impl Provider for OpenAi {
    /// OpenAI's newer models know only the newer field; compatible servers are sure to know the older one. Who has no
    /// responses says so when it is first asked for one.
    fn speaks(&self, url: &str, operation: Operation) -> Option<Speaks> {
        match operation {
            Operation::Chat => {}
            Operation::Responses => return Some(Speaks::OpenAiResponses),
            _ => return None,
        }
        let is_openai = url.contains("//api.openai.com");
        let limit_field = if is_openai { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens };
        Some(Speaks::OpenAiChat { limit_field, only_that: false, stream_options: true })
    }

    async fn send(&self, outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let ends = Instant::now() + self.bounds.total_time_max;
        let Outgoing { url: base, key, speaks, body, stream, trusted, pre_send_check: check, .. } = outgoing;
        let anywhere = trusted || self.bounds.tenant_providers_anywhere;
        let answer = self
            .http
            .post(Message { base, path: path(speaks).into(), headers: bearer(key), body, anywhere, check })
            .await?;
        let HttpAnswer { status, headers, body } = answer;
        let unpacking = Unpacking::of(&headers);
        if !status.is_success() {
            let reading = self.reading(body, unpacking.unwrap_or(Unpacking::Plain), ends);
            let body = reading.beginning(ERROR_BYTES_MAX).await;
            let refused = Refused::telling(status, Problem::of_refusal(&body));
            return Err(Failure::refused(Refused { ask_again: ask_again(&headers), ..refused }));
        }
        let unpacking = unpacking.map_err(|unknown| Failure::possibly(Cause::Broke(unknown.to_string())))?;
        let mut reading = self.reading(body, unpacking, ends);
        // Official clients do not look at the type: what begins like a stream is one. Where the type says so too, nothing is
        // waited for.
        if stream && (is_event_stream(&headers) || reading.begins_like_a_stream().await?) {
            return Ok(UpstreamAnswer::Stream(reading.events(self.bounds.event_bytes_max).boxed()));
        }
        Ok(UpstreamAnswer::Whole(reading.whole(self.bounds.answer_bytes_max).await?))
    }
}

/// Where what is spoken is heard.
const fn path(speaks: Speaks) -> &'static str {
    match speaks {
        Speaks::OpenAiChat { .. } => "/chat/completions",
        Speaks::OpenAiResponses => "/responses",
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
        let openai = OpenAi::new(&Config::default()).unwrap();
        let pre_send_check = ready(check).boxed();
        let speaks = openai.speaks(&url, Operation::Chat).unwrap();
        let outgoing = Outgoing {
            url,
            key: None,
            speaks,
            model: "m".to_owned(),
            body,
            stream: false,
            trusted: true,
            pre_send_check,
        };
        let answer = openai.send(outgoing).await;
        (server.await.unwrap(), answer)
    }

    #[tokio::test]
    async fn only_openai_itself_gets_the_newer_limit_field() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let openai = OpenAi::new(&Config::default()).unwrap();
        let field = |url: &str| match openai.speaks(url, Operation::Chat) {
            Some(Speaks::OpenAiChat { limit_field, .. }) => limit_field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field("https://api.openai.com/v1"), LimitField::MaxCompletionTokens);
        assert_eq!(field("http://127.0.0.1:9090/v1"), LimitField::MaxTokens);
        assert_eq!(openai.speaks("http://127.0.0.1:9090/v1", Operation::Responses), Some(Speaks::OpenAiResponses));
        assert_eq!(path(Speaks::OpenAiResponses), "/responses");
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
