//! What is known of a model: its bounds, what it can do, and until when.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Operation;
use crate::quantity::Tokens;
use crate::timestamp::Timestamp;

/// What is known of a model. What is not said is not checked: the provider then finds out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Most tokens of input and output together.
    pub context_max: Tokens,
    /// Most output tokens of one call; reserved if the caller sets no `max_tokens`.
    pub output_max: Tokens,
    /// What it can be asked for; anything if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// What a request may hold or want; anything if none is named. A model that takes nothing else has `text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// From when on its provider does not answer for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The vocabulary by which its tokens are counted, where the providers of its route use that one. Left out, texts count
    /// by their bytes, unless all targets are models of OpenAI's own whose vocabulary is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
}

impl ModelSpec {
    /// These bounds, and nothing else known.
    pub const fn of(context_max: Tokens, output_max: Tokens) -> Self {
        Self { context_max, output_max, operations: Vec::new(), features: Vec::new(), ends: None, tokenizer: None }
    }
}

/// What a request may hold or want beside plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Text, which every model takes.
    Text,
    /// Images in the request.
    Image,
    /// Sound in the request.
    Audio,
    /// Tools that the model may call.
    Tools,
    /// An answer in the form of a JSON schema.
    JsonSchema,
    /// An answer in pieces, as it is made.
    Streaming,
}

impl Feature {
    /// As it is recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Tools => "tools",
            Self::JsonSchema => "json_schema",
            Self::Streaming => "streaming",
        }
    }
}

/// A vocabulary that is public: with it, tokens are counted as the provider counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// `o200k_base`: OpenAI's models since GPT-4o.
    O200k,
    /// `cl100k_base`: OpenAI's models before, and its embeddings.
    Cl100k,
}

impl Tokenizer {
    /// As it is recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::O200k => "o200k",
            Self::Cl100k => "cl100k",
        }
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
