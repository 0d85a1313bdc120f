//! What a check finds: what it is, where, and what it means for those who rely on the history.

use serde::Serialize;
use steward_events::quantity::Position;

/// The most findings that are listed; the first ones matter.
pub const FINDINGS_MAX: usize = 100;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The file of commits cannot be read on.
    DamagedFile,
    /// Commits do not stand in the order of their positions.
    Order,
    /// A commit of somebody else, or of no stream.
    Foreign,
    /// A commit does not follow the one before it in its stream, or cannot be read.
    BrokenChain,
    /// A commit is not the one in the tree beside it.
    ChangedCommit,
    /// The tree beside the commits is not theirs.
    WrongTile,
    /// There are fewer or other commits than the manifest says.
    WrongCount,
    /// Commits that were signed are not there.
    CutOff,
    /// The commits are not those that were signed.
    NotWhatWasSigned,
    /// A checkpoint is not readable, or not signed by the key that counts.
    WrongSignature,
    /// The history contradicts a checkpoint kept outside.
    Rewritten,
    /// The commit to be proven is not there, or not under a checkpoint.
    NotProven,
}

impl What {
    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::DamagedFile => "the file was cut or overwritten; nothing after this place was checked",
            Self::Order => "commits were moved, doubled or exchanged",
            Self::Foreign => "this is not the history of one tenant as the log holds it",
            Self::BrokenChain => "a commit of this stream was changed, left out, exchanged or put in",
            Self::ChangedCommit => "this commit, or one before it, was changed, left out, exchanged or put in",
            Self::WrongTile => "the tree's files were changed, or are those of another history",
            Self::WrongCount => "commits were left out or added after the export was made",
            Self::CutOff => "the end of the history was cut off",
            Self::NotWhatWasSigned => "the history up to here was changed after it was signed",
            Self::WrongSignature => "this checkpoint was not signed by a key that you trust, so it proves nothing",
            Self::Rewritten => "the history was rewritten after the outside copy was taken, or is another one",
            Self::NotProven => "no proof can be given for this commit",
        }
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub what: What,
    /// In which stream: `<aggregate>/<id>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Where in the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What was seen.
    pub reason: String,
    /// What it means.
    pub meaning: &'static str,
}

/// Findings up to the bound, and how many more there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) listed: Vec<Finding>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        what: What,
        stream: Option<&str>,
        position: Option<Position>,
        reason: impl std::fmt::Display,
    ) {
        if self.listed.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let (stream, reason) = (stream.map(str::to_owned), reason.to_string());
        self.listed.push(Finding { what, stream, position, reason, meaning: what.meaning() });
    }
}
