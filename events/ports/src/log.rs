//! The log, as a port. Positions are the broker's sequences in one shard; a stream's expected position is the fence.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use steward_events::BoxError;
use steward_events::commit::{Commit, DecodeError};
use steward_events::event::AggregateKind;
use steward_events::id::{CommitId, StreamId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

pub mod memory;
pub mod shared;

/// Which streams of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The shard.
    pub shard: Shard,
    /// One tenant, or all.
    pub tenant: Option<TenantId>,
    /// These kinds; empty means all.
    pub kinds: Vec<AggregateKind>,
    /// One id, or all.
    pub id: Option<StreamId>,
}

impl Filter {
    /// Everything in `shard`.
    pub const fn shard(shard: Shard) -> Self {
        Self { shard, tenant: None, kinds: Vec::new(), id: None }
    }

    /// The same, of these kinds only.
    #[must_use]
    pub fn kinds(self, kinds: &[AggregateKind]) -> Self {
        Self { kinds: kinds.to_vec(), ..self }
    }

    /// The same, of one tenant only.
    #[must_use]
    pub fn tenant(self, tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), ..self }
    }

    /// Just one stream.
    pub fn stream(stream: &StreamName) -> Self {
        Self {
            shard: stream.shard,
            tenant: Some(stream.tenant.clone()),
            kinds: vec![stream.kind],
            id: Some(stream.id.clone()),
        }
    }

    /// True if `stream` is among them.
    pub fn matches(&self, stream: &StreamName) -> bool {
        self.shard == stream.shard
            && self.tenant.as_ref().is_none_or(|tenant| *tenant == stream.tenant)
            && (self.kinds.is_empty() || self.kinds.contains(&stream.kind))
            && self.id.as_ref().is_none_or(|id| *id == stream.id)
    }

    /// The subjects, one a kind.
    pub fn subjects(&self) -> Vec<String> {
        let tenant = self.tenant.as_ref().map_or("*", AsRef::as_ref);
        let id = self.id.as_ref().map_or("*", AsRef::as_ref);
        let subject = |kind: &str| format!("evt.{:02}.{tenant}.{kind}.{id}", self.shard.0);
        if self.kinds.is_empty() {
            vec![subject("*")]
        } else {
            self.kinds.iter().map(|kind| subject(kind.as_str())).collect()
        }
    }
}

/// A commit's bytes as the log holds them.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it stands.
    pub stream: StreamName,
    /// Its sequence in the shard.
    pub position: Position,
    /// When the broker stored it, by the broker's clock.
    pub stored_at: Timestamp,
    /// A commit, until decoded just bytes.
    pub bytes: Bytes,
    /// Kept for all who hold a copy.
    decoded: Arc<OnceLock<Commit>>,
}

impl Stored {
    /// What stands there.
    pub fn new(stream: StreamName, position: Position, stored_at: Timestamp, bytes: Bytes) -> Self {
        Self { stream, position, stored_at, bytes, decoded: Arc::default() }
    }

    /// The commit, decoded once for all copies of this.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no commit of this stream.
    pub fn commit(&self) -> Result<&Commit, DecodeError> {
        if let Some(commit) = self.decoded.get() {
            return Ok(commit);
        }
        let commit = Commit::decode(&self.stream, &self.bytes)?;
        Ok(self.decoded.get_or_init(|| commit))
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        (&self.stream, self.position, self.stored_at, &self.bytes)
            == (&other.stream, other.position, other.stored_at, &other.bytes)
    }
}

impl Eq for Stored {}

/// What became of one attempt to publish.
#[derive(Debug)]
pub enum Published {
    /// Stored there, now or by an earlier attempt with the same commit id.
    Stored(Position),
    /// The stream has moved past the expected position; whose commit took the slot is not said.
    Conflict,
    /// No answer: it may or may not be stored, now or later.
    Unknown(BoxError),
    /// The log will not store this, however often it is tried.
    Refused(BoxError),
}

/// The log cannot be read now.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No answer; try again.
    #[error("the event log is unavailable: {0}")]
    Unavailable(#[source] BoxError),
    /// The log is shorter than what was read from it before: it was restored or tampered with. Nothing goes on.
    #[error("log-went-back: {0}")]
    WentBack(String),
    /// Something in the log is not readable by this build.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
}

/// Commits as they are recorded.
pub type Follow = BoxStream<'static, Result<Stored, LogError>>;

/// The primitives that a log offers. To append, use [`crate::append::append`], which knows the rule for conflicts,
/// duplicates and time-outs.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// How many shards there are; fixed when the log is made.
    fn shards(&self) -> u16;

    /// Tries once to store `bytes` as the commit after `expected` (0: the first) in `stream`.
    async fn publish(&self, stream: &StreamName, expected: Position, commit: &CommitId, bytes: Bytes) -> Published;

    /// The first commit in `stream` after `after`, as the stream's leader sees it.
    async fn slot(&self, stream: &StreamName, after: Position) -> Result<Option<Stored>, LogError>;

    /// All commits of `stream` after `after`, in order. A replica may answer: the newest may be missing.
    async fn load(&self, stream: &StreamName, after: Position) -> Result<Vec<Stored>, LogError>;

    /// The position of the last commit that matches, as the leader sees it; 0 if there is none.
    async fn last(&self, filter: &Filter) -> Result<Position, LogError>;

    /// The commit at `position` in `shard`, if one is there.
    async fn at(&self, shard: Shard, position: Position) -> Result<Option<Stored>, LogError>;

    /// What time it is by the log's own clock, which is the measure of all others: it stamps what is stored.
    async fn time(&self) -> Result<Timestamp, LogError>;

    /// What matches, after `after`, in order, and then whatever comes. Ends only with an error.
    async fn follow(&self, filter: &Filter, after: Position) -> Result<Follow, LogError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_is_its_subject() {
        let name: StreamName = "evt.03.acme.ledger.main".parse().unwrap();
        assert_eq!(name.to_string(), "evt.03.acme.ledger.main");
        for subject in [
            "evt.3.acme.ledger.main",
            "evt.003.acme.ledger.main",
            "evt.+3.acme.ledger.main",
            "evt.03.acme.ledger",
            "evt.03.acme.nope.main",
            "evt.03.*.ledger.main",
            "x.03.acme.ledger.main",
            "evt.03.acme.ledger.main.x",
        ] {
            assert!(subject.parse::<StreamName>().is_err(), "{subject}");
        }
    }
}
