//! A log that can stop saying where its end is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::id::CommitId;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;
use steward_ports::log::{EventLog, Filter, Follow, LogError, Published, Stored};

/// Passes everything on, except requests for the end while it is frozen.
pub(crate) struct Freezing {
    inner: Arc<dyn EventLog>,
    frozen: Arc<AtomicBool>,
}

impl Freezing {
    pub(crate) fn new(inner: Arc<dyn EventLog>, frozen: Arc<AtomicBool>) -> Self {
        Self { inner, frozen }
    }
}

#[async_trait]
impl EventLog for Freezing {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }
    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published {
        self.inner.publish(stream, expected, commit, bytes).await
    }
    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError> {
        self.inner.slot(stream, after).await
    }
    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError> {
        self.inner.load(stream, after).await
    }
    async fn last(&self, filter: &Filter) -> Result<Position, LogError> {
        if self.frozen.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.last(filter).await
    }
    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError> {
        self.inner.at(shard, position).await
    }
    async fn time(&self) -> Result<Timestamp, LogError> {
        self.inner.time().await
    }
    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError> {
        self.inner.follow(filter, after).await
    }
}
