//! A store in memory: for tests and simulations, by the same contract as the real one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steward_events::BoxError;

use crate::store::{Pair, Store, Write};

type Trees = HashMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Trees>);

impl MemoryStore {
    fn trees(&self) -> MutexGuard<'_, Trees> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(self.trees().get(tree).and_then(|entries| entries.get(key)).cloned())
    }

    fn scan(&self, tree: &str, prefix: &[u8], after: Option<&[u8]>, count_max: usize) -> Result<Vec<Pair>, BoxError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let trees = self.trees();
        let Some(entries) = trees.get(tree) else { return Ok(Vec::new()) };
        let found = entries.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(count_max).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, tree: &str, writes: Vec<Write>) -> Result<(), BoxError> {
        let mut trees = self.trees();
        let entries = trees.entry(tree.to_owned()).or_default();
        for write in writes {
            match write {
                Write::Put(key, value) => _ = entries.insert(key, value),
                Write::Delete(key) => _ = entries.remove(&key),
            }
        }
        Ok(())
    }

    fn drop_tree(&self, tree: &str) -> Result<(), BoxError> {
        self.trees().remove(tree);
        Ok(())
    }

    fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, BoxError> {
        let entries = |tree: &BTreeMap<Vec<u8>, Vec<u8>>| tree.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        Ok(self.trees().values().map(entries).sum::<usize>() as u64)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #[test]
    fn the_store_in_memory_keeps_the_contract() {
        crate::store::contract::keeps(&super::MemoryStore::default());
    }
}
