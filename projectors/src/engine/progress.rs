//! How far a view is, and why it cannot answer.

use steward_events::BoxError;
use steward_events::quantity::{Position, Shard};
use steward_ports::log::LogError;

/// How far one fold is, and whether it may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last position whose events are in the rows.
    pub position: Position,
    /// Whether it may be asked.
    pub stage: Stage,
}

/// Whether a fold may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has yet to reach the end of the log as it was when it started.
    CatchingUp,
    /// It has.
    Current,
    /// It has stopped for this reason and will not go on in this process.
    Stopped(String),
}

/// The view cannot answer now.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It met what it cannot read, or a log that went back.
    #[error("the view {view} of shard {shard} has stopped: {reason}")]
    Stopped {
        /// Which view.
        view: &'static str,
        /// Of which shard.
        shard: Shard,
        /// Why.
        reason: String,
    },
    /// It is not as far as was demanded, or not yet built.
    #[error("the view {view} of shard {shard} is at {at} and has not reached {wanted} yet")]
    Behind {
        /// Which view.
        view: &'static str,
        /// Of which shard.
        shard: Shard,
        /// How far it is.
        at: Position,
        /// How far it should be.
        wanted: Position,
    },
    /// The position demanded is not in the log.
    #[error("min_position is {wanted}, and the log ends at {end}: name a position that a reply has told")]
    BeyondEnd {
        /// What was demanded.
        wanted: Position,
        /// The last that there is.
        end: Position,
    },
    /// There is no such shard.
    #[error("there is no shard {0}")]
    NoShard(Shard),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not answer.
    #[error("the store of the views has an error: {0}")]
    Store(BoxError),
}

impl Progress {
    /// True if it will not go on in this process.
    pub const fn has_stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopped(_))
    }
}
