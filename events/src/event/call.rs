//! What is known of one call of a model beside the money: what it was for, where its answer came from, what it used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{PriceVersion, ServiceTier};
use crate::id::{CallId, ProviderId};
use crate::quantity::{NanoDollars, Tokens};
use crate::scope::ScopeSet;

/// The most tags of one call.
pub const TAGS_MAX: usize = 16;
/// The longest key of a tag, in bytes.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// The longest value of a tag, in bytes.
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// What many calls of one journal have in common: recorded once a commit, however many of its calls share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallContext {
    /// Which budgets it touches.
    pub scopes: ScopeSet,
    /// What was asked for.
    pub operation: Operation,
    /// Which upstream.
    pub provider: ProviderId,
    /// The model's name at that upstream.
    pub upstream_model: String,
    /// The price it is charged at, whatever changes later.
    pub price: PriceVersion,
}

/// What a call asked a provider for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An answer to messages.
    Chat,
    /// A continuation of a text.
    Completions,
    /// A response that the provider may keep and that later ones may build on.
    Responses,
    /// Vectors of texts.
    Embeddings,
    /// One of many requests that were handed in together, answered later.
    Batch,
    /// A tool that the provider hosts.
    Tool,
    /// An image.
    Image,
    /// Speech from text, or text from speech.
    Audio,
    /// A judgement of what may be said.
    Moderation,
}

/// Where an answer came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerSource {
    /// The provider was asked.
    #[default]
    Provider,
    /// An earlier answer was kept.
    Cache,
    /// Another call asked the same at that moment, and its answer was given to both.
    Shared {
        /// That call.
        call: CallId,
    },
    /// The same caller had asked for it before under the same idempotency key.
    Repeated {
        /// The call that was made then.
        call: CallId,
    },
}

impl AnswerSource {
    /// True if the provider was asked.
    pub fn is_provider(&self) -> bool {
        *self == Self::Provider
    }
}

/// What was not spent because the provider was not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Tokens that would have been used.
    pub tokens: Tokens,
    /// What they would have cost.
    pub money: NanoDollars,
}

impl Saved {
    /// True if nothing was saved.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What one call used, as the provider reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All input tokens: those read from or written to a cache and those of sound included.
    pub input: Tokens,
    /// Of these, read from the provider's cache.
    pub cached: Tokens,
    /// All output tokens, reasoning and sound included.
    pub output: Tokens,
    /// Of these, reasoning.
    pub reasoning: Tokens,
    /// Of the input, written to the provider's cache for its usual, short time.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cache_write: Tokens,
    /// Of the input, written to the provider's cache for an hour.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cache_write_1h: Tokens,
    /// Of the input, sound.
    #[serde(default, skip_serializing_if = "is_none")]
    pub audio_input: Tokens,
    /// Of the output, sound.
    #[serde(default, skip_serializing_if = "is_none")]
    pub audio_output: Tokens,
    /// Images that were made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Searches that the provider made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub searches: u64,
    /// How urgently the provider served it.
    #[serde(default, skip_serializing_if = "ServiceTier::is_standard")]
    pub tier: ServiceTier,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_none(tokens: &Tokens) -> bool {
    tokens.0 == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TokenUsage {
    /// Input and output.
    pub const fn total(&self) -> Tokens {
        Tokens(self.input.0.saturating_add(self.output.0))
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The provider answered and said what it used.
    Completed,
    /// The provider certainly billed nothing: refused connection, 429, 5xx before any body.
    NotBilled {
        /// What was seen.
        reason: String,
    },
    /// The stream was cut or no usage came: what was metered is posted, and is an estimate.
    Estimated {
        /// What was seen.
        reason: String,
        /// True if the answer was whole, so that nothing more of it can be billed: what was reserved beyond the estimate is
        /// free again. Else it stays charged to the budgets.
        #[serde(default, skip_serializing_if = "is_open")]
        closed: bool,
    },
}

impl CallOutcome {
    /// An estimate of a call of which more may be billed.
    pub fn estimated(reason: impl Into<String>) -> Self {
        Self::Estimated { reason: reason.into(), closed: false }
    }

    /// True if more than what is posted may be billed: what was reserved beyond it stays charged.
    pub const fn leaves_open(&self) -> bool {
        matches!(self, Self::Estimated { closed: false, .. })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_open(closed: &bool) -> bool {
    !*closed
}

/// The caller's own words about a call, e.g. `team = support`. They stand in the log in clear text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<BTreeMap<String, String>>>);

/// Why a call cannot have these tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    /// Too many.
    #[error("{0} tags; at most {TAGS_MAX} are allowed")]
    TooMany(usize),
    /// A key that is empty or too long, or a value that is too long.
    #[error("the tag {0:?}: a key has 1 to {TAG_KEY_BYTES_MAX} bytes, a value at most {TAG_VALUE_BYTES_MAX}")]
    TooLong(String),
}

impl Tags {
    /// These tags.
    ///
    /// # Errors
    /// [`InvalidTags`] if there are too many or one is too long.
    pub fn new(tags: BTreeMap<String, String>) -> Result<Self, InvalidTags> {
        if tags.len() > TAGS_MAX {
            return Err(InvalidTags::TooMany(tags.len()));
        }
        let fits =
            |key: &str, value: &str| (1..=TAG_KEY_BYTES_MAX).contains(&key.len()) && value.len() <= TAG_VALUE_BYTES_MAX;
        if let Some((key, _)) = tags.iter().find(|(key, value)| !fits(key, value)) {
            return Err(InvalidTags::TooLong(key.chars().take(TAG_KEY_BYTES_MAX).collect()));
        }
        Ok(if tags.is_empty() { Self::default() } else { Self(Some(Arc::new(tags))) })
    }

    /// True if there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Key and value of each, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|tags| tags.iter()).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(BTreeMap::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_bounded_in_number_and_length() {
        let tags = |count: usize, key: usize, value: usize| {
            Tags::new((0..count).map(|n| (format!("{n:0key$}"), "v".repeat(value))).collect())
        };
        assert_eq!(tags(TAGS_MAX, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX).unwrap().iter().count(), TAGS_MAX);
        assert_eq!(tags(TAGS_MAX + 1, 4, 1), Err(InvalidTags::TooMany(TAGS_MAX + 1)));
        assert!(matches!(tags(1, TAG_KEY_BYTES_MAX + 1, 1), Err(InvalidTags::TooLong(_))));
        assert!(matches!(tags(1, 4, TAG_VALUE_BYTES_MAX + 1), Err(InvalidTags::TooLong(_))));
        assert!(Tags::new(BTreeMap::from([(String::new(), String::new())])).is_err());
        assert!(Tags::new(BTreeMap::new()).unwrap().is_empty());
        assert!(serde_json::from_str::<Tags>(r#"{"":""}"#).is_err());
    }
}
