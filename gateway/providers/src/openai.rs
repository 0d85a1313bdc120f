//! OpenAI's HTTP API, or anything compatible.

use async_trait::async_trait;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;

use crate::client::{Client, not_to_be_had};
use crate::config::Config;
use crate::http::bearer;

/// A client of OpenAI-compatible upstreams.
pub(crate) struct OpenAi(Client);

impl OpenAi {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self(Client::new(bounds)?))
    }
}

#[async_trait]
impl Provider for OpenAi {
    /// OpenAI's newer models know only the newer field; compatible servers are sure to know the older one.
    fn speaks(&self, url: &str, operation: Operation) -> Option<Speaks> {
        let is_openai = url.contains("//api.openai.com");
        spoken(operation, if is_openai { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens })
    }

    async fn send(&self, mut outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let path = path(outgoing.speaks).ok_or_else(|| not_to_be_had("it does not speak so"))?;
        let headers = bearer(outgoing.key.take());
        self.0.ask(outgoing, path.into(), headers).await
    }
}

/// What servers of OpenAI's API speak to those who want this.
pub(crate) fn spoken(operation: Operation, limit_field: LimitField) -> Option<Speaks> {
    match operation {
        Operation::Chat => Some(Speaks::OpenAiChat { limit_field, only_that: false, stream_options: true }),
        Operation::Completions => Some(Speaks::OpenAiCompletions { stream_options: true }),
        Operation::Embeddings => Some(Speaks::OpenAiEmbeddings),
        Operation::Moderation => Some(Speaks::OpenAiModerations),
        Operation::Image => Some(Speaks::OpenAiImages),
        Operation::Audio => Some(Speaks::OpenAiSpeech),
        // Who has none says so when it is first asked for one.
        Operation::Responses => Some(Speaks::OpenAiResponses),
        Operation::Batch | Operation::Tool => None,
    }
}

/// Where that is heard, below the base URL or a deployment's.
pub(crate) const fn path(speaks: Speaks) -> Option<&'static str> {
    match speaks {
        Speaks::OpenAiChat { .. } => Some("/chat/completions"),
        Speaks::OpenAiResponses => Some("/responses"),
        Speaks::OpenAiCompletions { .. } => Some("/completions"),
        Speaks::OpenAiEmbeddings => Some("/embeddings"),
        Speaks::OpenAiModerations => Some("/moderations"),
        Speaks::OpenAiImages => Some("/images/generations"),
        Speaks::OpenAiSpeech => Some("/audio/speech"),
        Speaks::Anthropic { .. } | Speaks::Gemini | Speaks::BedrockConverse => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use bytes::Bytes;
    use futures::FutureExt;
    use steward_calls::upstream::{Revoked, TimeMax};
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
            time_max: TimeMax::default(),
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
            _ => unreachable!(),
        };
        assert_eq!(field("https://api.openai.com/v1"), LimitField::MaxCompletionTokens);
        assert_eq!(field("http://127.0.0.1:9090/v1"), LimitField::MaxTokens);
        assert_eq!(openai.speaks("http://127.0.0.1:9090/v1", Operation::Responses), Some(Speaks::OpenAiResponses));
        assert_eq!(path(Speaks::OpenAiResponses), Some("/responses"));
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
