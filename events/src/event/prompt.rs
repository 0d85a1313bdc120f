//! What is done with requests of a model before they are sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done with the requests of a model so that they cost less, or fit. Off unless something is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PromptPolicy {
    /// True if providers that keep beginnings of requests only where they are told to (Anthropic, Bedrock) are told so: after
    /// the tools, after the instructions, and before the newest message. Not where a caller says so itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cache_breakpoints: bool,
    /// True if what tools answered, and JSON that a user sent beside a text, is said in fewer words.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// True if compressing JSON also leaves out fields that are null or empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
    /// What is done with a chat that is longer than the model reads; left out, the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<PromptWindow>,
}

/// What is done with a chat that is longer than the model reads, beside the output that may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptWindow {
    /// Its oldest turns are left out. Refused if what must stay is too long.
    TrimOldest,
    /// It is refused, before anything is sent.
    Refuse,
}

impl PromptPolicy {
    /// True if requests are sent as they come.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}
