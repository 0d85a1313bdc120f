//! Files and folders that only their owner can read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::error::ServerError;

/// Makes `dir`, and what is above it.
pub(super) fn create_private_dir(dir: &Path) -> Result<(), ServerError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(ServerError::file(dir))
}

/// Writes a file that only its owner reads: whole, or not at all.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ServerError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(ServerError::file(path))
}
