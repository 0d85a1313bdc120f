//! Timers that survive every process: message schedules of the broker, in one stream.
//!
//! `tmr.<kind>.<tenant>.<id>` holds the schedule of one timer; setting it again replaces it. When it is due, the server
//! writes `due.<kind>.<tenant>.<id>`, which one listener of that kind gets, and gets again until it says that it is
//! done; then it is gone. A stream of this kind is a work queue, so each kind has one consumer, shared by all listeners.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::Serialize;
use steward_events::BoxError;
use steward_events::id::is_token;
use steward_events::timestamp::Timestamp;
use steward_ports::timers::{Due, TimerKey, Timers};

use crate::ANSWER_TIME_MAX;
use crate::api;
use crate::connection::{ConnectError, Connection, Credentials};
use crate::names::TIMERS_STREAM;

/// How long a listener has before a timer rings elsewhere.
const DONE_TIME_MAX: Duration = Duration::from_secs(30);

/// Timers of a kind that ring and are not done yet; the others wait.
const RINGING_MAX: i64 = 256;

/// Between two attempts to listen: doubled each time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Ours: when it was to ring.
const AT: &str = "steward-timer-at";

/// Timers on JetStream. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamTimers {
    client: Client,
    context: jetstream::Context,
}

impl JetStreamTimers {
    /// Timers, over a connection of their own.
    pub async fn connect(credentials: &Credentials) -> Result<Self, ConnectError> {
        Ok(Self::over(&Connection::connect(credentials).await?))
    }

    /// Timers, over a connection that is there.
    pub fn over(connection: &Connection) -> Self {
        let context = jetstream::ContextBuilder::new().timeout(ANSWER_TIME_MAX).build(connection.client.clone());
        Self { client: connection.client.clone(), context }
    }
}

fn subject(kind: &str, key: &TimerKey) -> Result<String, BoxError> {
    if is_token(&key.kind) {
        Ok(format!("{kind}.{}.{}.{}", key.kind, key.tenant, key.id))
    } else {
        Err(format!("{:?} is no kind of timer", key.kind).into())
    }
}

/// Reads `due.<kind>.<tenant>.<id>`.
fn key(subject: &str) -> Result<TimerKey, BoxError> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let ["due", kind, tenant, id] = tokens[..] else {
        return Err(format!("{subject:?} is no timer").into());
    };
    Ok(TimerKey { tenant: tenant.parse()?, kind: kind.to_owned(), id: id.parse()? })
}

#[derive(Serialize)]
struct Purge<'a> {
    filter: &'a str,
}

#[async_trait]
impl Timers for JetStreamTimers {
    async fn set(&self, key: &TimerKey, at: Timestamp, payload: Vec<u8>) -> Result<(), BoxError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Schedule", format!("@at {at}"));
        headers.insert("Nats-Schedule-Target", subject("due", key)?);
        headers.insert(AT, at.to_string());
        let subject = subject("tmr", key)?;
        api::publish(&self.client, &subject, headers, payload.into(), ANSWER_TIME_MAX).await?;
        Ok(())
    }

    async fn cancel(&self, key: &TimerKey) -> Result<(), BoxError> {
        let purge = format!("$JS.API.STREAM.PURGE.{TIMERS_STREAM}");
        // Also one that rings already: it has nothing to say any more.
        for subject in [subject("tmr", key)?, subject("due", key)?] {
            api::execute(&self.client, &purge, &Purge { filter: &subject }).await?;
        }
        Ok(())
    }

    async fn due(&self, kind: &str) -> Result<BoxStream<'static, Box<dyn Due>>, BoxError> {
        if !is_token(kind) {
            return Err(format!("{kind:?} is no kind of timer").into());
        }
        let ringing = self.ringing(kind).await?;
        let state = (self.clone(), kind.to_owned(), Some(ringing));
        Ok(futures::stream::unfold(state, |(timers, kind, mut ringing)| async move {
            let due = timers.next(&kind, &mut ringing).await;
            Some((due, (timers, kind, ringing)))
        })
        .boxed())
    }
}

impl JetStreamTimers {
    /// The next timer of `kind`; begins to listen again for as long as it takes.
    async fn next(&self, kind: &str, listening: &mut Option<pull::Stream>) -> Box<dyn Due> {
        let mut pause = PAUSE_MIN;
        loop {
            let failed = match listening {
                Some(ringing) => match ringing.next().await {
                    Some(Ok(message)) => match Ringing::read(message) {
                        Ok(ringing) => return Box::new(ringing),
                        Err(error) => {
                            tracing::warn!(kind, error, "a timer that cannot be read");
                            continue;
                        }
                    },
                    Some(Err(error)) => error.into(),
                    None => "the server ended it".into(),
                },
                None => match self.ringing(kind).await {
                    Ok(ringing) => {
                        *listening = Some(ringing);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            tracing::debug!(kind, error = failed, "timers are not heard; listening again");
            *listening = None;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ringing(&self, kind: &str) -> Result<pull::Stream, BoxError> {
        let config = pull::Config {
            durable_name: Some(format!("due-{kind}")),
            filter_subject: format!("due.{kind}.*.*"),
            ack_policy: AckPolicy::Explicit,
            ack_wait: DONE_TIME_MAX,
            max_ack_pending: RINGING_MAX,
            ..pull::Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, TIMERS_STREAM).await?;
        Ok(consumer.stream().heartbeat(Duration::from_secs(1)).expires(Duration::from_secs(5)).messages().await?)
    }
}

struct Ringing {
    key: TimerKey,
    at: Timestamp,
    message: Message,
}

impl Ringing {
    fn read(message: Message) -> Result<Self, BoxError> {
        let at = message.headers.as_ref().and_then(|headers| headers.get_last(AT)).ok_or("it does not say when")?;
        Ok(Self { key: key(&message.subject)?, at: at.as_str().parse()?, message })
    }
}

#[async_trait]
impl Due for Ringing {
    fn key(&self) -> &TimerKey {
        &self.key
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    async fn done(self: Box<Self>) -> Result<(), BoxError> {
        let acknowledged = self.message.double_ack_with(AckKind::Ack);
        tokio::time::timeout(ANSWER_TIME_MAX, acknowledged).await??;
        Ok(())
    }
}
