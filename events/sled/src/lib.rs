//! The store port on sled.
//!
//! This crate knows how to open, mark and batch-write a sled folder. It must not know what is kept there: views and
//! snapshots come as bytes, and nothing is kept that the log cannot rebuild.

use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::BoxError;
use steward_events::setting::Span;
use steward_ports::store::{Pair, Store, Write};

mod again;

use again::Again;

/// The file that says whose folder it is.
const MARKER: &str = "steward-store";
/// Its contents: raised if the layout of keys within trees ever changes for all views at once.
const MARKER_TEXT: &str = "steward store 1\n";
/// Its contents until the store was flushed for the first time.
const MARKER_TEXT_UNFINISHED: &str = "steward store 1, being made\n";
/// Tree and key of an entry that every whole store holds: sled takes a file of garbage for an empty one.
const WITNESS: (&str, &[u8]) = ("__steward", b"made");

/// How a store is opened: the section `[store]` of steward.toml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much memory the store may use to cache pages.
    pub cache_bytes_max: u64,
    /// After how long writes are made durable although nobody asks for it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Span")]
    pub flush_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { cache_bytes_max: 64 * 1024 * 1024, flush_every: Duration::from_millis(500) }
    }
}

/// A folder cannot be used as a store. Deleting a damaged one is safe: the log rebuilds it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It holds something else.
    #[error("{path} holds files that are not a Steward store; choose an empty folder")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// Another build made it.
    #[error(
        "{path} was made by another version of Steward ({found}); delete the folder, and it is rebuilt from the log"
    )]
    OtherVersion {
        /// The folder.
        path: PathBuf,
        /// What its marker says.
        found: String,
    },
    /// Another process has it open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Its files do not fit together.
    #[error("the store in {path} is damaged; delete the folder, and it is rebuilt from the log ({reason})")]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What sled says.
        reason: String,
    },
    /// The file system says no.
    #[error("{path} cannot be opened")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A store in one folder, open in one process.
#[derive(Debug)]
pub struct SledStore {
    again: Again,
    /// None while it cannot be opened again.
    db: RwLock<Option<sled::Db>>,
    /// Its disk failed it; sled takes nothing more until it is opened again.
    failed: AtomicBool,
    reopened: AtomicU64,
}

impl SledStore {
    /// Opens the store in `path`, or makes it if the folder is absent or empty.
    ///
    /// # Errors
    /// [`Error`], which says what to do about it.
    pub fn open(path: &Path, config: &Config) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        let finished = claim(path)?;
        let db = open_db(path, config)?;
        let witness = db.open_tree(WITNESS.0).and_then(|tree| tree.get(WITNESS.1));
        match (finished, witness.map_err(|error| damaged(error.to_string()))?) {
            (true, Some(_)) => {}
            (true, None) => return Err(damaged("its contents are gone".to_owned())),
            (false, _) => {
                let written = db.open_tree(WITNESS.0).and_then(|tree| tree.insert(WITNESS.1, &[]));
                written.and_then(|_| db.flush()).map_err(|error| damaged(error.to_string()))?;
                fs::write(path.join(MARKER), MARKER_TEXT).map_err(io)?;
            }
        }
        let again = Again::new(path, config);
        let (failed, reopened) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Self { again, db: RwLock::new(Some(db)), failed, reopened })
    }

    /// Does `what`, with the store opened again first if its disk failed it before.
    fn with<T>(&self, what: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, BoxError> {
        if self.failed.load(Ordering::Acquire) {
            self.open_again()?;
        }
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.on(db.as_ref(), what)
    }

    fn on<T>(&self, db: Option<&sled::Db>, what: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, BoxError> {
        let db = db.ok_or("the store is not open")?;
        what(db).map_err(|error| {
            if matches!(error, sled::Error::Io(_)) {
                self.failed.store(true, Ordering::Release);
            }
            error.into()
        })
    }

    fn open_again(&self) -> Result<(), BoxError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.again.may_try()?;
        // Closed first: a folder is open once.
        drop(db.take());
        let opened = open_db(&self.again.path, &self.again.config)?;
        if opened.open_tree(WITNESS.0)?.get(WITNESS.1)?.is_none() {
            return Err(Error::Damaged { path: self.again.path.clone(), reason: "its contents are gone".into() }.into());
        }
        *db = Some(opened);
        self.reopened.fetch_add(1, Ordering::AcqRel);
        self.failed.store(false, Ordering::Release);
        drop(db);
        tracing::warn!("the store's disk had failed it; it was opened again");
        Ok(())
    }
}

