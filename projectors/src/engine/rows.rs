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
    held: Vec<BufferedRow<R>>,
    /// Where each is among these.
    places: HashMap<Arc<[u8]>, usize>,
    changed: Vec<usize>,
    failed: Option<BoxError>,
}

struct BufferedRow<R> {
    key: Arc<[u8]>,
    row: Option<R>,
    changed: bool,
}

impl<R: Serialize + DeserializeOwned> Rows<R> {
    /// Rows over `store`.
    pub fn over(store: Arc<ViewStore>) -> Self {
        Self { store, held: Vec::new(), places: HashMap::new(), changed: Vec::new(), failed: None }
    }

    /// The row at `key`, to be changed, set or (with `None`) removed.
    ///
    /// A fold cannot refuse an event, so it does not see that the store fails: the runner does, and drops the batch.
    pub fn row(&mut self, key: &Key) -> &mut Option<R> {
        let place = self.place(key.as_bytes());
        let held = &mut self.held[place];
        if !held.changed {
            held.changed = true;
            self.changed.push(place);
        }
        &mut held.row
    }

    /// Where the row at `key` is held, from now on.
    fn place(&mut self, key: &[u8]) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let row = self.store.get(key).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            None
        });
        let (key, place) = (Arc::<[u8]>::from(key), self.held.len());
        self.held.push(BufferedRow { key: Arc::clone(&key), row, changed: false });
        self.places.insert(key, place);
        place
    }

    /// The row at `key`, only to be read. It is not kept if it was not: rows that are read once would crowd out others.
    pub fn peek(&mut self, key: &Key) -> Option<std::borrow::Cow<'_, R>>
    where
        R: Clone,
    {
        let key = key.as_bytes();
        if let Some(place) = self.places.get(key) {
            return self.held[*place].row.as_ref().map(std::borrow::Cow::Borrowed);
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
        let place = self.place(key.as_bytes());
        self.held[place].row.as_ref()
    }

    /// The keys that begin with `prefix` and have a row now, in order. Reads the store: for events that are rare.
    pub fn keys(&mut self, prefix: &Key) -> Vec<Key> {
        let stored = self.store.keys(prefix).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            Vec::new()
        });
        let mut keys: BTreeSet<Vec<u8>> = stored.into_iter().collect();
        for held in self.held.iter().filter(|held| held.key.starts_with(prefix.as_bytes())) {
            if held.row.is_some() {
                keys.insert(held.key.to_vec())
            } else {
                keys.remove(&*held.key)
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
        self.changed.sort_unstable_by(|one, other| self.held[*one].key.cmp(&self.held[*other].key));
        let mut writes = Vec::with_capacity(self.changed.len() + 1);
        for place in self.changed.drain(..) {
            let held = &mut self.held[place];
            held.changed = false;
            writes.push(match &held.row {
                Some(row) => Write::Put(held.key.to_vec(), Format::MessagePack.write(row)?),
                None => Write::Delete(held.key.to_vec()),
            });
        }
        Ok(writes)
    }

    /// Forgets unchanged rows if more than `held_max` are held.
    pub fn trim(&mut self, held_max: usize) {
        if self.held.len() > held_max && self.changed.is_empty() {
            self.held.clear();
            self.places.clear();
        }
    }
}
