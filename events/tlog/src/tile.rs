//! Tiles: a tree as files of up to 256 hashes, as C2SP tlog-tiles lays them out.
//!
//! The tile `n` of level `l` holds the roots of the whole subtrees of 256^l leaves from the `256 n`-th on. From tiles
//! every node can be made, so every root and proof.

use steward_events::BoxError;
use steward_events::digest::{HASH_BYTES, TreeHash};

use crate::LEAF_BYTES;
use crate::merkle::subtree;
use crate::proof::Nodes;

/// Hashes of a whole tile.
pub const TILE_WIDTH: u64 = 256;

/// Levels of a tree within one level of tiles.
pub const TILE_HEIGHT: u32 = 8;

/// The levels that a tree of 64-bit size can need.
pub const LEVELS_MAX: u32 = 8;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// How high: 0 holds leaves.
    pub level: u32,
    /// Which one of its level, from the left.
    pub index: u64,
    /// How many hashes it has: 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The file of its hashes, relative to the log's folder.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, self.place())
    }

    /// The file of its leaves' data; of level 0 only.
    pub fn entries_path(&self) -> String {
        format!("tile/entries/{}", self.place())
    }

    fn place(&self) -> String {
        // Three digits an element, all but the last with an `x` before them.
        let mut place = format!("{:03}", self.index % 1_000);
        let mut rest = self.index / 1_000;
        while rest > 0 {
            place = format!("x{:03}/{place}", rest % 1_000);
            rest /= 1_000;
        }
        if self.width < TILE_WIDTH { format!("{place}.p/{}", self.width) } else { place }
    }
}

/// How many hashes tiles of `level` hold in a tree of `size` leaves.
pub fn hashes_at(level: u32, size: u64) -> u64 {
    size.checked_shr(level.saturating_mul(TILE_HEIGHT)).unwrap_or(0)
}

/// The tile that holds the hash `index` of `level` in a tree of `size` leaves, if it is there.
pub fn tile_of(level: u32, index: u64, size: u64) -> Option<Tile> {
    let hashes = hashes_at(level, size);
    if index >= hashes {
        return None;
    }
    let tile = index / TILE_WIDTH;
    Some(Tile { level, index: tile, width: (hashes - tile * TILE_WIDTH).min(TILE_WIDTH) })
}

/// Where the hashes of tiles are kept.
pub trait Hashes {
    /// The hashes from `from` to `to` of the tiles' `level`, within one tile.
    ///
    /// # Errors
    /// If they cannot be had.
    fn read(&self, level: u32, from: u64, to: u64) -> Result<Vec<TreeHash>, BoxError>;
}

impl<H: Hashes> Nodes for H {
    fn node(&self, level: u32, index: u64) -> Result<TreeHash, BoxError> {
        let within = level % TILE_HEIGHT;
        let (from, to) = (index << within, (index + 1) << within);
        let hashes = self.read(level / TILE_HEIGHT, from, to)?;
        if hashes.len() as u64 != to - from {
            return Err(format!("the tree lacks hashes {from} to {to} of tile level {}", level / TILE_HEIGHT).into());
        }
        Ok(subtree(&hashes))
    }
}

/// The bytes of a tile's file.
pub fn encode(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes in a tile's file.
///
/// # Errors
/// If it has not just `width` hashes.
pub fn decode(bytes: &[u8], width: u64) -> Result<Vec<TreeHash>, BoxError> {
    if bytes.len() as u64 != width.saturating_mul(HASH_BYTES as u64) {
        return Err(format!("a tile of {} bytes; {width} hashes are {}", bytes.len(), width * HASH_BYTES as u64).into());
    }
    let (hashes, _) = bytes.as_chunks::<HASH_BYTES>();
    Ok(hashes.iter().map(|hash| TreeHash(*hash)).collect())
}

/// What stands before each leaf in a bundle: its length in two bytes, big-endian.
const ENTRY_HEAD: [u8; 2] = [0, 40];
const _: () = assert!(LEAF_BYTES == 40);

/// What one file of a log's folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where, relative to the log's folder.
    pub path: String,
    /// What.
    pub bytes: Vec<u8>,
}

/// Makes a log's tiles while its leaves come, holding one tile a level and one bundle of entries.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    size: u64,
    levels: Vec<Vec<TreeHash>>,
    entries: Vec<u8>,
}

