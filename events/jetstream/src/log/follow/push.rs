//! Deliveries that come by themselves, one by one, as soon as there is something.

use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use steward_ports::log::LogError;

use super::{Delivery, HEARTBEAT, header, heard, nanos};
use crate::ANSWER_TIME_MAX;
use crate::log::unavailable;

/// Where a consumer delivers to.
pub(super) struct Push {
    inbox: String,
    messages: Subscriber,
}

impl Push {
    pub(super) async fn listen(client: &Client) -> Result<Self, LogError> {
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        Ok(Self { inbox, messages })
    }

    pub(super) fn delivery(&self) -> Delivery<'_> {
        Delivery {
            deliver_subject: Some(&self.inbox),
            flow_control: Some(true),
            idle_heartbeat: Some(nanos(HEARTBEAT)),
        }
    }

    /// The next delivery after `delivered` of them; none if the consumer is lost.
    pub(super) async fn message(&mut self, client: &Client, delivered: u64) -> Result<Option<Message>, LogError> {
        loop {
            let Some(message) = heard(&mut self.messages).await? else { return Ok(None) };
            match message.status {
                None => return Ok(Some(message)),
                Some(StatusCode::IDLE_HEARTBEAT) => {
                    if let Some(answer) = flow_control(&message) {
                        let answered = client.publish(answer, Bytes::new());
                        tokio::time::timeout(ANSWER_TIME_MAX, answered)
                            .await
                            .map_err(unavailable)?
                            .map_err(unavailable)?;
                    }
                    if header(&message, "Nats-Last-Consumer").is_some_and(|count| count != delivered) {
                        return Ok(None);
                    }
                }
                // The consumer or its stream was deleted, or its server is going.
                Some(_) => return Ok(None),
            }
        }
    }
}

/// Where the server wants to hear that what it sent has arrived.
fn flow_control(message: &Message) -> Option<String> {
    let stalled = || message.headers.as_ref()?.get_last("Nats-Consumer-Stalled").map(|value| value.as_str().to_owned());
    message.reply.as_ref().map(ToString::to_string).or_else(stalled)
}
