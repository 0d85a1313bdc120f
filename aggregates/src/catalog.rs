//! Guards what can be called and at which price: upstreams are sane, a price that was charged never changes, and who pays
//! decides (ADR 23): a tenant's models, routes and prices are for calls that go to its own providers.

use std::collections::BTreeMap;

use serde_json::json;
use steward_events::command::{CatalogCommand, SetModel, SetPrice, SetProvider, SetRoute};
use steward_events::digest::BodyHash;
use steward_events::event::{CatalogEvent, ModelSpec, PriceVariant, PriceVersion, ProviderKind, Rates};
use steward_events::id::{ModelId, ProviderId, SecretId};
use steward_events::quantity::{NanoDollars, PicoDollarsPerToken, Tokens};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

mod cache;
mod price;
pub mod route;
mod secret;
mod targets;
mod upstream;
mod view;

pub use cache::{CacheTerms, TTL_MAX_S};
pub use price::{Ceiling, Charge, Most, Price};
pub use route::{CallFacts, Course, LeftOut, Route, Standing};
pub use secret::SECRETS_MAX;
pub use targets::{TAG_BYTES_MAX, TAGS_MAX, TARGETS_MAX, UPSTREAM_MODEL_BYTES_MAX, WEIGHT_MAX};
pub use view::{Catalogs, Offer, RecordedSecret};

/// The most models, and the most providers, of one tenant.
pub const ITEMS_MAX: usize = 10_000;

/// The most prices of one model, past and future.
pub const PRICES_MAX: usize = 1_000;

/// The largest context, in tokens, and with [`PRICE_MAX`] the bound that keeps every cost within 64 bits.
pub const CONTEXT_MAX: Tokens = Tokens(100_000_000);

/// The dearest price: one dollar a token.
pub const PRICE_MAX: PicoDollarsPerToken = PicoDollarsPerToken(1_000_000_000_000);

/// The dearest price of one image, search or call.
pub const UNIT_PRICE_MAX: NanoDollars = NanoDollars(1_000_000_000_000);

/// The most variants of one price.
pub const VARIANTS_MAX: usize = 32;

/// The most spans of hours of one variant.
pub const HOURS_MAX: usize = 14;

/// The longest source of a price, in bytes.
pub const SOURCE_BYTES_MAX: usize = 500;

/// What one tenant set for calls to its own providers; all other calls follow the catalog of `steward` ([`Catalogs`]).
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    providers: BTreeMap<ProviderId, Provider>,
    models: BTreeMap<ModelId, ModelSpec>,
    routes: BTreeMap<ModelId, Route>,
    prices: BTreeMap<ModelId, BTreeMap<Timestamp, Shared<Price>>>,
    caches: cache::Caches,
    /// Of each secret the digest of its recorded form.
    secrets: BTreeMap<SecretId, BodyHash>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Kind of the provider.
    pub kind: ProviderKind,
    /// Base URL.
    pub url: String,
    /// Where its key is found, as a [`KeyPlace`](steward_events::provider_key::KeyPlace) says it.
    pub key: Option<String>,
}

impl Catalog {
    /// An upstream.
    pub fn provider(&self, provider: &ProviderId) -> Option<&Provider> {
        self.providers.get(provider)
    }

    /// A model.
    pub fn model(&self, model: &ModelId) -> Option<&ModelSpec> {
        self.models.get(model)
    }

    /// All models.
    pub fn models(&self) -> impl Iterator<Item = (&ModelId, &ModelSpec)> {
        self.models.iter()
    }

    /// Where calls of a model go.
    pub fn route(&self, model: &ModelId) -> Option<&Route> {
        self.routes.get(model)
    }

    /// The price of a model in force at `at`.
    pub fn price_at(&self, model: &ModelId, at: Timestamp) -> Option<(PriceVersion, Shared<Price>)> {
        let (from, price) = self.prices.get(model)?.range(..=at).next_back().filter(|(_, price)| price.lasts(at))?;
        Some((PriceVersion { model: model.clone(), from: *from }, price.clone()))
    }

