//! What a tenant can call and at which price: its own, and what it has from the platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::{
    CachePolicy, ModelSpec, PriceVariant, PromptPolicy, ProviderKind, Rates, RoutePolicy, RouteTerms, Target, TargetId,
};
use steward_events::id::{ModelId, ProviderId};
use steward_events::quantity::{Position, Tokens};
use steward_events::timestamp::Timestamp;

list_query! {
    /// Lists upstreams.
    ListProviders {}
}

list_query! {
    /// Lists models.
    ListModels {
        /// Only those whose calls can go to this upstream.
        provider: ProviderId,
    }
}

list_query! {
    /// Lists prices.
    ListPrices {
        /// Only those of this model.
        model: ModelId,
    }
}

/// Upstreams.
pub type ProviderPage = Page<ProviderRow>;
/// Models.
pub type ModelPage = Page<ModelRow>;
/// Prices.
pub type PricePage = Page<PriceRow>;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderRow {
    /// Name of the provider.
    pub provider: ProviderId,
    /// Kind of the provider.
    pub kind: ProviderKind,
    /// Base URL, without what could help to find a secret.
    pub url: String,
    /// Where its key is found (`env:NAME`, `file:PATH`, `secret:NAME`), never the key; none if the upstream is the
    /// platform's.
    pub key: Option<String>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}

/// One model as the tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRow {
    /// Name that callers use.
    pub model: ModelId,
    /// What is known of it; of a model of the platform, with the output that the tenant lowered.
    pub spec: ModelSpec,
    /// Where its calls go; nowhere if empty.
    pub targets: Vec<Target>,
    /// How one of them is chosen.
    #[serde(default, skip_serializing_if = "RoutePolicy::is_usual")]
    pub policy: RoutePolicy,
    /// What else its route says.
    #[serde(default, skip_serializing_if = "RouteTerms::is_usual")]
    pub terms: RouteTerms,
    /// Its base rates now, in pico-dollars a token; none if it has no price now, and then it cannot be called.
    pub price: Option<Rates>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
    /// What the tenant lowered the output of a model of the platform to, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Tokens>,
    /// Whether its answers are given more than once.
    #[serde(default, skip_serializing_if = "CachePolicy::is_off")]
    pub cache: CachePolicy,
    /// The same, if the tenant says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_cache: Option<CachePolicy>,
    /// What is done with its requests before they are sent.
    #[serde(default, skip_serializing_if = "PromptPolicy::is_off")]
    pub prompt: PromptPolicy,
    /// The same, if the tenant says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_prompt: Option<PromptPolicy>,
}

/// One price of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceRow {
    /// The model.
    pub model: ModelId,
    /// First moment at which it applies.
    pub from: Timestamp,
    /// When it ends by itself; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// First moment at which another applies, or none any more; none if it has no end and no later one is set.
    pub until: Option<Timestamp>,
    /// The base rates, in pico-dollars a token: $1.00 for a million tokens is 1000000.
    pub price: Rates,
    /// Other rates for some calls; of those that apply, the last counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<PriceVariant>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The target that it is for; none if it is for all that have no price of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}

/// Asks where a call of a model would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteQuery {
    /// The model, as callers name it.
    pub model: ModelId,
    /// What the call says of itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its input tokens.
    #[serde(default)]
    pub input_tokens: Tokens,
    /// The most output tokens that it wants; all that the model can write if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<Tokens>,
    /// The answer includes what was recorded up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Where a call would go, as far as the catalog says: which targets are well, and how soon each answers, each gateway knows
/// for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteExplanation {
    /// How a target is chosen.
    pub policy: RoutePolicy,
    /// True if the route is the platform's.
    pub inherited: bool,
    /// Every target: those to try in order, then those that are left out.
    pub targets: Vec<ExplainedTarget>,
    /// What else the route says, and what is known of the model against the call; each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A target, and what becomes of it for this call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedTarget {
    /// The target.
    pub target: Target,
    /// The place at which it is tried, from 1 on; none if it is not, or only after a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
    /// Why.
    pub reason: String,
}
