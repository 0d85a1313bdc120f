//! Google's Gemini API.

use async_trait::async_trait;
use steward_calls::dialect::Speaks;
use steward_calls::upstream::{Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;

use crate::client::{Client, not_to_be_had};
use crate::config::Config;
use crate::path::segment;

/// A client of Gemini.
pub(crate) struct Gemini(Client);

impl Gemini {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self(Client::new(bounds)?))
    }
}

#[async_trait]
impl Provider for Gemini {
    fn speaks(&self, _: &str, operation: Operation) -> Option<Speaks> {
        matches!(operation, Operation::Chat | Operation::Responses).then_some(Speaks::Gemini)
    }

    async fn send(&self, mut outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let path = path(&outgoing.model, outgoing.stream)?;
        let headers = outgoing.key.take().map(|key| ("x-goog-api-key", key)).into_iter().collect();
        self.0.ask(outgoing, path.into(), headers).await
    }
}

/// Where the model is asked: `gemini-x` is one of `models`, `tunedModels/x` names its kind itself.
fn path(model: &str, stream: bool) -> Result<String, Failure> {
    let (kind, name) = model.split_once('/').unwrap_or(("models", model));
    if name.contains('/') {
        return Err(not_to_be_had("its name of the model cannot stand in a path"));
    }
    let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    Ok(format!("/{}/{}:{method}", segment(kind)?, segment(name)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::{Heard, outgoing, served};

    #[test]
    fn the_model_and_the_method_are_in_the_path() {
        let path = |model: &str, stream| path(model, stream).ok();
        assert_eq!(path("gemini-x", false).unwrap(), "/models/gemini-x:generateContent");
        assert_eq!(path("tunedModels/a b", true).unwrap(), "/tunedModels/a%20b:streamGenerateContent?alt=sse");
        for wrong in ["", "models/", "a/b/c", "..", "../x", "models/.."] {
            assert_eq!(path(wrong, false), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_asked_for_with_the_key_in_its_header() {
        let gemini = |bounds: &Config| Gemini::new(bounds).unwrap();
        let body = b"data: {\"candidates\":[]}\r\n\r\ndata: {\"usageMetadata\":{}}\r\n\r\n";
        let heard = served("text/event-stream", body, |url| {
            let asked = outgoing(url, "gemini-x", Some("secret"));
            let gemini = gemini(&Config::default());
            async move { gemini.send(Outgoing { speaks: Speaks::Gemini, stream: true, ..asked }).await }
        });
        let Heard { head, events, .. } = heard.await;
        assert!(head.starts_with("post /models/gemini-x:streamgeneratecontent?alt=sse http/1.1\r\n"), "{head}");
        assert!(head.contains("x-goog-api-key: secret\r\n") && !head.contains("authorization"), "{head}");
        assert_eq!(
            events.unwrap(),
            [Bytes::from_static(br#"{"candidates":[]}"#), br#"{"usageMetadata":{}}"#.as_slice().into()]
        );
    }
}
