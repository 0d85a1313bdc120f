//! Commands about providers, models and prices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{ModelSpec, PriceVariant, ProviderKind, Rates, Target};
use crate::id::{ModelId, ProviderId};
use crate::timestamp::Timestamp;

commands! {
    CatalogCommand of Catalog {
        "provider" "set" => SetProvider, Callers, "Set where an upstream is and what it speaks";
        "model" "set" => SetModel, Callers, "Set a model that callers may name";
        "route" "set" => SetRoute, Callers, "Set where calls of a model go, tried in order";
        "price" "set" => SetPrice, Callers, "Set a model's price from a date on";
    }
}

/// Says where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProvider {
    /// Its name.
    pub provider: ProviderId,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Base URL, e.g. `http://127.0.0.1:9090/v1`.
    pub url: String,
    /// Where its key is found: `env:NAME` or `file:PATH`, read by the gateway. Never the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Body for SetProvider {}

/// Says that a model can be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetModel {
    /// Its name.
    pub model: ModelId,
    /// What is known of it.
    pub spec: ModelSpec,
}

impl Body for SetModel {}

/// Says where a model's calls go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRoute {
    /// The model.
    pub model: ModelId,
    /// The targets, tried in order.
    pub targets: Vec<Target>,
}

impl Body for SetRoute {}

/// Sets a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPrice {
    /// The model.
    pub model: ModelId,
    /// From when it applies; from now on if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when it applies; until a later price begins if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The rates, in pico-dollars a token: $1.00 for a million tokens is 1000000.
    pub price: Rates,
    /// Other rates for some calls: by length of context, service tier or hour. Of those that apply, the last counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<PriceVariant>,
    /// Who says so, e.g. a page's address and the day on which it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Body for SetPrice {}
