//! Deliveries that are asked for, all that has gathered at once.
//!
//! While much comes, one request a pace; when nothing came, one that waits for the next commit. Who is behind asks for
//! more before all that was asked for has come, so that server and reader need not wait for each other.

use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use serde::Serialize;
use steward_ports::log::LogError;
use tokio::time::Instant;

use super::{HEARTBEAT, header, heard, nanos};
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

/// Who is behind asks for more when no more than so many are still to come.
const AHEAD: u64 = BATCH_MAX / 4 * 3;

/// How long a request for what is known to be there stays open; it ends when that has come.
const FETCH: Duration = Duration::from_secs(1);

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

impl Next {
    fn of(batch: u64, open: Duration) -> Self {
        Self { batch, max_bytes: Some(BATCH_BYTES_MAX), expires: nanos(open), idle_heartbeat: None }
    }
}

/// Requests under way. The server serves several in turns, so that only their sum is known.
struct Asked {
    /// The number of the first. What the server says of earlier ones is old.
    first: u64,
    began: Instant,
    /// How many commits may still come.
    open: u64,
    came: u64,
    /// How many more there were when the last of these was sent.
    pending: u64,
}

/// What was brought at last.
enum Last {
    /// So many are left, or it is not known how many.
    Behind(u64),
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
    asked: Option<Asked>,
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
        Ok(Self { subject, inbox, messages, pace, requests: 0, asked: None, last: Last::Behind(0) })
    }

    /// The next delivery; none if the consumer is lost.
    pub(super) async fn message(&mut self, client: &Client) -> Result<Option<Message>, LogError> {
        loop {
            match &self.asked {
                None => {
                    if let Last::Some(began) = self.last {
                        tokio::time::sleep_until(began + self.pace).await;
                    }
                    let next = self.next();
                    let (first, open) = (self.requests + 1, next.batch);
                    self.asked = Some(Asked { first, began: Instant::now(), open, came: 0, pending: 0 });
                    self.pull(client, &next).await?;
                }
                Some(asked) => {
                    if let Some(next) = asked.ahead() {
                        self.asked = self.asked.take().map(|asked| Asked { open: asked.open + next.batch, ..asked });
                        self.pull(client, &next).await?;
                    }
                }
            }
            let Some(message) = heard(&mut self.messages).await? else { return Ok(None) };
            let Some(status) = message.status else { return Ok(Some(message)) };
            match status {
                StatusCode::IDLE_HEARTBEAT => {}
                _ if !self.is_current(&message) => {}
                StatusCode::TIMEOUT | StatusCode::NOT_FOUND => self.ended(&message),
                _ if is_full(&message) => self.ended(&message),
                // The consumer or its stream was deleted, or its server is going.
                _ => return Ok(None),
            }
        }
    }

    /// What to ask for when nothing is asked for.
    fn next(&self) -> Next {
        match self.last {
            Last::Nothing => {
                Next { batch: 1, max_bytes: None, expires: nanos(WAIT), idle_heartbeat: Some(nanos(HEARTBEAT)) }
            }
            Last::Behind(left) if left >= BACKLOG => Next::of(left.min(BATCH_MAX), FETCH),
            Last::Behind(_) | Last::Some(_) => Next::of(BATCH_MAX, GATHER),
        }
    }

    async fn pull(&mut self, client: &Client, next: &Next) -> Result<(), LogError> {
        self.requests += 1;
        let inbox = format!("{}.{}", self.inbox, self.requests);
        let body = serde_json::to_vec(next).map_err(unavailable)?;
        let sent = client.publish_with_reply(self.subject.clone(), inbox, body.into());
        tokio::time::timeout(ANSWER_TIME_MAX, sent).await.map_err(unavailable)?.map_err(unavailable)
    }

    /// Counts a delivery, after which `pending` are left.
    pub(super) fn came(&mut self, pending: u64) {
        let Some(asked) = &mut self.asked else { return };
        asked.came += 1;
        asked.pending = pending;
        asked.open = asked.open.saturating_sub(1);
        self.settle();
    }

    /// Whether a status is about a request that is under way.
    fn is_current(&self, message: &Message) -> bool {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        self.asked.as_ref().is_some_and(|asked| number.is_some_and(|number| number >= asked.first))
    }

    /// A request ended before all that it asked for had come.
    fn ended(&mut self, message: &Message) {
        let Some(asked) = &mut self.asked else { return };
        // Without a word on how many that leaves out, all may have ended: what comes all the same is taken as well.
        let left_out = header(message, "Nats-Pending-Messages").unwrap_or(u64::MAX);
        asked.open = asked.open.saturating_sub(left_out);
        self.settle();
    }

    /// When nothing more is to come, what that says about the next request.
    fn settle(&mut self) {
        let Some(asked) = self.asked.take_if(|asked| asked.open == 0) else { return };
        self.last = match asked.came {
            0 => Last::Nothing,
            _ if asked.pending >= BACKLOG => Last::Behind(asked.pending),
            _ => Last::Some(asked.began),
        };
    }
}

impl Asked {
    /// What to ask for beside what is under way, if much will be left after that.
    fn ahead(&self) -> Option<Next> {
        let left = self.pending.saturating_sub(self.open);
        (self.open <= AHEAD && left >= BACKLOG).then(|| Next::of(left.min(BATCH_MAX), FETCH))
    }
}

/// The server ended a request because what it allows has come, in number or bytes.
fn is_full(message: &Message) -> bool {
    let why = message.description.as_deref().unwrap_or_default();
    message.status.is_some_and(|status| status.as_u16() == 409)
        && ["Batch Completed", "Message Size Exceeds MaxBytes"].contains(&why)
}