impl Builder {
    /// How many leaves came.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next leaf; calls `each` with every file that is whole now.
    ///
    /// # Errors
    /// What `each` says.
    pub fn push<E>(&mut self, leaf: &[u8; LEAF_BYTES], mut each: impl FnMut(File) -> Result<(), E>) -> Result<(), E> {
        // An entry is its length in two bytes, then its bytes.
        self.entries.extend_from_slice(&ENTRY_HEAD);
        self.entries.extend_from_slice(leaf);
        self.size += 1;
        let mut hash = TreeHash::leaf(leaf);
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { break };
            hashes.push(hash);
            if hashes.len() < 256 {
                break;
            }
            let whole = std::mem::take(hashes);
            hash = subtree(&whole);
            let level = u32::try_from(level).unwrap_or(LEVELS_MAX);
            let tile = Tile { level, index: hashes_at(level, self.size) / TILE_WIDTH - 1, width: TILE_WIDTH };
            if level == 0 {
                each(File { path: tile.entries_path(), bytes: std::mem::take(&mut self.entries) })?;
            }
            each(File { path: tile.path(), bytes: encode(&whole) })?;
        }
        Ok(())
    }

    /// Calls `each` with the files that are not whole, as of now.
    ///
    /// # Errors
    /// What `each` says.
    pub fn partial<E>(&self, mut each: impl FnMut(File) -> Result<(), E>) -> Result<(), E> {
        for (level, hashes) in (0..).zip(&self.levels) {
            let hashes_in_all = hashes_at(level, self.size);
            let tile = Tile { level, index: hashes_in_all / TILE_WIDTH, width: hashes.len() as u64 };
            if hashes.is_empty() {
                continue;
            }
            if level == 0 {
                each(File { path: tile.entries_path(), bytes: self.entries.clone() })?;
            }
            each(File { path: tile.path(), bytes: encode(hashes) })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::merkle::Frontier;
    use crate::proof;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, index, width| Tile { level, index, width }.path();
        assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path(1, 0, 17), "tile/1/000.p/17");
        assert_eq!(Tile { level: 0, index: 67_000, width: 256 }.entries_path(), "tile/entries/x067/000");
        assert_eq!(tile_of(0, 255, 256), Some(Tile { level: 0, index: 0, width: 256 }));
        assert_eq!(tile_of(0, 256, 256), None);
        assert_eq!(tile_of(9, 0, u64::MAX), None);
    }

    struct Files(BTreeMap<String, Vec<u8>>, u64);

    impl Hashes for Files {
        fn read(&self, level: u32, from: u64, to: u64) -> Result<Vec<TreeHash>, BoxError> {
            let tile = tile_of(level, from, self.1).ok_or("no such tile")?;
            let bytes = self.0.get(&tile.path()).ok_or_else(|| tile.path())?;
            let hashes = decode(bytes, tile.width)?;
            let at = |index: u64| usize::try_from(index - tile.index * TILE_WIDTH).unwrap();
            Ok(hashes[at(from)..at(to)].to_vec())
        }
    }

    /// The example of the specification: 70,000 leaves.
    #[test]
    fn tiles_hold_the_whole_tree() {
        const SIZE: u64 = 70_000;
        let (mut files, mut frontier, mut builder) = (BTreeMap::new(), Frontier::default(), Builder::default());
        let mut old_root = TreeHash::empty();
        let leaf = |number: u64| {
            let mut leaf = [0; LEAF_BYTES];
            leaf[..8].copy_from_slice(&number.to_be_bytes());
            leaf
        };
        let mut keep = |file: File| {
            assert!(files.insert(file.path, file.bytes).is_none());
            Ok::<(), BoxError>(())
        };
        for number in 0..SIZE {
            builder.push(&leaf(number), &mut keep).unwrap();
            frontier.push(TreeHash::leaf(&leaf(number)));
            if number == 999 {
                old_root = frontier.root();
            }
        }
        builder.partial(&mut keep).unwrap();
        let count = |prefix: &str| files.keys().filter(|path| path.starts_with(prefix)).count();
        assert_eq!((count("tile/0/"), count("tile/1/"), count("tile/2/"), count("tile/entries/")), (274, 2, 1, 274));
        for path in ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112"] {
            assert!(files.contains_key(path), "{path}");
        }
        let files = Files(files, SIZE);
        assert_eq!(proof::root(&files, SIZE).unwrap(), frontier.root());
        let path = proof::inclusion(&files, 65_537, SIZE).unwrap();
        assert!(proof::includes(TreeHash::leaf(&leaf(65_537)), 65_537, SIZE, &path, frontier.root()));
        let path = proof::consistency(&files, 1_000, SIZE).unwrap();
        assert!(proof::goes_on(1_000, old_root, SIZE, frontier.root(), &path));
    }
}
