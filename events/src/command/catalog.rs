//! Commands about providers, models and prices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{CachePolicy, ModelSpec, PriceVariant, ProviderKind, Rates, RoutePolicy, Target};
use crate::id::{ModelId, ProviderId, SecretId, TenantId};
use crate::provider_key::SecretValue;
use crate::sealed::{Content, KeyOwner, Sealable};
use crate::timestamp::Timestamp;

commands! {
    CatalogCommand of Catalog {
        "provider" "set" => SetProvider, Callers, "Set a provider: its address and its kind";
        "model" "set" => SetModel, Callers, "Set a model under the name that callers use";
        "route" "set" => SetRoute, Callers, "Set the targets of a model's calls, and how one is chosen";
        "price" "set" => SetPrice, Callers, "Set a model's price from a date on";
        "cache" "set" => SetCache, Callers, "Set for how long answers of a model are kept for calls that ask the same";
        "cache" "purge" => PurgeCache, Callers, "Give no answer of a model that was kept until now";
        "secret" "set" => SetSecret, Callers, "Keep a secret, such as the key of a provider: sealed, and shown to nobody again";
        "secret" "make" => MakeSecret, System, "Make a secret of Steward's own for the tenant, unless there is one";
        "secret" "remove" => RemoveSecret, Callers, "Remove a secret that no provider uses";
    }
}

/// Says where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProvider {
    /// Name of the provider.
    pub provider: ProviderId,
    /// Kind of the provider.
    pub kind: ProviderKind,
    /// Base URL, e.g. `http://127.0.0.1:9090/v1`.
    pub url: String,
    /// Place of the provider's key, never the key itself: `secret:NAME`; in `steward` also `env:NAME` or `file:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Body for SetProvider {}

/// Says that a model can be named. Of a model of the platform a tenant can lower `output_max`, and nothing else, as long as
/// it does not route that name to its own providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetModel {
    /// Name that callers use.
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
    /// The targets: providers of the same tenant, because who pays decides what is called. Each is written
    /// `provider/model-there`, and behind it what is not as usual: `weight=3`, `priority=1`, `tags=a+b`, `input_min=1`,
    /// `input_max=8000`, `on=context_length+content_filter`.
    pub targets: Vec<Target>,
    /// How a target is chosen among those of the same priority; in the order in which they stand if left out.
    #[serde(default, skip_serializing_if = "RoutePolicy::is_usual")]
    pub policy: RoutePolicy,
}

impl Body for SetRoute {}

/// Sets a price of a model that goes to providers of the same tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPrice {
    /// The model.
    pub model: ModelId,
    /// First moment of the price; now if left out.
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

/// Says whether answers of a model are given more than once. A tenant says so for its own calls, whosever the model is; what
/// the platform says of its models holds for tenants that say nothing. Left out, both are off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCache {
    /// Name that callers use.
    pub model: ModelId,
    /// For how many seconds a whole answer is kept, at most a day; not at all if 0.
    #[serde(default)]
    pub ttl_s: u32,
    /// Whether calls that run at the same time share one call to the provider; the one that began first pays it.
    #[serde(default)]
    pub coalesce: bool,
}

impl SetCache {
    /// What it sets.
    pub const fn policy(&self) -> CachePolicy {
        CachePolicy { ttl_s: self.ttl_s, coalesce: self.coalesce }
    }
}

impl Body for SetCache {}

/// Forgets the answers of a model: those that were kept before this are given to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeCache {
    /// Name that callers use.
    pub model: ModelId,
}

impl Body for PurgeCache {}
/// Keeps a secret of the tenant, or replaces it: the next call uses the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// Name of the secret.
    pub secret: SecretId,
    /// The secret: 1 to 4096 visible ASCII characters; sealed before anything is decided or recorded.
    pub value: Content<SecretValue>,
}

impl Body for SetSecret {
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        vec![(&mut self.value, KeyOwner::Tenant(tenant.clone()))]
    }
    /// Nobody sees that two secrets of a tenant are the same.
    fn sealed_at(&self) -> String {
        format!("secret/{}", self.secret)
    }
}

/// Makes a secret of Steward's own for the tenant, under a name that begins with `sys_`. If there is one, that one stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeSecret {
    /// Name of the secret.
    pub secret: SecretId,
    /// The secret, drawn at random by who needs it; sealed before anything is decided or recorded.
    pub value: Content<SecretValue>,
}

impl Body for MakeSecret {
    fn sealed(&mut self, tenant: &TenantId) -> Vec<(&mut dyn Sealable, KeyOwner)> {
        vec![(&mut self.value, KeyOwner::Tenant(tenant.clone()))]
    }
    fn sealed_at(&self) -> String {
        format!("secret/{}", self.secret)
    }
}

/// Removes a secret. One that a provider uses stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveSecret {
    /// Name of the secret.
    pub secret: SecretId,
}

impl Body for RemoveSecret {}
