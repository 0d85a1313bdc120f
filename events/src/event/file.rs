//! The files of a tenant: what is kept beside the log, and until when.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::BodyHash;
use crate::id::{FileId, PrincipalId};
use crate::quantity::SchemaVersion;
use crate::scope::Scope;
use crate::sealed::Sealed;
use crate::sender::KeyRef;
use crate::timestamp::Timestamp;

/// Events of files. What a file holds is not among them: that is kept beside the log, sealed, until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum FileEvent {
    /// A file is kept.
    Kept {
        /// Which.
        file: FileId,
        /// Where it belongs.
        scope: Scope,
        /// What it is for.
        purpose: FilePurpose,
        /// How long it is, in bytes.
        bytes: u64,
        /// Which bytes it holds: a digest that says nothing without the tenant's key.
        digest: BodyHash,
        /// What its owner calls it.
        name: Sealed<FileName>,
        /// When it ends.
        expires: Timestamp,
        /// Whose it is.
        kept_by: PrincipalId,
        /// The key that it came by.
        kept_with: KeyRef,
    },
    /// Somebody does not want it any more.
    Removed {
        /// Which.
        file: FileId,
    },
}

impl FileEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilePurpose {
    /// The calls of a batch, one a line.
    Batch,
    /// The answers or failures of a batch, one a line. Only a batch makes such files.
    BatchOutput,
    /// What a user hands to a model.
    UserData,
    /// What an assistant uses.
    Assistants,
}

impl FilePurpose {
    const ALL: [Self; 4] = [Self::Batch, Self::BatchOutput, Self::UserData, Self::Assistants];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::UserData => "user_data",
            Self::Assistants => "assistants",
        }
    }
}

impl fmt::Display for FilePurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a purpose of files here: use batch, user_data or assistants")]
pub struct UnknownPurpose(String);

impl FromStr for FilePurpose {
    type Err = UnknownPurpose;
    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        let named = Self::ALL.into_iter().find(|purpose| purpose.as_str() == text);
        named.ok_or_else(|| UnknownPurpose(text.chars().take(40).collect()))
    }
}

/// What a file is called. Names say much, so they are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FileName(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_has_one_word_in_records_and_in_requests() {
        for purpose in FilePurpose::ALL {
            assert_eq!(serde_json::to_value(purpose).unwrap(), purpose.as_str());
            assert_eq!(purpose.as_str().parse(), Ok(purpose));
        }
        assert!("fine-tune".parse::<FilePurpose>().is_err());
    }
}