    fn set_provider(&self, set: &SetProvider, stamp: &Stamp) -> Result<Vec<CatalogEvent>, Rejection> {
        if set.kind == ProviderKind::Scripted && !stamp.tenant.is_steward() {
            return Err(Rejection::invalid("kind", "scripted is for tests of the operators; name a real provider"));
        }
        upstream::check_url(set.kind, &set.url)?;
        if let Some(reference) = &set.key {
            self.check_key(reference, stamp)?;
        }
        let SetProvider { provider, kind, url, key } = set.clone();
        if self.providers.get(&provider) == Some(&Provider { kind, url: url.clone(), key: key.clone() }) {
            return Ok(vec![]);
        }
        limit::count("providers", self.providers.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::ProviderSet { provider, kind, url, key }])
    }

    fn set_model(&self, set: &SetModel) -> Result<Vec<CatalogEvent>, Rejection> {
        let SetModel { model, spec } = set.clone();
        if spec.output_max == Tokens(0) || spec.output_max > spec.context_max {
            return Err(Rejection::invalid("spec.output_max", "must be at least 1 and at most context_max"));
        }
        if spec.context_max > CONTEXT_MAX {
            return Err(Rejection::invalid("spec.context_max", format!("must be at most {CONTEXT_MAX}")));
        }
        if self.models.get(&model) == Some(&spec) {
            return Ok(vec![]);
        }
        limit::count("models", self.models.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::ModelSet { model, spec }])
    }

    /// A route leads to providers of the same catalog: with those of `steward` go their key and their bill, so only
    /// `steward` says what is asked of them.
    fn set_route(&self, set: &SetRoute, stamp: &Stamp) -> Result<Vec<CatalogEvent>, Rejection> {
        let SetRoute { model, targets, policy } = set.clone();
        targets::check(&targets)?;
        for target in &targets {
            if !self.providers.contains_key(&target.provider) {
                return Err(not_own(stamp, "route:set", ("provider", target.provider.as_str())));
            }
        }
        if !self.models.contains_key(&model) {
            return Err(not_own(stamp, "route:set", ("model", model.as_str())));
        }
        if self.routes.get(&model).is_some_and(|route| route.targets == targets && route.policy == policy) {
            return Ok(vec![]);
        }
        limit::count("routes", self.routes.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::RouteSet { model, targets, policy }])
    }

    /// A price may begin in the past only where no price was in force: what was charged is never charged anew.
    fn set_price(&self, set: &SetPrice, stamp: &Stamp) -> Result<Vec<CatalogEvent>, Rejection> {
        let model = set.model.clone();
        let from = set.from.unwrap_or(stamp.at);
        check_price(set, from)?;
        if !stamp.tenant.is_steward() && !self.routes.contains_key(&model) {
            return Err(not_own(stamp, "price:set", ("route of the model", model.as_str())));
        }
        let price = priced(set);
        let known = self.prices.get(&model);
        let at_that_moment = known.and_then(|prices| prices.get(&from));
        let left_out_and_in_force =
            set.from.is_none() && self.price_at(&model, stamp.at).is_some_and(|(_, in_force)| *in_force == price);
        if at_that_moment.is_some_and(|known| **known == price) || left_out_and_in_force {
            return Ok(vec![]);
        }
        let last_begun = known.and_then(|prices| prices.range(..=stamp.at).next_back());
        if from < stamp.at && last_begun.is_some_and(|(_, known)| known.lasts(from)) {
            return Err(Rejection::invalid(
                "from",
                format!("{from} is in the past, and {model} already had a price then; a price must begin now or later"),
            ));
        }
        limit::count("prices", known.map_or(0, BTreeMap::len) + 1, PRICES_MAX)?;
        let Price { until, base, variants, source } = price;
        Ok(vec![CatalogEvent::PriceSet { model, from, until, price: base, variants, source }])
    }
}

/// Somebody names what stands in no catalog of theirs: in `steward` there is none; for a tenant it may be the platform's.
fn not_own(stamp: &Stamp, permission: &str, (what, id): (&str, &str)) -> Rejection {
    let Ok(permission) = permission.parse() else { return Rejection::not_found(what, &id) };
    if stamp.tenant.is_steward() {
        return Rejection::not_found(what, &id);
    }
    let tenant = &stamp.tenant;
    Rejection::Forbidden {
        principal: stamp.actor.clone(),
        permission,
        scope: Scope::everything(),
        reason: format!(
            "{tenant} has no {what} {id} of its own; who pays for a provider decides what is called there, and at which price"
        ),
        would_allow: format!(
            "an operator's command in the tenant steward; or, for a provider of {tenant}, steward provider set, model set and route set with --tenant {tenant} first"
        ),
    }
}

/// The price that a command sets.
fn priced(set: &SetPrice) -> Price {
    let SetPrice { until, price: base, variants, source, .. } = set.clone();
    Price { until, base, variants, source }
}