fn open_db(path: &Path, config: &Config) -> Result<sled::Db, Error> {
    let flush_every_ms = u64::try_from(config.flush_every.as_millis()).unwrap_or(u64::MAX);
    let config =
        sled::Config::new().path(path).cache_capacity(config.cache_bytes_max).flush_every_ms(Some(flush_every_ms));
    // sled asserts its invariants while it recovers: on damaged files that is a panic, here an error like others.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) if source.to_string().contains("could not acquire lock") => {
            Err(Error::InUse { path: path.to_owned() })
        }
        Ok(Err(sled::Error::Io(source))) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(Error::Io { path: path.to_owned(), source })
        }
        Ok(Err(error)) => Err(Error::Damaged { path: path.to_owned(), reason: error.to_string() }),
        Err(_) => Err(Error::Damaged { path: path.to_owned(), reason: "recovery failed".to_owned() }),
    }
}

/// Checks whose folder it is and claims an empty one. False if the store in it has yet to be made.
fn claim(path: &Path) -> Result<bool, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(io)?;
    let marker = path.join(MARKER);
    match fs::read(&marker) {
        Ok(text) if text == MARKER_TEXT.as_bytes() => Ok(true),
        // Begun but not ended, by a process that died.
        Ok(text)
            if MARKER_TEXT_UNFINISHED.as_bytes().starts_with(&text) || MARKER_TEXT.as_bytes().starts_with(&text) =>
        {
            Ok(false)
        }
        Ok(text) => {
            let found = String::from_utf8_lossy(&text).trim().chars().take(40).collect();
            Err(Error::OtherVersion { path: path.to_owned(), found })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::read_dir(path).map_err(io)?.next().is_some() {
                return Err(Error::Foreign { path: path.to_owned() });
            }
            fs::write(&marker, MARKER_TEXT_UNFINISHED).map_err(io)?;
            Ok(false)
        }
        Err(error) => Err(io(error)),
    }
}

impl Store for SledStore {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        self.with(|db| Ok(db.open_tree(tree)?.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, tree: &str, prefix: &[u8], after: Option<&[u8]>, count_max: usize) -> Result<Vec<Pair>, BoxError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.with(|db| {
            let entries = db.open_tree(tree)?.range::<&[u8], _>((from, Bound::Unbounded));
            let mut pairs = Vec::new();
            for entry in entries.take(count_max) {
                let (key, value) = entry?;
                if !key.starts_with(prefix) {
                    break;
                }
                pairs.push((key.to_vec(), value.to_vec()));
            }
            Ok(pairs)
        })
    }

    fn write(&self, tree: &str, writes: Vec<Write>) -> Result<(), BoxError> {
        self.with(|db| db.open_tree(tree)?.apply_batch(batch(writes)))
    }

    fn drop_tree(&self, tree: &str) -> Result<(), BoxError> {
        self.with(|db| db.drop_tree(tree).map(|_| ()))
    }

    fn flush(&self) -> Result<(), BoxError> {
        self.with(|db| db.flush().map(|_| ()))
    }

    fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Acquire)
    }

    fn write_since(&self, reopened: u64, tree: &str, writes: Vec<Write>) -> Result<(), BoxError> {
        if self.failed.load(Ordering::Acquire) {
            self.open_again()?;
        }
        // Not opened again while this is held.
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        if self.reopened() != reopened {
            return Err("the store was opened again meanwhile; read what it holds".into());
        }
        self.on(db.as_ref(), |db| db.open_tree(tree)?.apply_batch(batch(writes)))
    }

    fn size_bytes(&self) -> Result<u64, BoxError> {
        self.with(sled::Db::size_on_disk)
    }
}

fn batch(writes: Vec<Write>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for write in writes {
        match write {
            Write::Put(key, value) => batch.insert(key, value),
            Write::Delete(key) => batch.remove(key),
        }
    }
    batch
}
