//! Writes an export while commits come, holding one tile a level.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use steward_events::BoxError;
use steward_events::digest::CommitHash;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::timestamp::Timestamp;
use steward_queries::SignedCheckpoint;
use steward_tlog::leaf;
use steward_tlog::tile::{self, Builder};

use super::{CHECKPOINT, CHECKPOINTS, COMMITS, FORMAT, MANIFEST, Manifest, records};

/// An export being written. Checkpoints first, then commits.
pub struct Writer {
    folder: PathBuf,
    commits: BufWriter<File>,
    checkpoints: BufWriter<File>,
    newest: Option<SignedCheckpoint>,
    tiles: Builder,
    written: u64,
    last: Position,
}

impl Writer {
    /// Begins an export in `folder`, which must be empty if it is there.
    ///
    /// # Errors
    /// If it is not empty or cannot be written.
    pub fn create(folder: &Path) -> Result<Self, BoxError> {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        if fs::read_dir(folder)?.next().is_some() {
            return Err(format!("{} is not empty: an export gets a folder of its own", folder.display()).into());
        }
        let mut commits = BufWriter::new(File::create_new(folder.join(COMMITS))?);
        commits.write_all(records::FIRST_LINE)?;
        Ok(Self {
            commits,
            checkpoints: BufWriter::new(File::create_new(folder.join(CHECKPOINTS))?),
            folder: folder.to_owned(),
            newest: None,
            tiles: Builder::default(),
            written: 0,
            last: Position(0),
        })
    }

    /// Takes the next checkpoint, the smallest tree first. All come before the first commit: the tree is written up to
    /// the newest of them.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn checkpoint(&mut self, signed: SignedCheckpoint) -> Result<(), BoxError> {
        serde_json::to_writer(&mut self.checkpoints, &signed)?;
        self.checkpoints.write_all(b"\n")?;
        self.newest = Some(signed);
        Ok(())
    }

    /// Takes the next commit.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn commit(&mut self, position: Position, subject: &str, bytes: &[u8]) -> Result<(), BoxError> {
        records::write(&mut self.commits, position, subject, bytes)?;
        self.written += 1;
        self.last = position;
        if self.newest.as_ref().is_some_and(|newest| self.written <= newest.size) {
            let folder = &self.folder;
            self.tiles.push(&leaf(position, &CommitHash::of(bytes)), |file| put(folder, &file))?;
        }
        Ok(())
    }

    /// How many commits were taken.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes what is left, and the manifest last.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self, tenant: &TenantId, shard: Shard, exported_at: Timestamp) -> Result<Manifest, BoxError> {
        self.tiles.partial(|file| put(&self.folder, &file))?;
        if let Some(newest) = &self.newest {
            fs::write(self.folder.join(CHECKPOINT), &newest.note)?;
        }
        for mut file in [self.commits, self.checkpoints] {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            tenant: tenant.clone(),
            shard: shard.0,
            commits: self.written,
            last: self.last,
            signed: self.newest.as_ref().map_or(0, |newest| newest.size),
            exported_at,
        };
        self.newest = None;
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        fs::write(self.folder.join(MANIFEST), text)?;
        Ok(manifest)
    }
}

fn put(folder: &Path, file: &tile::File) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, &file.bytes)
}
