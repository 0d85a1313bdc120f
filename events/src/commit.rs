//! What one append stores: 1..n entries, each a command's events, chained by hash to the commit before.
//!
//! MessagePack with named fields. Bytes from the log are hostile until decoded: [`Commit::decode`] checks that the
//! contents are what the subject says. Hashes are taken over the very bytes stored, never over a re-encoding.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{BodyHash, CommitHash};
use crate::event::{AggregateEvents, AggregateKind, Event, UsageEvent};
use crate::id::{CommandId, CommitId, CorrelationId, PrincipalId, StreamId, TenantId};
use crate::quantity::{Position, SchemaVersion, Version};
use crate::request::msgpack;
use crate::sender::KeyRef;
use crate::stream::StreamName;
use crate::timestamp::Timestamp;

mod compact;
mod journal;
mod packed;

use journal::Journal;

/// The most bytes that one commit may have.
pub const COMMIT_BYTES_MAX: usize = 512 * 1024;

/// One command's events, with who, when and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry<E = Event> {
    /// The command that was decided.
    pub command: CommandId,
    /// When, by the handler's clock; never before the entry before it.
    pub at: Timestamp,
    /// Who acted.
    pub actor: PrincipalId,
    /// For whom, if not for themselves.
    pub on_behalf_of: Option<PrincipalId>,
    /// With which key, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRef>,
    /// What led to the command: an event `<stream>@<position>`, or another command.
    pub causation: Option<String>,
    /// The chain it belongs to.
    pub correlation: CorrelationId,
    /// What the command asked for, so that its id is not used for another. None for parts of Steward, whose commands are
    /// idempotent by nature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyHash>,
    /// What happened; never empty.
    pub events: Vec<E>,
}

/// One append.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its own id; also the broker's duplicate key.
    pub id: CommitId,
    /// Where it belongs.
    pub stream: StreamName,
    /// Its number in its stream, from 1.
    pub version: Version,
    /// Hash of the commit before.
    pub prev: CommitHash,
    /// What it holds; never empty.
    pub entries: Vec<Entry>,
}

/// One event, with all that is known of its recording.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Where.
    pub stream: &'a StreamName,
    /// The commit's place in its shard.
    pub position: Position,
    /// The commit's number in its stream.
    pub version: Version,
    /// Its place within the commit, from 0, over all entries.
    pub index: u32,
    /// Who, when, why.
    pub entry: &'a Entry,
    /// What.
    pub event: &'a Event,
}

