//! AWS Bedrock, by its Converse API.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use reqwest::Url;
use steward_calls::dialect::Speaks;
use steward_calls::upstream::{Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::BoxError;
use steward_events::event::Operation;

use crate::client::{Client, not_to_be_had};
use crate::config::Config;
use crate::path::segment;
use crate::{Now, answering};

mod event_stream;
mod key;

use key::Key;

/// What streams are sent as.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// A client of Bedrock.
pub(crate) struct Bedrock {
    client: Client,
    /// Signatures say when they were made.
    now: Arc<Now>,
}

impl Bedrock {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config, now: Arc<Now>) -> Result<Self, BoxError> {
        Ok(Self { client: Client::new(bounds)?, now })
    }
}

#[async_trait]
impl Provider for Bedrock {
    fn speaks(&self, _: &str, operation: Operation) -> Option<Speaks> {
        matches!(operation, Operation::Chat | Operation::Responses).then_some(Speaks::BedrockConverse)
    }

    async fn send(&self, mut outgoing: Outgoing) -> Result<UpstreamAnswer, Failure> {
        let (times, stream) = (self.client.times(&outgoing), outgoing.stream);
        let method = if stream { "converse-stream" } else { "converse" };
        let path = format!("/model/{}/{method}", segment(&outgoing.model)?);
        let url: Result<Url, _> = format!("{}{path}", outgoing.url.trim_end_matches('/')).parse();
        let url = url.map_err(|error| not_to_be_had(format!("its address is no URL: {error}")))?;
        let key = Key::read(outgoing.key.take().as_deref().unwrap_or_default())?;
        let headers = key.headers(&url, &outgoing.body, (self.now)())?;
        let answer = self.client.post(outgoing, path.into(), headers, times).await?;
        let bounds = self.client.bounds();
        if !stream || !answering::says(&answer.headers, EVENT_STREAM) {
            return answering::answer(answer, stream, bounds, times).await;
        }
        let reading = answering::accepted(answer, times).await?;
        Ok(UpstreamAnswer::Stream(event_stream::events(reading, bounds.event_bytes_max).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use steward_events::timestamp::Timestamp;

    use super::*;
    use crate::testing::{Heard, outgoing, served};

    const ANSWER: &[u8] = br#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}"#;

    async fn heard(key: Option<&'static str>) -> Heard {
        served("application/json", ANSWER, |url| async move {
            let bedrock = Bedrock::new(&Config::default(), Arc::new(|| Timestamp(0))).unwrap();
            let speaks = bedrock.speaks(&url, Operation::Chat).unwrap();
            let asked = outgoing(url, "eu.anthropic.claude-x-v1:0", key);
            bedrock.send(Outgoing { speaks, ..asked }).await
        })
        .await
    }

    #[tokio::test]
    async fn a_request_is_signed_for_the_host_that_it_goes_to() {
        let Heard { head, body, events } = heard(Some("AKID:secret region=eu-west-1")).await;
        assert!(head.starts_with("post /model/eu.anthropic.claude-x-v1%3a0/converse http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nx-amz-date: 19700101t000000z\r\n"), "{head}");
        let signed =
            "credential=akid/19700101/eu-west-1/bedrock/aws4_request, signedheaders=content-type;host;x-amz-date,";
        assert!(head.contains(signed), "{head}");
        assert_eq!((body.as_str(), events.unwrap()), ("{}", vec![ANSWER.into()]));
    }

    #[tokio::test]
    async fn an_api_key_is_a_bearers() {
        let Heard { head, .. } = heard(Some("ABSKxyz")).await;
        assert!(head.contains("\r\nauthorization: bearer abskxyz\r\n") && !head.contains("x-amz-date"), "{head}");
    }
}
