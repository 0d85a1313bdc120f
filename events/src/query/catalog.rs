//! What a tenant can call and at which price: its own, and what it has from the platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use crate::event::{ModelSpec, PriceVariant, ProviderKind, Rates, Target};
use crate::id::{ModelId, ProviderId};
use crate::quantity::{Position, Tokens};
use crate::timestamp::Timestamp;

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
    /// Where its calls go, tried in order; nowhere if empty.
    pub targets: Vec<Target>,
    /// Its base rates now, in pico-dollars a token; none if it has no price now, and then it cannot be called.
    pub price: Option<Rates>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
    /// What the tenant lowered the output of a model of the platform to, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Tokens>,
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
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}
