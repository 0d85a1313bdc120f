//! One batch's life: the model calls that stand in a file, made within a day.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{BatchId, FileId, PrincipalId};
use crate::quantity::{Epoch, SchemaVersion};
use crate::scope::Scope;
use crate::sealed::Sealed;
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

/// Events of one batch. Each line's call is in the journals of usage, under the batch's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum BatchEvent {
    /// Somebody wants the calls in a file made.
    Submitted {
        /// The batch.
        batch: BatchId,
        /// Where its calls are booked.
        scope: Scope,
        /// What each line calls.
        endpoint: BatchEndpoint,
        /// Where the lines are.
        input_file: FileId,
        /// When the lines that were not called by then are given up.
        expires: Timestamp,
        /// What its owner noted beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Sealed<BatchMetadata>>,
        /// For how many seconds the files that it makes are kept; as long as other files if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_kept_s: Option<u64>,
        /// Who asked: its calls act within their permissions.
        submitted_by: PrincipalId,
        /// The key by which they asked: the batch ends with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        submitted_with: Option<KeyRef>,
    },
    /// A worker runs it until a moment. A higher epoch ends all earlier claims.
    Claimed {
        /// The claim.
        epoch: Epoch,
        /// The worker, by its run.
        worker: String,
        /// When the claim lapses unless it is extended.
        until: Timestamp,
    },
    /// The worker still runs it, and says how far it is.
    ClaimExtended {
        /// The claim.
        epoch: Epoch,
        /// When it lapses now.
        until: Timestamp,
        /// What came of the lines so far.
        counts: LineCounts,
    },
    /// Its lines were read and are calls.
    Started {
        /// The claim.
        epoch: Epoch,
        /// How many lines there are.
        lines: u32,
    },
    /// No further line is called; what came of them is being written to files.
    Finalizing {
        /// The claim.
        epoch: Epoch,
        /// What came of the lines.
        counts: LineCounts,
    },
    /// It is over, and its files are there.
    Ended {
        /// The claim.
        epoch: Epoch,
        /// How it came to its end.
        end: BatchEnd,
        /// What came of the lines.
        counts: LineCounts,
        /// Where the answers are, if there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_file: Option<FileId>,
        /// Where the failures are, if there are any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_file: Option<FileId>,
    },
    /// It cannot be done.
    Failed {
        /// The claim.
        epoch: Epoch,
        /// What is wrong.
        problems: Vec<BatchProblem>,
    },
    /// Somebody does not want it any more. Its worker ends it.
    CancelAsked {
        /// Why.
        reason: String,
    },
}

impl BatchEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// What each line of a batch calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BatchEndpoint {
    /// Chats.
    #[serde(rename = "/v1/chat/completions")]
    ChatCompletions,
    /// Vectors of texts.
    #[serde(rename = "/v1/embeddings")]
    Embeddings,
    /// Texts that go on.
    #[serde(rename = "/v1/completions")]
    Completions,
    /// Responses.
    #[serde(rename = "/v1/responses")]
    Responses,
}

impl BatchEndpoint {
    const ALL: [Self; 4] = [Self::ChatCompletions, Self::Embeddings, Self::Completions, Self::Responses];

    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
        }
    }
}

impl fmt::Display for BatchEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path())
    }
}

/// A path that no batch calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be called in a batch: use /v1/chat/completions, /v1/embeddings, /v1/completions or /v1/responses"
)]
pub struct UnknownEndpoint(String);

impl FromStr for BatchEndpoint {
    type Err = UnknownEndpoint;
    fn from_str(text: &str) -> Result<Self, UnknownEndpoint> {
        let named = Self::ALL.into_iter().find(|endpoint| endpoint.path() == text);
        named.ok_or_else(|| UnknownEndpoint(text.chars().take(60).collect()))
    }
}

/// What came of a batch's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineCounts {
    /// Lines that were answered.
    pub completed: u32,
    /// Lines that failed.
    pub failed: u32,
}

/// How a batch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchEnd {
    /// Each line was called.
    Completed,
    /// Its time was over before that.
    Expired,
    /// It was cancelled before that.
    Cancelled,
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchProblem {
    /// What programs match on.
    pub code: String,
    /// For people. It repeats nothing of the input.
    pub message: String,
    /// The line that is wrong, from 1, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Words of a batch's owner about it, as many as OpenAI's API takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct BatchMetadata(BTreeMap<String, String>);

/// More words about a batch than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most 16 notes are kept, each of at most 64 characters under its name and 512 in its text")]
pub struct InvalidMetadata;

impl BatchMetadata {
    /// These words.
    ///
    /// # Errors
    /// [`InvalidMetadata`] if there are too many.
    pub fn new(notes: BTreeMap<String, String>) -> Result<Self, InvalidMetadata> {
        let fits = |(name, text): (&String, &String)| name.chars().count() <= 64 && text.chars().count() <= 512;
        if notes.len() <= 16 && notes.iter().all(fits) { Ok(Self(notes)) } else { Err(InvalidMetadata) }
    }

    /// The words, by their names.
    pub fn into_notes(self) -> BTreeMap<String, String> {
        self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for BatchMetadata {
    type Error = InvalidMetadata;
    fn try_from(notes: BTreeMap<String, String>) -> Result<Self, InvalidMetadata> {
        Self::new(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_one_word_in_records_and_in_requests() {
        for endpoint in BatchEndpoint::ALL {
            assert_eq!(serde_json::to_value(endpoint).unwrap(), endpoint.path());
            assert_eq!(endpoint.path().parse(), Ok(endpoint));
        }
        assert!("/v1/audio/speech".parse::<BatchEndpoint>().is_err());
    }

    #[test]
    fn metadata_holds_as_much_as_is_kept_and_no_more() {
        let notes = |count: usize, name: usize, text: usize| {
            let named = |at: usize| format!("{at:0>name$}");
            (0..count).map(|at| (named(at), "t".repeat(text))).collect::<BTreeMap<_, _>>()
        };
        assert!(BatchMetadata::new(notes(16, 64, 512)).is_ok());
        for more in [notes(17, 64, 512), notes(1, 65, 512), notes(1, 64, 513)] {
            assert_eq!(BatchMetadata::new(more), Err(InvalidMetadata));
        }
        assert!(serde_json::from_value::<BatchMetadata>(serde_json::to_value(notes(17, 3, 1)).unwrap()).is_err());
    }
}
