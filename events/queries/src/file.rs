//! Files that are kept beside the log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::FilePurpose;
use steward_events::id::{FileId, PrincipalId};
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists files.
    ListFiles {
        /// Only those for this.
        purpose: FilePurpose,
        /// Which come first: the newest if left out.
        order: Order,
    }
}

/// In which order a list by age is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The newest first.
    #[default]
    Desc,
    /// The oldest first.
    Asc,
}

/// Files. A page may also be asked for by the id of the file that it begins after.
pub type FilePage = Page<FileRow>;

/// Asks for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    /// Which.
    pub file: FileId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// One file, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileRow {
    /// Which.
    pub file: FileId,
    /// What it is called; empty if that was erased.
    pub name: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Where it belongs.
    pub scope: Scope,
    /// When it came.
    pub kept_at: Timestamp,
    /// Whose it is.
    pub kept_by: PrincipalId,
    /// When it ends.
    pub expires: Timestamp,
}
