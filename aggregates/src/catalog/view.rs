//! All catalogs as one view: what a tenant can call, each model by the catalog of whose providers are called.

use std::collections::{BTreeSet, HashMap};

use steward_events::commit::Recorded;
use steward_events::digest::BodyHash;
use steward_events::event::{CatalogEvent, ModelSpec, PriceVersion, PromptPolicy, RoutePolicy, RouteTerms, Target};
use steward_events::id::{ModelId, SecretId, TenantId};
use steward_events::quantity::Position;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

use super::cache::Caches;
use super::prompt::Prompts;
use super::{CacheTerms, CallFacts, Catalog, Course, Price, Provider, Standing};
use crate::aggregate::Aggregate;

/// The catalogs of all tenants.
#[derive(Debug, Default)]
pub struct Catalogs {
    tenants: HashMap<TenantId, Catalog>,
    /// Where each secret was set last.
    secrets: HashMap<TenantId, HashMap<SecretId, Position>>,
}

/// A secret as it is recorded: whose, which, and which of those that had its name. It does not tell the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordedSecret {
    /// In whose catalog.
    pub tenant: TenantId,
    /// Its name there.
    pub secret: SecretId,
    /// The digest of its recorded form.
    pub digest: BodyHash,
    /// Where it was set, in the tenant's shard.
    pub position: Position,
}

/// What stands behind a model's name for one tenant. All of it is from one catalog, that of whose providers are called and
/// pay: bounds, targets and price. A tenant whose own catalog does not route the model can only lower its output.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// Its bounds.
    pub spec: ModelSpec,
    /// Where calls can go; at least one.
    pub targets: Vec<(&'a Target, &'a Provider)>,
    /// How one is chosen.
    pub policy: RoutePolicy,
    /// What else the route says.
    pub terms: &'a RouteTerms,
    /// True if the operators set it, not the tenant.
    pub of_platform: bool,
    /// Whether its answers are given more than once: as the tenant says, else as the operators say of a model of theirs.
    pub cache: CacheTerms,
    /// What is done with its requests before they are sent; who says so is the same.
    pub prompt: PromptPolicy,
    catalog: &'a Catalog,
    model: ModelId,
}

impl Offer<'_> {
    /// The price in force at `at` of calls that go to `target`: its own, else the model's.
    pub fn price_at(&self, target: &Target, at: Timestamp) -> Option<(PriceVersion, Shared<Price>)> {
        self.catalog.price_at(&self.model, target, at)
    }

    /// Where a call goes, over targets that stand as `standing` says of each.
    pub fn course(&self, standings: impl IntoIterator<Item = Standing>, facts: &CallFacts<'_>) -> Course {
        Course::of(self.policy, self.targets.iter().map(|(target, _)| *target).zip(standings), facts)
    }
}

impl Catalogs {
    /// What `tenant` calls under the name `model`: of its own if it routes that name to its own providers, else the
    /// platform's.
    pub fn offer(&self, tenant: &TenantId, model: &ModelId) -> Option<Offer<'_>> {
        let own = self.tenants.get(tenant);
        if let Some(offer) = own.and_then(|own| offer(own, model, tenant.is_steward())) {
            let cache = Caches::terms(own.map(|own| &own.caches), None, model);
            let prompt = Prompts::policy(own.map(|own| &own.prompts), None, model);
            return Some(Offer { cache, prompt, ..offer });
        }
        let platform = self.tenants.get(&TenantId::steward()).filter(|_| !tenant.is_steward())?;
        let mut offer = offer(platform, model, true)?;
        if let Some(lowered) = own.and_then(|own| own.model(model)) {
            offer.spec.output_max = offer.spec.output_max.min(lowered.output_max);
        }
        offer.cache = Caches::terms(own.map(|own| &own.caches), Some(&platform.caches), model);
        offer.prompt = Prompts::policy(own.map(|own| &own.prompts), Some(&platform.prompts), model);
        Some(offer)
    }

    /// A secret in the catalog of `tenant`, if it is kept there.
    pub fn secret(&self, tenant: &TenantId, secret: &SecretId) -> Option<RecordedSecret> {
        let digest = self.tenants.get(tenant)?.secret(secret)?;
        let position = *self.secrets.get(tenant)?.get(secret)?;
        Some(RecordedSecret { tenant: tenant.clone(), secret: secret.clone(), digest, position })
    }

    /// All models that the tenant can call.
    pub fn models(&self, tenant: &TenantId) -> BTreeSet<&ModelId> {
        let steward = TenantId::steward();
        let catalogs = [tenant, &steward].into_iter().filter_map(|of| self.tenants.get(of));
        let named = catalogs.flat_map(|catalog| catalog.models().map(|(model, _)| model));
        named.filter(|model| self.offer(tenant, model).is_some()).collect()
    }
}

/// What `catalog` offers under a name, with nothing but what it holds itself.
fn offer<'a>(catalog: &'a Catalog, model: &ModelId, of_platform: bool) -> Option<Offer<'a>> {
    let spec = catalog.model(model)?.clone();
    let resolve = |target: &'a Target| Some((target, catalog.provider(&target.provider)?));
    let route = catalog.route(model)?;
    let targets: Vec<_> = route.targets.iter().filter_map(resolve).collect();
    (!targets.is_empty()).then(|| {
        let (cache, prompt) = (CacheTerms::default(), PromptPolicy::default());
        let (policy, terms, model) = (route.policy, &route.terms, model.clone());
        Offer { spec, targets, policy, terms, of_platform, cache, prompt, catalog, model }
    })
}

steward_events::view!(Catalogs, reads CatalogEvent);

impl Reads<CatalogEvent> for Catalogs {
    fn read(&mut self, event: &CatalogEvent, recorded: &Recorded<'_>) {
        let catalog = self.tenants.entry(recorded.stream.tenant.clone()).or_default();
        catalog.apply(event, recorded.entry.at);
        let secrets = self.secrets.entry(recorded.stream.tenant.clone()).or_default();
        match event {
            CatalogEvent::SecretSet { secret, .. } => _ = secrets.insert(secret.clone(), recorded.position),
            CatalogEvent::SecretRemoved { secret } => _ = secrets.remove(secret),
            CatalogEvent::ProviderSet { .. }
            | CatalogEvent::ModelSet { .. }
            | CatalogEvent::RouteSet { .. }
            | CatalogEvent::PriceSet { .. }
            | CatalogEvent::CacheSet { .. }
            | CatalogEvent::CachePurged { .. }
            | CatalogEvent::PromptSet { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
