//! The one rule for conflicts, duplicates and time-outs.
//!
//! Look, at the stream's leader, at *my slot*: the first commit after the position I expected. Mine: it is recorded.
//! Another's: it is not and, the slot being taken, never will be. None: send the same bytes again, for only a write
//! closes a time-out; a publish that was buffered on the way may still land.

use std::time::Duration;

use bytes::Bytes;
use steward_events::BoxError;
use steward_events::commit::Commit;
use steward_events::digest::CommitHash;
use steward_events::quantity::Position;
use steward_events::stream::StreamName;

use crate::log::{EventLog, Filter, LogError, Published, Stored};

/// How long to go on trying before an append is given up as unavailable.
pub const APPEND_TIME_MAX: Duration = Duration::from_secs(30);

/// The pause after the first attempt without an answer; doubled after each further one, up to a second.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// How often a stream may look shorter than expected before that counts as true: a new leader may be catching up.
const SHORTER_LOOKS: u32 = 5;

/// A commit was not recorded, or nobody can say.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another commit took the slot: reload and decide again.
    #[error("another commit was recorded first")]
    Conflict,
    /// No answer in time. It may have been recorded, or may yet be: do not report either.
    #[error("the event log is unavailable; the commit may have been recorded")]
    Unavailable(#[source] BoxError),
    /// The log will not store it, however often it is tried.
    #[error("the event log refuses the commit")]
    Refused(#[source] BoxError),
}

/// A commit that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where.
    pub position: Position,
    /// The hash that the next commit of this stream carries.
    pub hash: CommitHash,
}

/// Appends `commit` after `expected`, exactly once, however often it has to be sent.
///
/// # Errors
/// [`AppendError`]; after `Unavailable` only another call with the same commit can tell.
pub async fn append(log: &dyn EventLog, expected: Position, commit: &Commit) -> Result<Appended, AppendError> {
    let bytes = Bytes::from(commit.encode().map_err(AppendError::Refused)?);
    let hash = CommitHash::of(&bytes);
    let position = append_bytes(log, expected, commit, bytes).await?;
    Ok(Appended { position, hash })
}

async fn append_bytes(
    log: &dyn EventLog,
    expected: Position,
    commit: &Commit,
    bytes: Bytes,
) -> Result<Position, AppendError> {
    let attempts = async {
        let mut pause = PAUSE_MIN;
        let mut shorter = 0;
        loop {
            let doubt = match log.publish(&commit.stream, expected, &commit.id, bytes.clone()).await {
                Published::Stored(position) => return Ok(position),
                Published::Refused(error) => return Err(AppendError::Refused(error)),
                Published::Conflict => None,
                Published::Unknown(error) => Some(error),
            };
            match log.slot(&commit.stream, expected).await {
                Ok(Some(taken)) if is_mine(&taken, commit, &bytes) => return Ok(taken.position),
                Ok(Some(_)) => return Err(AppendError::Conflict),
                Ok(None) if doubt.is_none() && ends_before(log, &commit.stream, expected).await => {
                    shorter += 1;
                    if shorter >= SHORTER_LOOKS {
                        let what = format!("log-went-back: {} ends before {expected}", commit.stream);
                        return Err(AppendError::Refused(what.into()));
                    }
                }
                Ok(None) => {
                    tracing::debug!(stream = %commit.stream, ?doubt, "no commit in the slot yet; sending it again");
                }
                Err(error) => {
                    tracing::debug!(stream = %commit.stream, %error, "the slot cannot be read; sending it again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    };
    match tokio::time::timeout(APPEND_TIME_MAX, attempts).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(AppendError::Unavailable(elapsed.into())),
    }
}

/// A conflict over an empty slot is a rival's commit on its way; or what was expected is not there any more.
async fn ends_before(log: &dyn EventLog, stream: &StreamName, expected: Position) -> bool {
    log.last(&Filter::stream(stream)).await.is_ok_and(|last| last < expected)
}

/// A commit has one id and one form, so equal bytes are the same commit.
fn is_mine(taken: &Stored, commit: &Commit, bytes: &Bytes) -> bool {
    taken.stream == commit.stream && taken.bytes == *bytes
}

impl From<AppendError> for LogError {
    fn from(error: AppendError) -> Self {
        Self::Unavailable(error.into())
    }
}
