//! OpenAI's models on Azure: OpenAI's own dialects, at other paths and with the key in another header.

use async_trait::async_trait;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;

use crate::client::{Client, not_to_be_had};
use crate::config::Config;
use crate::openai;
use crate::path::segment;

/// How the base URL of a resource ends whose API has no versions: there the model is named in the body, as OpenAI does it.
const WITHOUT_VERSIONS: &str = "/openai/v1";
/// The last version of the older API, which names the deployment in the path.
const API_VERSION: &str = "2024-10-21";

/// A client of Azure.
pub(crate) struct Azure(Client);

impl Azure {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self(Client::new(bounds)?))
    }
}

#[async_trait]
impl Provider for Azure {
    fn speaks(&self, _: &str, operation: Operation) -> Option<Speaks> {
        openai::spoken(operation, LimitField::MaxCompletionTokens)
    }

    async fn send(&self, mut outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let path = path(&outgoing)?;
        let headers = outgoing.key.take().map(|key| ("api-key", key)).into_iter().collect();
        self.0.ask(outgoing, path.into(), headers).await
    }
}

fn path(outgoing: &Outgoing) -> Result<String, Failure> {
    let path = openai::path(outgoing.speaks).ok_or_else(|| not_to_be_had("it does not speak so"))?;
    if outgoing.url.trim_end_matches('/').ends_with(WITHOUT_VERSIONS) {
        return Ok(path.to_owned());
    }
    Ok(format!("/openai/deployments/{}{path}?api-version={API_VERSION}", segment(&outgoing.model)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, outgoing, served};

    const ANSWER: &[u8] = br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

    #[tokio::test]
    async fn a_deployment_is_named_in_the_path_unless_the_api_has_no_versions() {
        for (below, expected) in [
            ("", "post /openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21 http/1.1\r\n"),
            ("/openai/v1/", "post /openai/v1/chat/completions http/1.1\r\n"),
        ] {
            let heard = served("application/json", ANSWER, |url| async move {
                let azure = Azure::new(&Config::default()).unwrap();
                let speaks = azure.speaks(&url, Operation::Chat).unwrap();
                let asked = outgoing(format!("{url}{below}"), "my gpt", Some("secret"));
                azure.send(Outgoing { speaks, ..asked }).await
            });
            let Heard { head, events, .. } = heard.await;
            assert!(head.starts_with(expected), "{head}");
            assert!(head.contains("api-key: secret\r\n") && !head.contains("authorization"), "{head}");
            assert_eq!(events.unwrap(), [ANSWER]);
        }
    }
}
