//! One projector's part of the store for one shard: its rows, and the cursor that is written with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use steward_events::BoxError;
use steward_events::digest::CommitHash;
use steward_events::quantity::{Position, Shard};
use steward_events::request::Format;
use steward_ports::store::{Store, Write};

use crate::engine::key::Key;

/// The cursor's key. No tenant's name begins with a zero byte.
const CURSOR: &[u8] = b"\0checkpoint";

/// So many entries are read from the store at once.
const PAGE: usize = 1_000;

/// The last commit whose events are in the rows. The hash shows whether the log still holds that very commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Where it stands.
    pub position: Position,
    /// Its hash.
    pub hash: CommitHash,
}

/// The rows of one projector and shard, in a tree of a store.
pub struct ViewStore {
    store: Arc<dyn Store>,
    name: String,
    /// Held for writing while a batch goes in, so that a reader sees all of a batch or nothing.
    cursor: RwLock<Cursor>,
    /// When the cursor was first moved without being written, if it was.
    unwritten: Mutex<Option<Instant>>,
    /// How often the store had been opened again when the cursor was read.
    reopened: AtomicU64,
}

/// The name of the tree of `projector` and `shard`.
pub fn name(projector: &str, shard: Shard) -> String {
    format!("{projector}.{:02}", shard.0)
}

impl ViewStore {
    /// The tree of `projector` and `shard`. Nothing is read yet: see [`Self::reload`].
    pub fn new(store: Arc<dyn Store>, projector: &str, shard: Shard) -> Self {
        let (cursor, unwritten) = (RwLock::default(), Mutex::default());
        Self { store, name: name(projector, shard), cursor, unwritten, reopened: AtomicU64::new(0) }
    }

    /// Reads the cursor: at the start, and after a write that failed, for only the store knows whether it took
    /// effect.
    pub(crate) fn reload(&self) -> Result<Cursor, BoxError> {
        let mut current = self.cursor.write().unwrap_or_else(PoisonError::into_inner);
        self.reopened.store(self.store.reopened(), Ordering::Relaxed);
        *current = self.get(CURSOR)?.unwrap_or_default();
        *self.unwritten() = None;
        Ok(*current)
    }

    /// Whether the rows may be others than those that the cursor was read with.
    ///
    /// # Errors
    /// If so; [`Self::reload`] helps.
    pub(crate) fn still_open(&self) -> Result<(), BoxError> {
        if self.store.reopened() == self.reopened.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(format!("the store of {} was opened again; its cursor is read anew", self.name).into())
    }

    /// How far the rows are.
    pub fn cursor(&self) -> Cursor {
        *self.cursor.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row at `key`, as the one writer of this tree reads it.
    pub(crate) fn get<R: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<R>, BoxError> {
        let bytes = self.store.get(&self.name, key)?;
        self.still_open()?;
        let Some(bytes) = bytes else { return Ok(None) };
        Format::MessagePack.read(&bytes).map(Some).map_err(|error| unreadable(&self.name, &error))
    }

    /// The keys that begin with `prefix`, as the one writer of this tree reads them.
    pub(crate) fn keys(&self, prefix: &Key) -> Result<Vec<Vec<u8>>, BoxError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = keys.last().map(Vec::as_slice);
            let page = self.store.scan(&self.name, prefix.as_bytes(), after, PAGE)?;
            self.still_open()?;
            let full = page.len() == PAGE;
            keys.extend(page.into_iter().map(|(key, _)| key));
            if !full {
                return Ok(keys);
            }
        }
    }

    /// Whether the store still holds what was written.
    pub(crate) fn look(&self) -> Result<(), BoxError> {
        self.get::<Cursor>(CURSOR).map(|_| ())
    }

    /// Writes rows and cursor as one batch.
    pub(crate) fn write(&self, mut writes: Vec<Write>, cursor: Cursor) -> Result<(), BoxError> {
        writes.push(Write::Put(CURSOR.to_vec(), Format::MessagePack.write(&cursor)?));
        let mut current = self.cursor.write().unwrap_or_else(PoisonError::into_inner);
        self.store.write_since(self.reopened.load(Ordering::Relaxed), &self.name, writes)?;
        *current = cursor;
        *self.unwritten() = None;
        Ok(())
    }

    /// Moves the cursor past commits that changed no rows, in memory only and without waiting. False if the last written
    /// one is older than `time_max`, or a reader holds it: then it is to be written.
    pub(crate) fn pass(&self, cursor: Cursor, time_max: Duration) -> bool {
        let Ok(mut current) = self.cursor.try_write() else { return false };
        if self.unwritten().get_or_insert_with(Instant::now).elapsed() >= time_max {
            return false;
        }
        *current = cursor;
        true
    }

    /// Writes the cursor if it was moved without being written.
    pub(crate) fn keep_cursor(&self) -> Result<(), BoxError> {
        let moved = self.unwritten().is_some();
        if moved { self.write(Vec::new(), self.cursor()) } else { Ok(()) }
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the tree of another version of this projector.
    pub(crate) fn drop_other(&self, projector: &str, shard: Shard) -> Result<(), BoxError> {
        self.store.drop_tree(&name(projector, shard))
    }

    /// The rows as they are now; the fold waits until the snapshot is dropped.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { view: self, cursor: self.cursor.read().unwrap_or_else(PoisonError::into_inner) }
    }
}

fn unreadable(tree: &str, error: &str) -> BoxError {
    format!("a row of {tree} is not readable ({error}): delete the store's folder, the log rebuilds it").into()
}

/// The rows at one position.
pub struct Snapshot<'a> {
    view: &'a ViewStore,
    cursor: RwLockReadGuard<'a, Cursor>,
}

impl Snapshot<'_> {
    /// Of which state these are the rows.
    pub fn position(&self) -> Position {
        self.cursor.position
    }

    /// The row at `key`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn get<R: DeserializeOwned>(&self, key: &Key) -> Result<Option<R>, BoxError> {
        self.view.get(key.as_bytes())
    }

    /// Calls `each` with the keys that begin with `prefix` and their rows, in order, those after `after` only, until it
    /// says `false`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn scan<R: DeserializeOwned>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        mut each: impl FnMut(&[u8], R) -> bool,
    ) -> Result<(), BoxError> {
        let mut after = after.map(|key| key.as_bytes().to_vec());
        loop {
            let page = self.view.store.scan(&self.view.name, prefix.as_bytes(), after.as_deref(), PAGE)?;
            self.view.still_open()?;
            let full = page.len() == PAGE;
            for (key, value) in &page {
                let row = Format::MessagePack.read(value).map_err(|error| unreadable(&self.view.name, &error))?;
                if !each(key, row) {
                    return Ok(());
                }
            }
            match page.into_iter().next_back() {
                Some((key, _)) if full => after = Some(key),
                _ => return Ok(()),
            }
        }
    }

    /// The first key after all keys of the tenant of `after`, or the first of all; its tenant's name begins it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn next_tenant(&self, after: Option<&str>) -> Result<Option<String>, BoxError> {
        // A tenant's keys begin with its name and a zero byte; 1 sorts after every one of them. Without a tenant
        // the search begins after the cursor, whose key begins with a zero byte.
        let bound = after.map_or_else(|| vec![1], |tenant| [tenant.as_bytes(), &[1]].concat());
        let found = self.view.store.scan(&self.view.name, b"", Some(&bound), 1)?;
        self.view.still_open()?;
        let key = found.into_iter().next().map(|(key, _)| key);
        Ok(key.and_then(|key| String::from_utf8(key.split(|byte| *byte == 0).next()?.to_vec()).ok()))
    }
}
