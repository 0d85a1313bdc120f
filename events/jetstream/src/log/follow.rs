//! Following a shard: an ordered consumer of our own, several filters at once, made again when it is lost.
//!
//! The consumer is ephemeral, has a name that nobody can guess and acknowledges nothing. Its own sequence counts what it
//! delivered; a hole in that count, or silence, means that something was lost on the way, and then another consumer
//! goes on after the last commit delivered. Positions are the stream's own sequences, always.
//!
//! Who must hear at once is sent each commit by itself (`push.rs`); who may hear some milliseconds later asks for all
//! that has gathered (`pull.rs`), which costs the server and the reader a fraction.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use steward_events::ids::Ids;
use steward_events::quantity::Position;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::RandomIds;
use steward_ports::log::{Filter, Follow, LogError, Stored};

use super::unavailable;
use crate::api;
use pull::Pull;
use push::Push;

mod pull;
mod push;

/// How often the server speaks when there is nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Silence after which the consumer counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How long the server keeps a consumer that nobody listens to.
const UNUSED_MAX: Duration = Duration::from_secs(10);

/// Names of streams that are kept by their subjects. A shard has a journal for each gateway and set of scopes.
const NAMES_MAX: usize = 1_024;

/// A log that looks shorter than what was read from it is asked again this often: a new leader may still be catching up.
const WENT_BACK_LOOKS: u32 = 5;

#[derive(Serialize)]
struct Create<'a> {
    stream_name: &'a str,
    config: Config<'a>,
    action: &'static str,
}

#[derive(Serialize)]
struct Config<'a> {
    name: &'a str,
    #[serde(flatten)]
    delivery: Delivery<'a>,
    deliver_policy: &'static str,
    opt_start_seq: u64,
    ack_policy: &'static str,
    max_deliver: i32,
    filter_subjects: Vec<String>,
    replay_policy: &'static str,
    inactive_threshold: u64,
    mem_storage: bool,
    num_replicas: u32,
}

/// How the consumer delivers: by itself, if it is told where to.
#[derive(Default, Serialize)]
struct Delivery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_control: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_heartbeat: Option<u64>,
}

#[derive(Deserialize)]
struct Created {
    name: String,
}

/// A consumer that delivers.
struct Running {
    messages: Messages,
    /// How many it has delivered.
    delivered: u64,
}

enum Messages {
    Push(Push),
    Pull(Pull),
}

struct Following {
    client: Client,
    holder: String,
    filter: Filter,
    after: Position,
    pace: Option<Duration>,
    running: Option<Running>,
    /// Streams that match, by subject: the same come again and again.
    names: HashMap<Box<str>, StreamName>,
}

/// What matches `filter` in `holder` after `after`, and then whatever comes: each at once or, with a pace, what has
/// gathered since the last time.
pub(super) async fn follow(
    client: Client,
    holder: String,
    filter: Filter,
    after: Position,
    pace: Option<Duration>,
) -> Result<Follow, LogError> {
    let mut following = Following { client, holder, filter, after, pace, running: None, names: HashMap::new() };
    following.running = Some(following.start().await?);
    // Boxed: it is handed on with each commit.
    let next = |following: Option<Box<Following>>| async move {
        let mut following = following?;
        match following.next().await {
            Ok(stored) => Some((Ok(stored), Some(following))),
            Err(error) => Some((Err(error), None)),
        }
    };
    Ok(futures::stream::unfold(Some(Box::new(following)), next).boxed())
}

impl Following {
    async fn next(&mut self) -> Result<Stored, LogError> {
        loop {
            let Some(running) = &mut self.running else {
                self.running = Some(self.start().await?);
                continue;
            };
            let Some((message, delivered)) = running.message(&self.client).await? else {
                tracing::debug!(stream = self.holder, after = %self.after, "the consumer was lost; making another");
                self.running = None;
                continue;
            };
            if delivered.count != running.delivered + 1 || delivered.sequence <= self.after.0 {
                tracing::debug!(stream = self.holder, after = %self.after, "a delivery was lost; beginning again there");
                self.running = None;
                continue;
            }
            running.delivered = delivered.count;
            let Message { subject, payload, .. } = message;
            let stream = self.name(&subject)?;
            let stored = Stored::new(stream, Position(delivered.sequence), delivered.stored_at, payload);
            self.after = stored.position;
            return Ok(stored);
        }
    }

