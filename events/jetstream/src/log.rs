//! The log on JetStream: a shard is a stream `EVT_<nn>`, a Steward stream is a subject in it.
//!
//! What must be true now is asked of the stream's *leader* (`slot`, `last`, `at`); what may lag a little is read from any
//! replica (`load`). A reader believes a message only if it stands under the subject asked for, in the right stream.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::try_join_all;
use steward_events::BoxError;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::shard::STEWARD_SHARD;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::log::{EventLog, Filter, Follow, LogError, Published, Stored};

use crate::ANSWER_TIME_MAX;
use crate::api::{self, CallError, Get, StoredMessage};
use crate::connection::{ConnectError, Connection, Credentials};
use crate::names::log_stream;

mod follow;
mod load;

/// The log on JetStream. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamLog {
    client: Client,
    shards: u16,
    publish_time_max: Duration,
    pace: Option<Duration>,
}

impl JetStreamLog {
    /// A log of `shards` shards, over a connection of its own.
    pub async fn connect(credentials: &Credentials, shards: u16) -> Result<Self, ConnectError> {
        Ok(Self::over(&Connection::connect(credentials).await?, shards))
    }

    /// A log of `shards` shards, over a connection that is there.
    pub fn over(connection: &Connection, shards: u16) -> Self {
        Self { client: connection.client.clone(), shards, publish_time_max: ANSWER_TIME_MAX, pace: None }
    }

    /// The same log, but an append that gets no answer is in doubt after `time_max`.
    #[must_use]
    pub fn with_publish_time_max(self, time_max: Duration) -> Self {
        Self { publish_time_max: time_max.min(ANSWER_TIME_MAX), ..self }
    }

    /// The same log, but its followers hear of what gathered, once in so long; of what comes after a pause at once.
    #[must_use]
    pub fn paced(self, pace: Duration) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// The JetStream stream of `shard`, if there is such a shard.
    fn stream(&self, shard: Shard) -> Result<String, LogError> {
        if shard.0 < self.shards {
            Ok(log_stream(shard))
        } else {
            Err(unavailable(format!("there is no shard {shard}; the log has {}", self.shards)))
        }
    }

    async fn get(&self, shard: Shard, which: &Get<'_>) -> Result<Option<Stored>, LogError> {
        let held = api::get(&self.client, &self.stream(shard)?, which).await.map_err(unavailable)?;
        held.map(|held| stored(shard, held)).transpose()
    }
}

fn unavailable(error: impl Into<BoxError>) -> LogError {
    LogError::Unavailable(error.into())
}

/// What stands in a shard under a subject that names a stream of that shard.
fn stored(shard: Shard, held: StoredMessage) -> Result<Stored, LogError> {
    let stream: StreamName = held.subject.parse().map_err(unavailable)?;
    if stream.shard != shard {
        return Err(unavailable(format!("{stream} stands in shard {shard}")));
    }
    Ok(Stored::new(stream, Position(held.sequence), held.stored_at, held.bytes))
}

#[async_trait]
impl EventLog for JetStreamLog {
    fn shards(&self) -> u16 {
        self.shards
    }

    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        let holder = match self.stream(stream.shard) {
            Ok(holder) => holder,
            Err(error) => return Published::Refused(error.into()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, holder.as_str());
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.0.to_string());
        headers.insert(async_nats::header::NATS_MESSAGE_ID, commit.as_str());
        match api::publish(&self.client, &stream.to_string(), headers, bytes, self.publish_time_max).await {
            Ok(ack) if ack.stream == holder && ack.seq > 0 => Published::Stored(Position(ack.seq)),
            Ok(ack) => Published::Unknown(format!("acknowledged by {} at {}", ack.stream, ack.seq).into()),
            Err(CallError::Api(error)) if error.is_wrong_sequence() => Published::Conflict,
            Err(CallError::Api(error)) if error.is_final() => Published::Refused(error.into()),
            Err(error @ CallError::TooLarge(_)) => Published::Refused(error.into()),
            // Also "no responders": that is normal while a stream elects its leader.
            Err(error) => Published::Unknown(error.into()),
        }
    }

    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        let subject = stream.to_string();
        let next = Get { seq: Some(after.0.saturating_add(1)), next_by_subj: Some(&subject), ..Get::default() };
        let found = self.get(stream.shard, &next).await?;
        match found {
            Some(found) if found.stream != *stream || found.position <= after => Err(unavailable(format!(
                "asked for {stream} after {after}, got {} at {}",
                found.stream, found.position
            ))),
            found => Ok(found),
        }
    }

    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        load::load(&self.client, &self.stream(stream.shard)?, stream, after).await
    }

    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        if *filter == Filter::shard(filter.shard) {
            // Nothing is ever deleted, so that is the stream's own end; as a wildcard it would visit every subject.
            let end = api::last_sequence(&self.client, &self.stream(filter.shard)?).await;
            return end.map(Position).map_err(unavailable);
        }
        let subjects = filter.subjects();
        let last = subjects.iter().map(|subject| async move {
            let last = Get { last_by_subj: Some(subject), ..Get::default() };
            let found = self.get(filter.shard, &last).await?;
            if let Some(stray) = found.as_ref().filter(|found| !filter.matches(&found.stream)) {
                return Err(unavailable(format!("asked for {subject}, got {}", stray.stream)));
            }
            Ok(found.map_or(Position(0), |found| found.position))
        });
        Ok(try_join_all(last).await?.into_iter().max().unwrap_or_default())
    }

    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        if position == Position(0) {
            return Ok(None);
        }
        self.get(shard, &Get { seq: Some(position.0), ..Get::default() }).await
    }

    async fn time(&self) -> Result<Timestamp, LogError> {
        api::time(&self.client, &self.stream(STEWARD_SHARD)?).await.map_err(unavailable)
    }

    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        follow::follow(self.client.clone(), self.stream(filter.shard)?, filter.clone(), after, self.pace).await
    }
}
