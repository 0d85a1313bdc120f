//! What a read model is: a named, versioned fold of some kinds of facts into rows.

use serde::{Serialize, de::DeserializeOwned};

use steward_events::commit::{DecodeError, Recorded};
use steward_events::event::AggregateKind;
use steward_events::id::TenantId;
use steward_ports::log::Stored;

use crate::rows::Rows;

/// A fold: no clock, no input or output but its rows. The same facts in the same order give the same rows, byte for
/// byte, however they came in batches and how often the process died between them.
pub trait Projector: Send + Sync + 'static {
    /// Its name with its version, e.g. `cost-report-v1`. Other rows from the same facts are another version: built
    /// beside the old one.
    const NAME: &'static str;
    /// Names of its older versions: their trees are dropped when this one has caught up.
    const REPLACES: &'static [&'static str] = &[];
    /// The kinds of facts that it reads.
    const KINDS: &'static [AggregateKind];
    /// What it keeps under a key.
    type Row: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The most rows that each fold keeps in memory between batches, if less than the configuration says.
    const ROWS_HELD_MAX: usize = usize::MAX;

    /// Takes in one commit as it is stored: the facts of the kinds that it reads. A fold of the bytes themselves does
    /// more, and reads only what it must.
    ///
    /// # Errors
    /// [`DecodeError`]: this build cannot read it, and stops.
    fn take(stored: &Stored, rows: &mut Rows<Self::Row>) -> Result<(), DecodeError> {
        if Self::KINDS.contains(&stored.stream.kind) {
            for recorded in stored.commit()?.recorded(stored.position) {
                Self::apply(&recorded, rows);
            }
        }
        Ok(())
    }

    /// Takes in one fact. Total: what has happened cannot be refused.
    fn apply(recorded: &Recorded<'_>, rows: &mut Rows<Self::Row>);
}

/// A row's key: the tenant first, so that a tenant's rows lie together, can be exported, and can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The beginning of all keys of `tenant`.
    pub fn of(tenant: &TenantId) -> Self {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(tenant.as_str().as_bytes());
        bytes.push(0);
        Self(bytes)
    }

    /// The same, then a text. No name in Steward holds a zero byte, so texts end with one.
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// The same, then a number, so that keys sort by it.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A bound after all keys that begin with this one and go on with a text: texts are ASCII.
    pub fn end(mut self) -> Self {
        self.0.push(0xff);
        self
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
