//! What is known of a model: its bounds, what it can do, and until when.

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
}

impl ModelSpec {
    /// These bounds, and nothing else known.
    pub const fn of(context_max: Tokens, output_max: Tokens) -> Self {
        Self { context_max, output_max, operations: Vec::new(), features: Vec::new(), ends: None }
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
