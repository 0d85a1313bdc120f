//! Holds the tree beside the commits against them, and reads proofs from it.

use std::io::ErrorKind;
use std::path::Path;

use steward_events::BoxError;
use steward_events::digest::HASH_BYTES;
use steward_events::digest::TreeHash;
use steward_events::quantity::Position;
use steward_tlog::LEAF_BYTES;
use steward_tlog::tile::{self, Builder, Hashes, TILE_WIDTH};

use super::finding::{Findings, What};
use super::read_bounded;

/// The largest file of a tree: a bundle of 256 entries.
const FILE_BYTES_MAX: u64 = TILE_WIDTH * (2 + LEAF_BYTES as u64);

/// Compares tiles with files, up to the size that the newest checkpoint covers.
pub(super) struct Tiles<'a> {
    folder: &'a Path,
    size: u64,
    builder: Builder,
    /// Where the leaves of the tile that is being filled stand.
    places: Vec<(String, Position)>,
    /// From the first difference on every tile is another: said once.
    differs: bool,
}

impl<'a> Tiles<'a> {
    pub(super) fn new(folder: &'a Path, size: u64) -> Self {
        Self { folder, size, builder: Builder::default(), places: Vec::new(), differs: false }
    }

    /// True if all tiles so far are those of the commits.
    pub(super) const fn whole(&self) -> bool {
        !self.differs && self.builder.size() == self.size
    }

    pub(super) fn push(
        &mut self,
        leaf: &[u8; LEAF_BYTES],
        stream: &str,
        position: Position,
        findings: &mut Findings,
    ) -> Result<(), BoxError> {
        if self.builder.size() >= self.size {
            return Ok(());
        }
        self.places.push((stream.to_owned(), position));
        let mut files = Vec::new();
        self.builder.push(leaf, |file| {
            files.push(file);
            Ok::<(), BoxError>(())
        })?;
        if self.builder.size() == self.size {
            self.builder.partial(|file| {
                files.push(file);
                Ok::<(), BoxError>(())
            })?;
        }
        for file in files {
            self.compare(&file, findings)?;
        }
        if self.builder.size().is_multiple_of(TILE_WIDTH) {
            self.places.clear();
        }
        Ok(())
    }

    fn compare(&mut self, file: &tile::File, findings: &mut Findings) -> Result<(), BoxError> {
        if self.differs {
            return Ok(());
        }
        let found = match read_bounded(&self.folder.join(&file.path), FILE_BYTES_MAX) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.differs = true;
                findings.add(What::WrongTile, None, None, format!("there is no file {}", file.path));
                return Ok(());
            }
            Err(error) => return Err(format!("{}: {error}", file.path).into()),
        };
        if found == file.bytes {
            return Ok(());
        }
        self.differs = true;
        // An entry is the leaf itself, so the first that differs names the commit.
        let entry = 2 + LEAF_BYTES;
        let first = found.chunks(entry).zip(file.bytes.chunks(entry)).position(|(found, ours)| found != ours);
        match first.and_then(|first| self.places.get(first)) {
            Some((stream, position)) if file.path.starts_with("tile/entries/") => {
                let reason = format!("{} has another commit here", file.path);
                findings.add(What::ChangedCommit, Some(stream), Some(*position), reason);
            }
            _ => findings.add(What::WrongTile, None, None, format!("{} is not the tile of these commits", file.path)),
        }
        Ok(())
    }
}

/// The tree of an export of `size` leaves, as its tiles have it.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) size: u64,
}

impl Hashes for Files<'_> {
    fn read(&self, level: u32, from: u64, to: u64) -> Result<Vec<TreeHash>, BoxError> {
        let tile = tile::tile_of(level, from, self.size).ok_or("the tree has no such tile")?;
        let bytes = read_bounded(&self.folder.join(tile.path()), TILE_WIDTH * HASH_BYTES as u64)?;
        let hashes = tile::decode(&bytes, tile.width)?;
        let first = tile.index * TILE_WIDTH;
        let within = |index: &u64| (from..to).contains(index);
        Ok((first..).zip(hashes).filter(|(index, _)| within(index)).map(|(_, hash)| hash).collect())
    }
}
