//! Contents beside the log: bytes that end by themselves, such as the answer to a call that may come again. Whoever keeps
//! them seals them first; the log says what happened, and nothing here is needed to know that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::BoxError;
use steward_events::id::{TenantId, is_token};

use crate::clock::Clock;

/// The most bytes of one content; what is longer is kept in parts.
pub const CONTENT_BYTES_MAX: usize = 512 * 1024;

/// The name of a content: whose, of which kind, which one, which part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentName {
    tenant: TenantId,
    kind: &'static str,
    id: String,
    part: u32,
}

impl ContentName {
    /// A name; none if `id` is no token (letters, digits, `_` and `-`, at most 64). `kind` is a token of the program's own.
    pub fn new(tenant: &TenantId, kind: &'static str, id: &str) -> Option<Self> {
        is_token(id).then(|| Self { tenant: tenant.clone(), kind, id: id.to_owned(), part: 0 })
    }

    /// The same content's part of this number, from 0.
    #[must_use]
    pub fn part(&self, part: u32) -> Self {
        Self { part, ..self.clone() }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// As a subject's tokens.
impl fmt::Display for ContentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, kind, id, part } = self;
        write!(f, "{tenant}.{kind}.{id}.{part}")
    }
}

/// Which writing of a name is there: another one after each. None of a name under which nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// What is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Bytes,
    /// Which writing it is.
    pub revision: Revision,
}

/// What must be under a name for something to be written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Whatever is there.
    Anything,
    /// Nothing.
    Nothing,
    /// This writing.
    Exactly(Revision),
}

/// Keeps contents.
#[async_trait]
pub trait ContentStore: Send + Sync + 'static {
    /// What is kept under `name`: what was acknowledged before this was called is found.
    async fn get(&self, name: &ContentName) -> Result<Option<Content>, BoxError>;

    /// Keeps `bytes`, at most [`CONTENT_BYTES_MAX`], under `name` for so long, in whole seconds and at least one, in place
    /// of what is there. None if something else than `before` is there: of rivals one writes.
    async fn put(
        &self,
        name: &ContentName,
        bytes: Bytes,
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, BoxError>;

    /// Removes what is kept under `name`.
    async fn remove(&self, name: &ContentName) -> Result<(), BoxError>;

    /// Removes all that is kept of `tenant`: how many contents these were.
    async fn remove_all(&self, tenant: &TenantId) -> Result<u64, BoxError>;
}

/// A store in memory, for tests and simulations.
pub struct MemoryContents {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    contents: BTreeMap<ContentName, (Content, Duration)>,
    written: u64,
}

impl MemoryContents {
    /// One whose contents end by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// How many contents are there.
    pub fn count(&self) -> usize {
        self.kept().contents.len()
    }

    /// What is there now.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.contents.retain(|_, (_, until)| *until > now);
        kept
    }
}

#[async_trait]
impl ContentStore for MemoryContents {
    async fn get(&self, name: &ContentName) -> Result<Option<Content>, BoxError> {
        Ok(self.kept().contents.get(name).map(|(content, _)| content.clone()))
    }

    async fn put(
        &self,
        name: &ContentName,
        bytes: Bytes,
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, BoxError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(format!("{name} is larger than {CONTENT_BYTES_MAX} bytes").into());
        }
        let mut kept = self.kept();
        let there = kept.contents.get(name).map(|(content, _)| content.revision);
        let fits = match before {
            Before::Anything => true,
            Before::Nothing => there.is_none(),
            Before::Exactly(revision) => there == Some(revision),
        };
        if !fits {
            return Ok(None);
        }
        kept.written += 1;
        let revision = Revision(kept.written);
        let until = self.clock.monotonic() + kept_for;
        kept.contents.insert(name.clone(), (Content { bytes, revision }, until));
        Ok(Some(revision))
    }

    async fn remove(&self, name: &ContentName) -> Result<(), BoxError> {
        self.kept().contents.remove(name);
        Ok(())
    }

    async fn remove_all(&self, tenant: &TenantId) -> Result<u64, BoxError> {
        let mut kept = self.kept();
        let before = kept.contents.len();
        kept.contents.retain(|name, _| name.tenant() != tenant);
        Ok((before - kept.contents.len()) as u64)
    }
}
