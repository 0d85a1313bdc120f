//! Whether the disk that holds the log has room, and what is refused while it has little.
//!
//! A full disk must not be met by surprise: a call that was admitted still has to record what it used. So a part of the
//! disk is kept for that. When only that part is left, no calls are admitted; when half of it is gone, no commands are
//! taken either, save those that end a right. Knows the file system; it must not know what is refused how.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steward_events::BoxError;
use tokio_util::sync::CancellationToken;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Kept unless the configuration says otherwise: this share of the disk …
const KEPT_SHARE: u64 = 10;
/// … but no more than this.
const KEPT_BYTES_MAX: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// The disk as it was when last looked at. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk {
    folder: PathBuf,
    wanted: Option<u64>,
    free: Arc<AtomicU64>,
    kept: Arc<AtomicU64>,
}

impl Disk {
    /// The disk of `folder`, of which `wanted` bytes are kept free, or a tenth up to 1 GiB.
    ///
    /// # Errors
    /// If the file system does not say how full it is.
    pub fn of(folder: &Path, wanted: Option<u64>) -> Result<Self, BoxError> {
        let disk = Self { folder: folder.to_owned(), wanted, free: Arc::default(), kept: Arc::default() };
        disk.look()?;
        Ok(disk)
    }

    /// Looks again and again until `shutdown`.
    pub async fn watch(self, shutdown: CancellationToken) -> Result<(), BoxError> {
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = self.look() {
                tracing::warn!(%error, "it is not known how full the disk is");
            }
        }
        Ok(())
    }

    /// Waits until the disk was so full that a write may have failed, and has room again.
    pub async fn recovered(&self) {
        while self.free() >= self.kept() / 2 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        while self.free() < self.kept() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether calls may be admitted.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn room_for_calls(&self) -> Result<(), String> {
        self.room(self.kept())
    }

    /// Whether commands may be taken.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn room_for_commands(&self) -> Result<(), String> {
        self.room(self.kept() / 2)
    }

    /// For people.
    pub fn describe(&self) -> String {
        let Self { folder, .. } = self;
        format!("{} MiB are free at {}; {} MiB are kept free", self.free() / MIB, folder.display(), self.kept() / MIB)
    }

    fn room(&self, needed: u64) -> Result<(), String> {
        if self.free() >= needed {
            return Ok(());
        }
        Err(format!(
            "the disk that holds the log is nearly full ({} MiB free, {} MiB are kept free): make room on the disk or enlarge \
             it; then everything goes on by itself",
            self.free() / MIB,
            self.kept() / MIB
        ))
    }

    fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    fn look(&self) -> Result<(), BoxError> {
        let seen = rustix::fs::statvfs(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        self.free.store(seen.f_bavail.saturating_mul(seen.f_frsize), Ordering::Relaxed);
        let size = seen.f_blocks.saturating_mul(seen.f_frsize);
        // Anew each time, because a disk may be enlarged.
        self.kept.store(self.wanted.unwrap_or_else(|| (size / KEPT_SHARE).min(KEPT_BYTES_MAX)), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64, kept: u64) -> Disk {
        Disk {
            folder: PathBuf::new(),
            wanted: None,
            free: Arc::new(AtomicU64::new(free)),
            kept: Arc::new(AtomicU64::new(kept)),
        }
    }

    #[test]
    fn calls_are_refused_first_then_commands() {
        for (free, calls, commands) in
            [(100, true, true), (99, false, true), (50, false, true), (49, false, false), (0, false, false)]
        {
            let disk = disk(free, 100);
            assert_eq!(disk.room_for_calls().is_ok(), calls, "{free}");
            assert_eq!(disk.room_for_commands().is_ok(), commands, "{free}");
        }
    }

    #[test]
    fn a_folder_reports_disk_usage_and_its_reserve_is_settable() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(folder.path(), Some(u64::MAX)).unwrap();
        assert!(disk.free() > 0);
        assert!(disk.room_for_calls().unwrap_err().contains("make room"));
        assert!(Disk::of(folder.path(), Some(0)).unwrap().room_for_calls().is_ok());
        assert!(Disk::of(&folder.path().join("nowhere"), None).is_err());
    }
}
