//! What the bare client does, for the bench to hold Steward's own figures against. Nothing in the product uses it.
//!
//! It knows streams, subjects and messages; it must not know what a commit is.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer};
use bytes::Bytes;
use futures::StreamExt;
use steward_events::BoxError;
use steward_events::ids::Ids;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_ports::clock::RandomIds;

use crate::connection::Connection;
use crate::names::log_stream;

/// The longest wait for the next message.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Publishes as the client's users do: with an expected sequence, acknowledgement awaited.
#[derive(Clone)]
pub struct Publisher {
    context: jetstream::Context,
}

impl Publisher {
    /// Over a connection that is there.
    pub fn over(connection: &Connection) -> Self {
        Self { context: jetstream::new(connection.client.clone()) }
    }

    /// Stores `bytes` under `stream`'s subject if `expected` is its last position; where it stands then.
    pub async fn publish(&self, stream: &StreamName, expected: Position, bytes: Bytes) -> Result<Position, BoxError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.0.to_string());
        let sent = self.context.publish_with_headers(stream.to_string(), headers, bytes).await?;
        Ok(Position(sent.await?.sequence))
    }
}

/// Reads `count` messages of `shard` after `after` through the client's own ordered consumer; the bytes they hold.
pub async fn read(connection: &Connection, shard: Shard, after: Position, count: u64) -> Result<u64, BoxError> {
    let context = jetstream::new(connection.client.clone());
    let stream = context.get_stream(log_stream(shard)).await?;
    let config = consumer::push::OrderedConfig {
        deliver_subject: connection.client.new_inbox(),
        // Roles may make consumers with names only.
        name: Some(format!("bare-{}", RandomIds::default().unique())),
        deliver_policy: consumer::DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 },
        ..consumer::push::OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let mut bytes = 0;
    for _ in 0..count {
        let next = tokio::time::timeout(SILENCE_MAX, messages.next()).await?;
        bytes += next.ok_or("the consumer ended before the messages did")??.payload.len() as u64;
    }
    Ok(bytes)
}
