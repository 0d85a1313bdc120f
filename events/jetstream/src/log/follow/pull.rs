//! Deliveries that are asked for, all that has gathered at once.
//!
//! While much comes, one request a pace; when nothing came, one that waits for the next commit.

use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures::StreamExt;
use serde::Serialize;
use steward_ports::log::LogError;
use tokio::time::Instant;

use super::{HEARTBEAT, SILENCE_MAX, delivered, nanos};
use crate::ANSWER_TIME_MAX;
use crate::log::unavailable;

/// Commits that one request may bring.
const BATCH_MAX: u64 = 2_048;

/// Their bytes. Any commit fits.
const BATCH_BYTES_MAX: usize = 2 * crate::MESSAGE_BYTES_MAX;

/// How long a request for what is there stays open. The server says at its end that there is no more.
const GATHER: Duration = Duration::from_millis(2);

/// With so many commits left behind, the next request follows at once.
const BACKLOG: u64 = 64;

/// How long a request waits for the next commit.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Next {
    batch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<usize>,
    expires: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_heartbeat: Option<u64>,
}

/// A request under way.
struct PullRequest {
    /// Where the server says of it what is no commit.
    inbox: String,
    began: Instant,
    batch: u64,
    came: u64,
    /// How many more there were when the last of these was sent.
    pending: u64,
}

/// What the last request brought.
enum Last {
    /// More is there, or may be.
    Full,
    /// All there was, when it began.
    Some(Instant),
    Nothing,
}

/// Asks a consumer.
pub(super) struct Pull {
    subject: String,
    inbox: String,
    messages: Subscriber,
    pace: Duration,
    requests: u64,
    asked: Option<PullRequest>,
    last: Last,
}

impl Pull {
    pub(super) async fn listen(
        client: &Client,
        holder: &str,
        consumer: &str,
        pace: Duration,
    ) -> Result<Self, LogError> {
        let inbox = client.new_inbox();
        let messages = client.subscribe(format!("{inbox}.*")).await.map_err(unavailable)?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{holder}.{consumer}");
        Ok(Self { subject, inbox, messages, pace, requests: 0, asked: None, last: Last::Full })
    }

    /// The next delivery; none if the consumer is lost.
    pub(super) async fn message(&mut self, client: &Client) -> Result<Option<Message>, LogError> {
        loop {
            if self.asked.is_none() {
                if let Last::Some(began) = self.last {
                    tokio::time::sleep_until(began + self.pace).await;
                }
                self.pull(client).await?;
            }
            let message = match tokio::time::timeout(SILENCE_MAX, self.messages.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(unavailable("the connection closed")),
                Err(_) => return Ok(None),
            };
            let Some(status) = message.status else {
                self.came(&message);
                return Ok(Some(message));
            };
            // What is said of an earlier request is old.
            let current = self.asked.as_ref().is_some_and(|asked| asked.inbox == message.subject.as_str());
            match status {
                StatusCode::IDLE_HEARTBEAT => {}
                _ if !current => {}
                StatusCode::TIMEOUT | StatusCode::NOT_FOUND => self.ended(false),
                _ if is_full(&message) => self.ended(true),
                // The consumer or its stream was deleted, or its server is going.
                _ => return Ok(None),
            }
        }
    }

    async fn pull(&mut self, client: &Client) -> Result<(), LogError> {
        let next = match self.last {
            Last::Nothing => {
                Next { batch: 1, max_bytes: None, expires: nanos(WAIT), idle_heartbeat: Some(nanos(HEARTBEAT)) }
            }
            Last::Full | Last::Some(_) => Next {
                batch: BATCH_MAX,
                max_bytes: Some(BATCH_BYTES_MAX),
                expires: nanos(GATHER),
                idle_heartbeat: None,
            },
        };
        self.requests += 1;
        let asked = PullRequest {
            inbox: format!("{}.{}", self.inbox, self.requests),
            began: Instant::now(),
            batch: next.batch,
            came: 0,
            pending: 0,
        };
        let body = serde_json::to_vec(&next).map_err(unavailable)?;
        let sent = client.publish_with_reply(self.subject.clone(), asked.inbox.clone(), body.into());
        tokio::time::timeout(ANSWER_TIME_MAX, sent).await.map_err(unavailable)?.map_err(unavailable)?;
        self.asked = Some(asked);
        Ok(())
    }

    fn came(&mut self, message: &Message) {
        let Some(asked) = &mut self.asked else { return };
        asked.came += 1;
        asked.pending = delivered(message).map_or(0, |delivered| delivered.pending);
        if asked.came >= asked.batch {
            self.ended(true);
        }
    }

    fn ended(&mut self, full: bool) {
        let Some(asked) = self.asked.take() else { return };
        self.last = match asked.came {
            // Also one that ended long before all that was there had been sent.
            _ if (full && asked.batch > 1) || asked.pending >= BACKLOG => Last::Full,
            0 => Last::Nothing,
            _ => Last::Some(asked.began),
        };
    }
}

/// The server ended a request because what it allows has come, in number or bytes.
fn is_full(message: &Message) -> bool {
    let why = message.description.as_deref().unwrap_or_default();
    message.status.is_some_and(|status| status.as_u16() == 409)
        && ["Batch Completed", "Message Size Exceeds MaxBytes"].contains(&why)
}
