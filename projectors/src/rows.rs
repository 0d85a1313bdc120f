//! The rows that a fold changes, kept in memory until they are written as one batch.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use steward_events::BoxError;
use steward_events::request::Format;
use steward_ports::store::Write;

use crate::projector::Key;
use crate::tree::Tree;

/// Rows of one tree: read through to the store, written behind.
pub struct Rows<R> {
    tree: Arc<Tree>,
    held: HashMap<Arc<[u8]>, Held<R>>,
    changed: Vec<Arc<[u8]>>,
    failed: Option<BoxError>,
}

struct Held<R> {
    row: Option<R>,
    changed: bool,
}

impl<R: Serialize + DeserializeOwned> Rows<R> {
    /// Rows over `tree`.
    pub fn over(tree: Arc<Tree>) -> Self {
        Self { tree, held: HashMap::new(), changed: Vec::new(), failed: None }
    }

    /// The row at `key`, to be changed, set or (with `None`) removed.
    ///
    /// A fold cannot refuse a fact, so it does not see that the store fails: the runner does, and drops the batch.
    pub fn row(&mut self, key: &Key) -> &mut Option<R> {
        let key = key.as_bytes();
        let known = self.held.get_key_value(key).map(|(shared, held)| (Arc::clone(shared), held.changed));
        let (shared, changed) = known.unwrap_or_else(|| {
            let row = self.tree.get(key).unwrap_or_else(|error| {
                self.failed.get_or_insert(error);
                None
            });
            let shared: Arc<[u8]> = Arc::from(key);
            self.held.insert(Arc::clone(&shared), Held { row, changed: false });
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
        match self.tree.get(key) {
            Ok(row) => row.map(std::borrow::Cow::Owned),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
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
