//! Providers, models and what they cost, by date.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ModelId, ProviderId};
use crate::quantity::{PicoDollarsPerToken, SchemaVersion, Tokens};
use crate::timestamp::Timestamp;

/// Facts of what can be called and at which price. The tenant `steward` has the defaults; a tenant may override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CatalogEvent {
    /// An upstream can be reached.
    ProviderSet {
        /// Its name.
        provider: ProviderId,
        /// What it speaks.
        kind: ProviderKind,
        /// Base URL, e.g. `http://127.0.0.1:9090/v1`.
        url: String,
        /// Where its key is found (`env:NAME`, `file:PATH`); never the key.
        key: Option<String>,
    },
    /// A model can be named by callers.
    ModelSet {
        /// Its name.
        model: ModelId,
        /// What is known of it.
        spec: ModelSpec,
    },
    /// Where calls of a model go, tried in order.
    RouteSet {
        /// The model.
        model: ModelId,
        /// The targets.
        targets: Vec<Target>,
    },
    /// A model's price from a moment on, until a later price begins.
    PriceSet {
        /// The model.
        model: ModelId,
        /// First moment at which it applies.
        from: Timestamp,
        /// The price.
        price: Price,
    },
}

impl CatalogEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's HTTP API or anything compatible.
    Openai,
    /// Answers from a script, for tests; it says so in every answer.
    Scripted,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Input and output together, at most.
    pub context_max: Tokens,
    /// Output of one call, at most; what is reserved where the caller sets no `max_tokens`.
    pub output_max: Tokens,
}

/// One place a call can go: a provider and the model's name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider.
    pub provider: ProviderId,
    /// The model's name at that provider.
    pub upstream_model: String,
}

/// Prices per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input.
    pub input: PicoDollarsPerToken,
    /// Input read from the provider's cache.
    pub cached: PicoDollarsPerToken,
    /// Output, reasoning included.
    pub output: PicoDollarsPerToken,
}

/// Which price a call was charged at: the model and the moment from which that price applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceVersion {
    /// The model.
    pub model: ModelId,
    /// From when the price applies.
    pub from: Timestamp,
}

impl std::fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.from.to_string();
        write!(f, "{}@{}", self.model, from.strip_suffix("T00:00:00Z").unwrap_or(&from))
    }
}