/// Refuses a price that is too dear, too long or never in force.
fn check_price(set: &SetPrice, from: Timestamp) -> Result<(), Rejection> {
    if set.until.is_some_and(|until| until <= from) {
        return Err(Rejection::invalid("until", "is not after the price's beginning"));
    }
    check_rates("price", &set.price)?;
    limit::count("variants", set.variants.len(), VARIANTS_MAX)?;
    for PriceVariant { context_above, tier, hours, rates } in &set.variants {
        check_rates("variants.rates", rates)?;
        if context_above.is_none() && tier.is_none() && hours.is_empty() {
            return Err(Rejection::invalid("variants", "one says of no call that it applies"));
        }
        limit::count("variants.hours", hours.len(), HOURS_MAX)?;
        if hours.iter().any(|hours| hours.from >= hours.to) {
            return Err(Rejection::invalid("variants.hours", "end before they begin; write one span for each day"));
        }
        if hours.iter().any(|hours| hours.days.len() > 7) {
            return Err(Rejection::invalid("variants.hours.days", "a week has 7 days"));
        }
    }
    limit::text("source", set.source.as_deref().unwrap_or_default(), SOURCE_BYTES_MAX)
}

fn check_rates(what: &'static str, rates: &Rates) -> Result<(), Rejection> {
    let Rates { input, cached, output, cache_write, cache_write_1h, reasoning, audio_input, audio_output, .. } = *rates;
    let tokens =
        [Some(input), Some(cached), Some(output), cache_write, cache_write_1h, reasoning, audio_input, audio_output];
    if tokens.into_iter().flatten().any(|rate| rate > PRICE_MAX) {
        return Err(Rejection::invalid(what, "must be at most one dollar a token"));
    }
    if [rates.image, rates.search, rates.call].into_iter().flatten().any(|price| price > UNIT_PRICE_MAX) {
        return Err(Rejection::invalid(
            what,
            format!("a price of one image, search or call is at most {UNIT_PRICE_MAX}"),
        ));
    }
    Ok(())
}

impl Aggregate for Catalog {
    type Command = CatalogCommand;
    type Event = CatalogEvent;

    fn decide(&self, command: &CatalogCommand, stamp: &Stamp) -> Result<Vec<CatalogEvent>, Rejection> {
        match command {
            CatalogCommand::SetProvider(set) => self.set_provider(set, stamp),
            CatalogCommand::SetModel(set) => self.set_model(set),
            CatalogCommand::SetRoute(set) => self.set_route(set, stamp),
            CatalogCommand::SetPrice(set) => self.set_price(set, stamp),
            CatalogCommand::SetCache(set) => self.caches.set(set),
            CatalogCommand::PurgeCache(purge) => self.caches.purge(purge),
            CatalogCommand::SetSecret(set) => self.set_secret(set),
            CatalogCommand::MakeSecret(make) => self.make_secret(make),
            CatalogCommand::RemoveSecret(remove) => self.remove_secret(remove),
        }
    }

    fn apply(&mut self, event: &CatalogEvent, at: Timestamp) {
        match event.clone() {
            CatalogEvent::ProviderSet { provider, kind, url, key } => {
                self.providers.insert(provider, Provider { kind, url, key });
            }
            CatalogEvent::ModelSet { model, spec } => {
                self.models.insert(model, spec);
            }
            CatalogEvent::RouteSet { model, targets, policy } => {
                self.routes.insert(model, Route { targets, policy });
            }
            CatalogEvent::PriceSet { model, from, until, price: base, variants, source } => {
                let price = Price { until, base, variants, source };
                self.prices.entry(model).or_default().insert(from, price.into());
            }
            CatalogEvent::CacheSet { model, policy } => self.caches.was_set(model, policy),
            CatalogEvent::CachePurged { model } => self.caches.was_purged(model, at),
            CatalogEvent::SecretSet { secret, value } => {
                self.secrets.insert(secret, value.digest());
            }
            CatalogEvent::SecretRemoved { secret } => {
                self.secrets.remove(&secret);
            }
        }
    }

    fn answer(&self, command: &CatalogCommand) -> serde_json::Value {
        match command {
            CatalogCommand::SetProvider(set) => json!({ "provider": set.provider }),
            CatalogCommand::SetModel(set) => json!({ "model": set.model }),
            CatalogCommand::SetRoute(set) => json!({ "model": set.model }),
            CatalogCommand::SetCache(set) => json!({ "model": set.model }),
            CatalogCommand::PurgeCache(purge) => json!({ "model": purge.model }),
            CatalogCommand::SetSecret(set) => json!({ "secret": set.secret }),
            CatalogCommand::MakeSecret(make) => json!({ "secret": make.secret }),
            CatalogCommand::RemoveSecret(remove) => json!({ "secret": remove.secret }),
            CatalogCommand::SetPrice(set) => {
                let mut froms = self.prices.get(&set.model).into_iter().flat_map(BTreeMap::iter);
                let price = priced(set);
                let from = froms.rfind(|(from, known)| set.from.is_none_or(|f| f == **from) && ***known == price);
                let version = from.map(|(from, _)| PriceVersion { model: set.model.clone(), from: *from });
                json!({ "model": set.model, "price": version.map(|version| version.to_string()) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
