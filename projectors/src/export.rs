//! A tenant's history as a folder: commits as stored, the tree over them, and what was signed of it.
//!
//! The folder is a C2SP tlog-tiles log (`checkpoint`, `tile/…`) with the commits beside it, so that tools of others
//! check the tree and ours checks everything, with no bus and no store. Whoever hands it over may have changed anything
//! in it: see [`check`]. docs/AUDIT.md describes the format.

use std::path::Path;

use serde::{Deserialize, Serialize};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_events::timestamp::Timestamp;

pub mod check;
pub mod finding;
pub mod records;
pub mod writer;

mod signatures;
mod tiles;

pub use check::{Demands, Report, Wanted, check};
pub use finding::{Finding, What};
pub use writer::Writer;

/// What stands in every manifest.
pub const FORMAT: &str = "steward-export-1";

/// The file that says what the folder is.
pub const MANIFEST: &str = "manifest.json";
/// The commits as stored.
pub const COMMITS: &str = "commits";
/// The newest checkpoint: the root of all tiles.
pub const CHECKPOINT: &str = "checkpoint";
/// All checkpoints, one JSON object a line.
pub const CHECKPOINTS: &str = "checkpoints.jsonl";

/// The most bytes that a manifest may have.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// What an export says of itself. Nothing here is believed: it says what to hold the rest against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// Whose history it is.
    pub tenant: TenantId,
    /// The shard that holds it.
    pub shard: u16,
    /// How many commits there are.
    pub commits: u64,
    /// Where the last of them stands in the shard.
    pub last: Position,
    /// How many of them the newest checkpoint covers; 0 if there is none.
    pub signed: u64,
    /// When it was made, by the clock of its maker.
    pub exported_at: Timestamp,
}

impl Manifest {
    /// Of the export in `folder`.
    ///
    /// # Errors
    /// If it is not there or is none that this build reads.
    pub fn read(folder: &Path) -> Result<Self, BoxError> {
        let path = folder.join(MANIFEST);
        let refused = |error: &dyn std::fmt::Display| -> BoxError { format!("{}: {error}", path.display()).into() };
        let bytes = read_bounded(&path, MANIFEST_BYTES_MAX).map_err(|error| refused(&error))?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
        if manifest.format != FORMAT {
            return Err(refused(&format!("its format is {:?}; this build reads {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }
}

/// All of a file that is not larger than it may be.
fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, std::io::Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}
