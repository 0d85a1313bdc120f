//! What is known of a model.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Tokens;

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Most tokens of input and output together.
    pub context_max: Tokens,
    /// Most output tokens of one call; reserved if the caller sets no `max_tokens`.
    pub output_max: Tokens,
    /// The vocabulary by which its tokens are counted, where the providers of its route use that one. Left out, texts count
    /// by their bytes, unless all targets are models of OpenAI's own whose vocabulary is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
}

impl ModelSpec {
    /// These bounds, and nothing else known.
    pub const fn of(context_max: Tokens, output_max: Tokens) -> Self {
        Self { context_max, output_max, tokenizer: None }
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
