//! Why a nats-server of our own does not run.

use std::io;
use std::path::{Path, PathBuf};

use super::program::ProgramError;

/// The server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no usable program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Another process runs a server in that directory.
    #[error("another steward process uses {0}: stop that process, or choose another data folder")]
    InUse(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is kept there is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It did not come up.
    #[error("nats-server does not start: {reason}; the end of its log: {log}")]
    NotReady {
        /// What was seen.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
}

impl ServerError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
