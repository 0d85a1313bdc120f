//! All catalogs as one view: what a tenant did not set, it has from the tenant `steward`.

use std::collections::{BTreeMap, HashMap};

use steward_events::commit::Recorded;
use steward_events::event::{CatalogEvent, ModelSpec, PriceVersion, Target};
use steward_events::id::{ModelId, ProviderId, TenantId};
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;
use steward_events::view::Reads;

use super::{Catalog, Price, Provider};
use crate::aggregate::Aggregate;

/// The catalogs of all tenants.
#[derive(Debug, Default)]
pub struct Catalogs {
    tenants: HashMap<TenantId, Catalog>,
}

impl Catalogs {
    /// The tenant's own catalog, then the one it falls back on.
    fn own_then_shared(&self, tenant: &TenantId) -> impl Iterator<Item = &Catalog> {
        let shared = if tenant.is_steward() { None } else { self.tenants.get(&TenantId::steward()) };
        self.tenants.get(tenant).into_iter().chain(shared)
    }

    /// A model, as the tenant sees it.
    pub fn model(&self, tenant: &TenantId, model: &ModelId) -> Option<&ModelSpec> {
        self.own_then_shared(tenant).find_map(|catalog| catalog.model(model))
    }

    /// All models that the tenant can name.
    pub fn models(&self, tenant: &TenantId) -> BTreeMap<&ModelId, &ModelSpec> {
        let mut models = BTreeMap::new();
        for (model, spec) in self.own_then_shared(tenant).flat_map(Catalog::models) {
            models.entry(model).or_insert(spec);
        }
        models
    }

    /// Where the tenant's calls of a model go, in order; empty if nowhere.
    pub fn route(&self, tenant: &TenantId, model: &ModelId) -> &[Target] {
        self.own_then_shared(tenant).find_map(|catalog| catalog.route(model)).unwrap_or_default()
    }

    /// An upstream, as the tenant sees it.
    pub fn provider(&self, tenant: &TenantId, provider: &ProviderId) -> Option<&Provider> {
        self.own_then_shared(tenant).find_map(|catalog| catalog.provider(provider))
    }

    /// The price of a model in force at `at`.
    pub fn price_at(&self, tenant: &TenantId, model: &ModelId, at: Timestamp) -> Option<(PriceVersion, Shared<Price>)> {
        self.own_then_shared(tenant).find_map(|catalog| catalog.price_at(model, at))
    }
}

steward_events::view!(Catalogs, reads CatalogEvent);

impl Reads<CatalogEvent> for Catalogs {
    fn read(&mut self, event: &CatalogEvent, recorded: &Recorded<'_>) {
        let catalog = self.tenants.entry(recorded.stream.tenant.clone()).or_default();
        catalog.apply(event, recorded.entry.at);
    }
}
