//! What a tenant can call and at which price: its own, and what it has from the platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use crate::event::{ModelSpec, Price, ProviderKind, Target};
use crate::id::{ModelId, ProviderId};
use crate::quantity::Position;
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
    /// Its name.
    pub provider: ProviderId,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Base URL, without what could help to find a secret.
    pub url: String,
    /// Where its key is found (`env:NAME`, `file:PATH`), never the key; none if the upstream is the platform's.
    pub key: Option<String>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}

/// One model as the tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRow {
    /// Its name.
    pub model: ModelId,
    /// What is known of it.
    pub spec: ModelSpec,
    /// Where its calls go, tried in order; nowhere if empty.
    pub targets: Vec<Target>,
    /// Its price now, in pico-dollars a token; none if it has no price yet, and then it cannot be called.
    pub price: Option<Price>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}

/// One price of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceRow {
    /// The model.
    pub model: ModelId,
    /// First moment at which it applies.
    pub from: Timestamp,
    /// First moment at which another applies; none if no later one is set.
    pub until: Option<Timestamp>,
    /// The price, in pico-dollars a token: $1.00 for a million tokens is 1000000.
    pub price: Price,
    /// True if the tenant has it from the platform; a price of the tenant's own goes before.
    pub inherited: bool,
}
