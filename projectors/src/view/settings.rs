//! What a tenant has set: its place, time zone and state, and what can be called at which price.
//!
//! Knows what was recorded; must not know what a call costs or where it goes: that is decided by the live catalog, whose rules
//! are asked where a route is to be explained.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{
    CachePolicy, CatalogEvent, ModelSpec, PriceVariant, PromptPolicy, ProviderKind, Rates, RegistryEvent, RoutePolicy,
    RouteTerms, Target, TargetId, TenantEvent,
};
use steward_events::id::{ModelId, ProviderId, TenantId};
use steward_events::quantity::Shard;
use steward_events::timestamp::Timestamp;
use steward_queries::ErasureState;

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;

mod catalog;
mod route;
mod tenants;

/// The read model.
pub struct SettingsView {
    rows: Arc<Runner<Settings>>,
    engine: Arc<Engine>,
}

impl SettingsView {
    /// Over the engine's log and store.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { rows: engine.runner(), engine: Arc::clone(engine) }
    }
}

#[async_trait]
impl ReadModel for SettingsView {
    fn nouns(&self) -> &'static [&'static str] {
        &["tenant", "provider", "model", "route", "price"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match (query.noun(), query.verb()) {
            ("tenant", "list") => query.write(&self.tenants(query).await?),
            ("tenant", "show") => query.write(&self.tenant(query).await?),
            ("tenant", "export") => query.write(&self.export(query).await?),
            ("provider", "list") => query.write(&self.providers(query).await?),
            ("model", "list") => query.write(&self.models(query).await?),
            ("route", "explain") => query.write(&self.route(query).await?),
            ("price", "list") => query.write(&self.prices(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Settings;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsRow {
    /// Where a tenant was placed; in the tenant `steward`, under the tenant's name.
    Placed(StoredPlace),
    /// A tenant's life, in its own rows.
    Life(StoredLife),
    /// An upstream.
    Provider(StoredProvider),
    /// A model, its route, and from when its prices apply.
    Model(StoredModel),
    /// One price.
    Price(StoredPrice),
}

/// Where a tenant was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPlace {
    tenant: TenantId,
    shard: Shard,
    timezone: String,
    placed_at: Timestamp,
}

/// A tenant's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLife {
    timezone: String,
    suspended: Option<String>,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erasure: Option<ErasureState>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProvider {
    provider: ProviderId,
    kind: ProviderKind,
    url: String,
    key: Option<String>,
}

/// What a tenant has set of a model; what it has not set, it has from the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    model: ModelId,
    spec: Option<ModelSpec>,
    targets: Option<Vec<Target>>,
    policy: RoutePolicy,
    /// What else the route says.
    #[serde(default, skip_serializing_if = "RouteTerms::is_usual")]
    terms: RouteTerms,
    /// In order.
    prices: Vec<ModelPrice>,
    /// Whether its answers are given more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache: Option<CachePolicy>,
    /// What is done with its requests before they are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt: Option<PromptPolicy>,
}

/// The base rates of one price, and when they apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ModelPrice {
    from: Timestamp,
    until: Option<Timestamp>,
    rates: Rates,
    /// To calls at which target; none for those at all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetId>,
}

/// One price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPrice {
    model: ModelId,
    from: Timestamp,
    /// When it ends by itself.
    until: Option<Timestamp>,
    /// When the next one begins.
    next: Option<Timestamp>,
    price: Rates,
    variants: Vec<PriceVariant>,
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetId>,
}

impl Projector for Settings {
    const NAME: &'static str = "settings-v2";
    const REPLACES: &'static [&'static str] = &["settings-v1"];
    type Row = SettingsRow;

    reads!(Registry => fold_registry, Tenant => fold_tenant, Catalog => fold_catalog);
}

fn fold_registry(event: &RegistryEvent, recorded: &Recorded<'_>, rows: &mut Rows<SettingsRow>) {
    // That a tenant was erased is told by its own rows.
    let RegistryEvent::TenantPlaced { tenant, shard, timezone } = event else { return };
    *rows.row(&places(&recorded.stream.tenant).text(tenant.as_str())) = Some(SettingsRow::Placed(StoredPlace {
        tenant: tenant.clone(),
        shard: *shard,
        timezone: timezone.clone(),
        placed_at: recorded.entry.at,
    }));
}

fn fold_tenant(event: &TenantEvent, recorded: &Recorded<'_>, rows: &mut Rows<SettingsRow>) {
    let (row, at) = (rows.row(&life_key(&recorded.stream.tenant)), recorded.entry.at);
    if let TenantEvent::Created { tenant: _, timezone } = event {
        let timezone = timezone.clone();
        *row = Some(SettingsRow::Life(StoredLife { timezone, suspended: None, created_at: at, erasure: None }));
        return;
    }
    let Some(SettingsRow::Life(life)) = row else { return };
    match event {
        TenantEvent::Suspended { reason } => life.suspended = Some(reason.clone()),
        TenantEvent::Resumed => life.suspended = None,
        TenantEvent::ErasureAsked { .. } => {
            let (erased_at, keys_destroyed, contents_removed) = (None, 0, None);
            life.erasure = Some(ErasureState { asked_at: at, erased_at, keys_destroyed, contents_removed });
        }
        TenantEvent::ErasureCancelled => life.erasure = None,
        TenantEvent::Erased => {
            if let Some(erasure) = &mut life.erasure {
                erasure.erased_at = Some(at);
            }
        }
        TenantEvent::Destroyed { keys, contents } => {
            if let Some(erasure) = &mut life.erasure {
                erasure.keys_destroyed += keys.iter().filter(|key| key.wrapped.is_some()).count() as u64;
                erasure.contents_removed = contents.or(erasure.contents_removed);
            }
        }
        TenantEvent::SettingsChanged { settings, .. } => life.timezone.clone_from(&settings.timezone),
        // What is set beside is shown from the permissions, which know all of it.
        TenantEvent::Created { .. }
        | TenantEvent::ProjectCreated { .. }
        | TenantEvent::ProjectRenamed { .. }
        | TenantEvent::ProjectArchived { .. }
        | TenantEvent::ProjectRestored { .. }
        | TenantEvent::FlagSet { .. }
        | TenantEvent::FlagRemoved { .. }
        | TenantEvent::QuotaSet { .. }
        | TenantEvent::QuotaRemoved { .. }
        | TenantEvent::PlanSet { .. }
        | TenantEvent::PlanDefined { .. } => {}
    }
}

