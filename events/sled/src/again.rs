//! When a store that its disk failed is opened again, and with what. It must not know how.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use steward_events::BoxError;

use crate::Config;

/// Between two attempts: a full disk stays full for a while.
const PAUSE: Duration = Duration::from_secs(1);

/// What is needed to open a store once more.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
    tried: Mutex<Option<Instant>>,
}

impl Again {
    pub(crate) fn new(path: &Path, config: &Config) -> Self {
        Self { path: path.to_owned(), config: config.clone(), tried: Mutex::default() }
    }

    /// Whether it is time for an attempt; if so, it is made now.
    pub(crate) fn may_try(&self) -> Result<(), BoxError> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.is_some_and(|at| at.elapsed() < PAUSE) {
            let path = self.path.display();
            return Err(format!("the disk failed the store in {path}: make room; it is opened again soon").into());
        }
        *tried = Some(Instant::now());
        Ok(())
    }
}