    /// The stream that a delivery belongs to.
    fn name(&mut self, subject: &str) -> Result<StreamName, LogError> {
        if let Some(known) = self.names.get(subject) {
            return Ok(known.clone());
        }
        let stream: StreamName = subject.parse().map_err(unavailable)?;
        if !self.filter.matches(&stream) {
            return Err(unavailable(format!("{stream} was delivered and not asked for")));
        }
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(subject.into(), stream.clone());
        Ok(stream)
    }

    async fn start(&self) -> Result<Running, LogError> {
        self.went_back().await?;
        let name = format!("f-{}", RandomIds::default().unique());
        let messages = match self.pace {
            None => {
                let push = Push::listen(&self.client).await?;
                self.create(&name, push.delivery()).await?;
                Messages::Push(push)
            }
            Some(pace) => {
                let pull = Pull::listen(&self.client, &self.holder, &name, pace).await?;
                self.create(&name, Delivery::default()).await?;
                Messages::Pull(pull)
            }
        };
        Ok(Running { messages, delivered: 0 })
    }

    async fn create(&self, name: &str, delivery: Delivery<'_>) -> Result<(), LogError> {
        let mut filter_subjects = self.filter.subjects();
        filter_subjects.sort();
        filter_subjects.dedup();
        let create = Create {
            stream_name: &self.holder,
            config: Config {
                name,
                delivery,
                deliver_policy: "by_start_sequence",
                opt_start_seq: self.after.0.saturating_add(1),
                ack_policy: "none",
                max_deliver: 1,
                filter_subjects,
                replay_policy: "instant",
                inactive_threshold: nanos(UNUSED_MAX),
                mem_storage: true,
                num_replicas: 1,
            },
            action: "create",
        };
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{name}", self.holder);
        let created: Created = api::call(&self.client, &subject, &create).await.map_err(unavailable)?;
        debug_assert_eq!(created.name, name);
        Ok(())
    }

    /// A consumer that starts beyond the end would wait there in silence; so the end is looked at first.
    async fn went_back(&self) -> Result<(), LogError> {
        let mut looks = 0;
        loop {
            let last = if self.after == Position(0) {
                return Ok(());
            } else {
                api::last_sequence(&self.client, &self.holder).await.map_err(unavailable)?
            };
            if last >= self.after.0 {
                return Ok(());
            }
            looks += 1;
            if looks >= WENT_BACK_LOOKS {
                let read = self.after;
                return Err(LogError::WentBack(format!("{} ends at {last} and was read up to {read}", self.holder)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Running {
    /// The next delivery and what is said of it; none if the consumer is lost.
    async fn message(&mut self, client: &Client) -> Result<Option<(Message, Delivered)>, LogError> {
        let message = match &mut self.messages {
            Messages::Push(push) => push.message(client, self.delivered).await?,
            Messages::Pull(pull) => pull.message(client).await?,
        };
        let Some(message) = message else { return Ok(None) };
        let delivered = delivered(&message).map_err(unavailable)?;
        if let Messages::Pull(pull) = &mut self.messages {
            pull.came(delivered.pending);
        }
        Ok(Some((message, delivered)))
    }
}

/// What the server says next; none after a silence that means that the consumer is lost.
async fn heard(messages: &mut Subscriber) -> Result<Option<Message>, LogError> {
    // What is there already needs no clock.
    let heard = match messages.next().now_or_never() {
        Some(heard) => heard,
        None => match tokio::time::timeout(SILENCE_MAX, messages.next()).await {
            Ok(heard) => heard,
            Err(_) => return Ok(None),
        },
    };
    heard.map(Some).ok_or_else(|| unavailable("the connection closed"))
}

struct Delivered {
    sequence: u64,
    count: u64,
    stored_at: Timestamp,
    /// How many more there were for this consumer.
    pending: u64,
}

/// Reads `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<sequence>.<count>.<time>.<pending>[.<token>]`.
fn delivered(message: &Message) -> Result<Delivered, String> {
    let reply = message.reply.as_ref().map(Subject::as_str).unwrap_or_default();
    let read = || {
        let tokens = reply.strip_prefix("$JS.ACK.")?;
        // Before the numbers that matter: stream, consumer, deliveries; and a domain and an account before these.
        let others = if tokens.bytes().filter(|byte| *byte == b'.').count() == 6 { 3 } else { 5 };
        let mut numbers = tokens.split('.').skip(others).map_while(|token| token.parse::<u64>().ok());
        let (sequence, count, nanos) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Delivered { sequence, count, stored_at: Timestamp(nanos / 1_000), pending: numbers.next()? })
    };
    read().ok_or_else(|| format!("{reply:?} does not say where a delivery stands"))
}

fn header(message: &Message, name: &'static str) -> Option<u64> {
    message.headers.as_ref()?.get_last(name)?.as_str().parse().ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
