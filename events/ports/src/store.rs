//! A store for what the log can rebuild: views and snapshots.

use steward_events::BoxError;

#[cfg(feature = "testing")]
pub mod contract;
pub mod memory;

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
}

/// Key and value of one entry.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Ordered keys in named trees. A batch is atomic within its tree, so a view and its checkpoint share one.
///
/// Synchronous: callers on an async runtime keep batches small or use a blocking thread.
pub trait Store: Send + Sync + 'static {
    /// The value of `key`.
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, BoxError>;
    /// Entries whose key begins with `prefix`, in key order, after `after` if given, at most `count_max`.
    fn scan(&self, tree: &str, prefix: &[u8], after: Option<&[u8]>, count_max: usize) -> Result<Vec<Pair>, BoxError>;
    /// Applies all of `writes` or none.
    fn write(&self, tree: &str, writes: Vec<Write>) -> Result<(), BoxError>;
    /// Removes a whole tree.
    fn drop_tree(&self, tree: &str) -> Result<(), BoxError>;
    /// Makes everything written so far survive a crash.
    fn flush(&self) -> Result<(), BoxError>;
    /// How often the store had to be opened again, because its disk failed it. What was written without a flush before may
    /// be gone since, so a reader that remembers more than this number reads again what the store holds.
    fn reopened(&self) -> u64 {
        0
    }
    /// [`Self::write`], but nothing is written if the store was opened again after `reopened` was asked.
    fn write_since(&self, reopened: u64, tree: &str, writes: Vec<Write>) -> Result<(), BoxError> {
        debug_assert_eq!(reopened, 0, "a store that is opened again writes with care");
        self.write(tree, writes)
    }
    /// What the store takes on disk, in bytes.
    fn size_bytes(&self) -> Result<u64, BoxError>;
}