/// Bytes that are no commit of the stream they stand in.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a commit at all.
    #[error("not a commit of {stream}: {reason}")]
    Malformed {
        /// Where it stands.
        stream: StreamName,
        /// What is wrong.
        reason: String,
    },
    /// A later build of Steward wrote it: upgrade readers before writers.
    #[error("{stream} has schema {found} of {kind}, and this build reads schemas up to {known}: upgrade Steward")]
    NewerSchema {
        /// Where it stands.
        stream: StreamName,
        /// Whose events.
        kind: AggregateKind,
        /// Its schema.
        found: SchemaVersion,
        /// The newest this build reads.
        known: SchemaVersion,
    },
    /// It says it belongs elsewhere.
    #[error("{stream} holds a commit that belongs to {claims}")]
    Misplaced {
        /// Where it stands.
        stream: StreamName,
        /// Where it says it belongs.
        claims: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<L> {
    commit: CommitId,
    tenant: TenantId,
    aggregate: AggregateKind,
    id: StreamId,
    version: Version,
    prev: CommitHash,
    schema: SchemaVersion,
    entries: L,
}

/// What every commit says before its entries; read alone to tell a newer schema from damage.
#[derive(Deserialize)]
struct Header {
    schema: SchemaVersion,
}

impl Commit {
    /// The bytes to store.
    ///
    /// # Errors
    /// If an entry holds an event of another aggregate, or the whole is larger than [`COMMIT_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, crate::BoxError> {
        if let Some(stray) = self.entries.iter().flat_map(|e| &e.events).find(|event| event.kind() != self.stream.kind)
        {
            return Err(format!("{} does not belong in {}", stray.name(), self.stream).into());
        }
        let bytes = match self.stream.kind {
            // A call leaves two events here, each with much that other calls say as well.
            AggregateKind::Usage => {
                let journal = Journal::of(&self.entries).ok_or("a journal of calls holds nothing else")?;
                rmp_serde::to_vec_named(&self.wire(journal))?
            }
            _ => rmp_serde::to_vec_named(&self.wire(&self.entries))?,
        };
        if bytes.len() > COMMIT_BYTES_MAX {
            return Err(format!("a commit of {} bytes; {COMMIT_BYTES_MAX} are allowed", bytes.len()).into());
        }
        Ok(bytes)
    }

    fn wire<L>(&self, entries: L) -> Wire<L> {
        Wire {
            commit: self.id.clone(),
            tenant: self.stream.tenant.clone(),
            aggregate: self.stream.kind,
            id: self.stream.id.clone(),
            version: self.version,
            prev: self.prev,
            schema: self.stream.kind.schema(),
            entries,
        }
    }

    /// Reads what stands in `stream`.
    ///
    /// # Errors
    /// [`DecodeError`]: damaged, newer than this build, or not of this stream.
    pub fn decode(stream: &StreamName, bytes: &[u8]) -> Result<Self, DecodeError> {
        if stream.kind == AggregateKind::Usage {
            let read = || decode_as::<UsageEvent, _>(stream, bytes, Journal::into_entries);
            return Self::as_written(stream, bytes).map_or_else(read, Ok);
        }
        macro_rules! decode_by_kind {
            ($($(#[$doc:meta])+ $module:ident: $kind:ident, $events:ident $(, $commands:ident)?;)+) => {
                match stream.kind {
                    $(AggregateKind::$kind => decode::<crate::event::$events>(stream, bytes),)+
                }
            };
        }
        crate::aggregates!(decode_by_kind)
    }

    /// Its events in order; `position` is where the commit stands in its shard.
    pub fn recorded(&self, position: Position) -> impl Iterator<Item = Recorded<'_>> {
        let events = self.entries.iter().flat_map(|entry| entry.events.iter().map(move |event| (entry, event)));
        (0..).zip(events).map(move |(index, (entry, event))| Recorded {
            stream: &self.stream,
            position,
            version: self.version,
            index,
            entry,
            event,
        })
    }
}

fn decode<E: AggregateEvents>(stream: &StreamName, bytes: &[u8]) -> Result<Commit, DecodeError> {
    let widen = |entries: Vec<Entry<E>>| Ok(entries.into_iter().map(Entry::widen).collect());
    decode_as::<E, _>(stream, bytes, widen)
}

/// Reads a commit whose entries are written in the form `L`.
fn decode_as<E: AggregateEvents, L: DeserializeOwned>(
    stream: &StreamName,
    bytes: &[u8],
    entries: impl FnOnce(L) -> Result<Vec<Entry>, String>,
) -> Result<Commit, DecodeError> {
    let malformed = |reason: String| DecodeError::Malformed { stream: stream.clone(), reason };
    let wire: Wire<L> = msgpack::read(bytes).map_err(|error| match msgpack::read::<Header>(bytes) {
        Ok(Header { schema }) if schema > E::SCHEMA => {
            DecodeError::NewerSchema { stream: stream.clone(), kind: E::KIND, found: schema, known: E::SCHEMA }
        }
        _ => malformed(error.to_string()),
    })?;
    if wire.schema > E::SCHEMA {
        return Err(DecodeError::NewerSchema {
            stream: stream.clone(),
            kind: E::KIND,
            found: wire.schema,
            known: E::SCHEMA,
        });
    }
    if (&wire.tenant, wire.aggregate, &wire.id) != (&stream.tenant, stream.kind, &stream.id) {
        let claims = format!("{}.{}.{}", wire.tenant, wire.aggregate, wire.id);
        return Err(DecodeError::Misplaced { stream: stream.clone(), claims });
    }
    let entries = entries(wire.entries).map_err(malformed)?;
    if entries.is_empty() || entries.iter().any(|entry| entry.events.is_empty()) {
        return Err(malformed("it holds no event".to_owned()));
    }
    Ok(Commit { id: wire.commit, stream: stream.clone(), version: wire.version, prev: wire.prev, entries })
}

impl<E: Into<Event>> Entry<E> {
    /// The same entry, its events as any events.
    pub fn widen(self) -> Entry {
        Entry {
            command: self.command,
            at: self.at,
            actor: self.actor,
            on_behalf_of: self.on_behalf_of,
            key: self.key,
            causation: self.causation,
            correlation: self.correlation,
            body: self.body,
            events: self.events.into_iter().map(Into::into).collect(),
        }
    }
}
