//! The rows that a fold changes, kept in memory until they are written as one batch.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use steward_events::BoxError;
use steward_events::request::Format;
use steward_ports::store::Write;

use crate::engine::key::Key;
use crate::engine::view_store::ViewStore;

/// Rows of one view and shard: read through to the store, written behind.
pub struct Rows<R> {
    store: Arc<ViewStore>,
    held: HashMap<Arc<[u8]>, BufferedRow<R>>,
    changed: Vec<Arc<[u8]>>,
    failed: Option<BoxError>,
}

struct BufferedRow<R> {
    row: Option<R>,
    changed: bool,
}

impl<R: Serialize + DeserializeOwned> Rows<R> {
    /// Rows over `store`.
    pub fn over(store: Arc<ViewStore>) -> Self {
        Self { store, held: HashMap::new(), changed: Vec::new(), failed: None }
    }

    /// The row at `key`, to be changed, set or (with `None`) removed.
    ///
    /// A fold cannot refuse an event, so it does not see that the store fails: the runner does, and drops the batch.
    pub fn row(&mut self, key: &Key) -> &mut Option<R> {
        let key = key.as_bytes();
        let known = self.held.get_key_value(key).map(|(shared, held)| (Arc::clone(shared), held.changed));
        let (shared, changed) = known.unwrap_or_else(|| {
            let row = self.store.get(key).unwrap_or_else(|error| {
                self.failed.get_or_insert(error);
                None
            });
            let shared: Arc<[u8]> = Arc::from(key);
            self.held.insert(Arc::clone(&shared), BufferedRow { row, changed: false });
            (shared, false)
        });
        if !changed {
            self.changed.push(shared);
        }
        // Just found or inserted.
        #[allow(clippy::expect_used)]
        let held = self.held.get_mut(key).expect("the row is held");
        held.changed = true;
        &mut held.row
    }

    /// The row at `key`, only to be read. It is not kept if it was not: rows that are read once would crowd out others.
    pub fn peek(&mut self, key: &Key) -> Option<std::borrow::Cow<'_, R>>
    where
        R: Clone,
    {
        let key = key.as_bytes();
        if let Some(held) = self.held.get(key) {
            return held.row.as_ref().map(std::borrow::Cow::Borrowed);
        }
        match self.store.get(key) {
            Ok(row) => row.map(std::borrow::Cow::Owned),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// The row at `key`, only to be read, and kept for the next time: for rows that many events ask for.
    pub fn keep(&mut self, key: &Key) -> Option<&R> {
        let key = key.as_bytes();
        if !self.held.contains_key(key) {
            let row = self.store.get(key).unwrap_or_else(|error| {
                self.failed.get_or_insert(error);
                None
            });
            self.held.insert(Arc::from(key), BufferedRow { row, changed: false });
        }
        self.held.get(key).and_then(|held| held.row.as_ref())
    }

    /// The keys that begin with `prefix` and have a row now, in order. Reads the store: for events that are rare.
    pub fn keys(&mut self, prefix: &Key) -> Vec<Key> {
        let stored = self.store.keys(prefix).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            Vec::new()
        });
        let mut keys: BTreeSet<Vec<u8>> = stored.into_iter().collect();
        for (key, held) in self.held.iter().filter(|(key, _)| key.starts_with(prefix.as_bytes())) {
            if held.row.is_some() {
                keys.insert(key.to_vec())
            } else {
                keys.remove(&**key)
            };
        }
        keys.into_iter().map(Key::from_bytes).collect()
    }

    /// Whether there is nothing to write, and nothing failed.
    pub fn unchanged(&self) -> bool {
        self.changed.is_empty() && self.failed.is_none()
    }

    /// What has changed since the last call, as writes in key order.
    ///
    /// # Errors
    /// If a row could not be read or cannot be written: then all changes are to be dropped with these rows.
    pub fn take_writes(&mut self) -> Result<Vec<Write>, BoxError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.changed.sort_unstable();
        let mut writes = Vec::with_capacity(self.changed.len() + 1);
        for key in self.changed.drain(..) {
            let Some(held) = self.held.get_mut(&key) else { continue };
            held.changed = false;
            writes.push(match &held.row {
                Some(row) => Write::Put(key.to_vec(), Format::MessagePack.write(row)?),
                None => Write::Delete(key.to_vec()),
            });
        }
        Ok(writes)
    }

    /// Forgets unchanged rows if more than `held_max` are held.
    pub fn trim(&mut self, held_max: usize) {
        if self.held.len() > held_max && self.changed.is_empty() {
            self.held.clear();
        }
    }
}