fn fold_catalog(event: &CatalogEvent, recorded: &Recorded<'_>, rows: &mut Rows<SettingsRow>) {
    let tenant = &recorded.stream.tenant;
    match event {
        CatalogEvent::ProviderSet { provider, kind, url, key } => {
            let (url, key) = (url.clone(), key.clone());
            *rows.row(&providers(tenant).text(provider.as_str())) =
                Some(SettingsRow::Provider(StoredProvider { provider: provider.clone(), kind: *kind, url, key }));
        }
        CatalogEvent::ModelSet { model, spec } => {
            change_model(tenant, model, rows, |stored| stored.spec = Some(spec.clone()));
        }
        CatalogEvent::RouteSet { model, targets, policy, terms } => {
            change_model(tenant, model, rows, |stored| {
                (stored.targets, stored.policy, stored.terms) = (Some(targets.clone()), *policy, terms.clone());
            });
        }
        CatalogEvent::PriceSet { model, from, until, price, variants, source, target } => {
            let stored = StoredPrice {
                model: model.clone(),
                from: *from,
                until: *until,
                next: None,
                price: *price,
                variants: variants.clone(),
                source: source.clone(),
                target: target.clone(),
            };
            set_price(tenant, stored, rows);
        }
        CatalogEvent::CacheSet { model, policy } => {
            change_model(tenant, model, rows, |stored| stored.cache = Some(policy.clone()));
        }
        CatalogEvent::PromptSet { model, policy } => {
            change_model(tenant, model, rows, |stored| stored.prompt = Some(*policy));
        }
        // What is kept stands in gateways only, and secrets have a view of their own.
        CatalogEvent::CachePurged { .. } | CatalogEvent::SecretSet { .. } | CatalogEvent::SecretRemoved { .. } => {}
    }
}

fn change_model<T>(
    tenant: &TenantId,
    model: &ModelId,
    rows: &mut Rows<SettingsRow>,
    change: impl FnOnce(&mut StoredModel) -> T,
) -> Option<T> {
    let fresh = || {
        let (model, policy) = (model.clone(), RoutePolicy::default());
        let (spec, targets, terms, cache, prompt) = (None, None, RouteTerms::default(), None, None);
        SettingsRow::Model(StoredModel { model, spec, targets, policy, terms, prices: Vec::new(), cache, prompt })
    };
    match rows.row(&models(tenant).text(model.as_str())).get_or_insert_with(fresh) {
        SettingsRow::Model(stored) => Some(change(stored)),
        _ => None,
    }
}

/// Keeps prices in order: of those for the same target, the one before ends where this one begins, and this one where the
/// next does.
fn set_price(tenant: &TenantId, price: StoredPrice, rows: &mut Rows<SettingsRow>) {
    let StoredPrice { model, from, until, price: rates, target, .. } = price.clone();
    let neighbours = change_model(tenant, &model, rows, |stored| {
        let place = stored.prices.partition_point(|known| (known.from, &known.target) < (from, &target));
        let new = ModelPrice { from, until, rates, target: target.clone() };
        match stored.prices.get_mut(place).filter(|known| (known.from, &known.target) == (from, &target)) {
            Some(known) => *known = new,
            None => stored.prices.insert(place, new),
        }
        let (before, after) = stored.prices.split_at(place);
        let alike = |known: &&ModelPrice| known.target == target;
        let next = after.iter().skip(1).find(alike).map(|known| known.from);
        (before.iter().rfind(alike).map(|known| known.from), next)
    });
    let Some((before, next)) = neighbours else { return };
    if let Some(before) = before
        && let Some(SettingsRow::Price(stored)) = rows.row(&price_key(tenant, &model, before, target.as_ref()))
    {
        stored.next = Some(from);
    }
    let key = price_key(tenant, &model, from, target.as_ref());
    *rows.row(&key) = Some(SettingsRow::Price(StoredPrice { next, ..price }));
}

fn places(steward: &TenantId) -> Key {
    Key::of(steward).text("place")
}

fn life_key(tenant: &TenantId) -> Key {
    Key::of(tenant).text("life")
}

fn providers(tenant: &TenantId) -> Key {
    Key::of(tenant).text("provider")
}

fn models(tenant: &TenantId) -> Key {
    Key::of(tenant).text("model")
}

fn prices(tenant: &TenantId) -> Key {
    Key::of(tenant).text("price")
}

fn prices_of(tenant: &TenantId, model: &ModelId) -> Key {
    prices(tenant).text(model.as_str())
}

/// Microseconds as a text of one width, so that a price's name sorts by time and can be written in a URL. Names of rows hold
/// no `~`, but those of providers' models may.
fn price_key(tenant: &TenantId, model: &ModelId, from: Timestamp, target: Option<&TargetId>) -> Key {
    let key = prices_of(tenant, model).text(&format!("{:020}", from.0));
    match target {
        None => key,
        Some(target) => key.text(&target.to_string().replace('%', "%25").replace('~', "%7E")),
    }
}
