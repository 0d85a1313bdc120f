//! Providers, models and what they cost, by date.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{
    CachePolicy, ModelSpec, PriceVariant, PromptPolicy, Rates, RoutePolicy, RouteTerms, Target, TargetId,
};
use crate::id::{ModelId, ProviderId, SecretId};
use crate::provider_key::SecretValue;
use crate::quantity::SchemaVersion;
use crate::sealed::Sealed;
use crate::timestamp::Timestamp;

/// Events of what can be called and at which price: each for calls to providers of the same tenant (`steward`: the
/// platform's, which every tenant can call).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CatalogEvent {
    /// An upstream can be reached.
    ProviderSet {
        /// Name of the provider.
        provider: ProviderId,
        /// What it speaks.
        kind: ProviderKind,
        /// Base URL, e.g. `http://127.0.0.1:9090/v1`.
        url: String,
        /// Where its key is found (`env:NAME`, `file:PATH`, `secret:NAME`); never the key.
        key: Option<String>,
    },
    /// A model can be named by callers.
    ModelSet {
        /// Name that callers use.
        model: ModelId,
        /// What is known of it.
        spec: ModelSpec,
    },
    /// Where calls of a model go.
    RouteSet {
        /// The model.
        model: ModelId,
        /// The targets.
        targets: Vec<Target>,
        /// How one is chosen.
        #[serde(default, skip_serializing_if = "RoutePolicy::is_usual")]
        policy: RoutePolicy,
        /// What else it says.
        #[serde(default, skip_serializing_if = "RouteTerms::is_usual")]
        terms: RouteTerms,
    },
    /// A model's price from a moment on, until it ends or a later price begins.
    PriceSet {
        /// The model.
        model: ModelId,
        /// First moment at which it applies.
        from: Timestamp,
        /// First moment at which it does not apply any more; none if it has no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The rates of calls to which no variant applies.
        price: Rates,
        /// Other rates for some calls; of those that apply, the last counts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        variants: Vec<PriceVariant>,
        /// Who says so, e.g. a page's address and the day on which it was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// Whose calls it is for, if it is for those of one target only; these have it instead of the model's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<TargetId>,
    },
    /// Whether answers of a model are given more than once.
    CacheSet {
        /// The model.
        model: ModelId,
        /// For how long, and whether calls alike are made once.
        policy: CachePolicy,
    },
    /// No answer of a model that was kept before this is given any more.
    CachePurged {
        /// The model.
        model: ModelId,
    },
    /// What is done with requests of a model before they are sent.
    PromptSet {
        /// The model.
        model: ModelId,
        /// What.
        policy: PromptPolicy,
    },
    /// A secret is kept, or another in its place.
    SecretSet {
        /// Name of the secret.
        secret: SecretId,
        /// The secret, which only the tenant's data key opens.
        value: Sealed<SecretValue>,
    },
    /// A secret is no longer kept.
    SecretRemoved {
        /// Name of the secret.
        secret: SecretId,
    },
}

impl CatalogEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(3);
}

macro_rules! provider_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What an upstream speaks. Recorded by name, so that one more is a line here.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum ProviderKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)+
        }

        impl ProviderKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name under which it is recorded.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

provider_kinds! {
    /// OpenAI's HTTP API or anything compatible.
    Openai = "openai",
    /// Anthropic's HTTP API or anything compatible.
    Anthropic = "anthropic",
    /// Google's Gemini API.
    Gemini = "gemini",
    /// Bedrock of AWS, by its Converse API.
    Bedrock = "bedrock",
    /// OpenAI's models on Azure.
    Azure = "azure",
    /// Answers from a script, for tests; it says so in every answer.
    Scripted = "scripted",
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
