//! Anthropic's HTTP API, or anything compatible.

use async_trait::async_trait;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::anthropic::{EffortForm, without_betas};
use steward_calls::upstream::{Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;

use crate::client::Client;
use crate::config::Config;
use crate::http::Headers;

/// Where messages are asked for, below the base URL.
const MESSAGES: &str = "/messages";
/// The version of the API that is spoken. The later one of 2026 only takes less: no `temperature`, which callers of other dialects
/// send.
const VERSION: &str = "2023-06-01";

/// A client of Anthropic-compatible upstreams.
pub(crate) struct Anthropic(Client);

impl Anthropic {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self(Client::new(bounds)?))
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn speaks(&self, _: &str, operation: Operation) -> Option<Speaks> {
        matches!(operation, Operation::Chat | Operation::Responses)
            .then_some(Speaks::Anthropic { effort: EffortForm::Word })
    }

    async fn send(&self, mut outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let (body, betas) = without_betas(outgoing.body);
        outgoing.body = body;
        let headers = headers(outgoing.key.take(), betas);
        self.0.ask(outgoing, MESSAGES.into(), headers).await
    }
}

fn headers(key: Option<String>, betas: Option<String>) -> Headers {
    let version = ("anthropic-version", VERSION.to_owned());
    let others = [key.map(|key| ("x-api-key", key)), betas.map(|betas| ("anthropic-beta", betas))];
    others.into_iter().flatten().chain([version]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, outgoing, served};

    #[tokio::test]
    async fn a_message_is_asked_for_with_key_and_version() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let anthropic = Anthropic::new(&Config::default()).unwrap();
        let answer = br#"{"type":"message","content":[]}"#;
        let Heard { head, body, events } = served("application/json", answer, |url| {
            anthropic.send(outgoing(format!("{url}/v1"), "claude", Some("sk-1")))
        })
        .await;
        assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
        for header in ["x-api-key: sk-1\r\n", "anthropic-version: 2023-06-01\r\n"] {
            assert!(head.contains(header), "{head}");
        }
        assert!(!head.contains("authorization"), "{head}");
        assert_eq!((body.as_str(), events.unwrap()), ("{}", vec![bytes::Bytes::from_static(answer)]));
    }

    #[tokio::test]
    async fn features_are_asked_for_in_a_header() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let anthropic = Anthropic::new(&Config::default()).unwrap();
        let asked = bytes::Bytes::from_static(br#"{"anthropic_beta":["a-1","b-2"],"model":"m"}"#);
        let Heard { head, body, .. } = served("application/json", b"{}", |url| {
            anthropic.send(Outgoing { body: asked, ..outgoing(url, "claude", None) })
        })
        .await;
        assert!(head.contains("anthropic-beta: a-1,b-2\r\n"), "{head}");
        assert_eq!(body, r#"{"model":"m"}"#);
    }

    #[tokio::test]
    async fn a_stream_comes_event_by_event() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let anthropic = Anthropic::new(&Config::default()).unwrap();
        let answer =
            b"event: ping\ndata: {\"type\":\"ping\"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let Heard { head, events, .. } = served("text/event-stream", answer, |url| {
            anthropic.send(Outgoing { stream: true, ..outgoing(url, "claude", None) })
        })
        .await;
        assert!(!head.contains("x-api-key"), "{head}");
        assert_eq!(events.unwrap(), [&br#"{"type":"ping"}"#[..], br#"{"type":"message_stop"}"#]);
    }
}
