//! Upstreams, models and prices as a tenant sees them: a model that it routes to its own providers is its own, with its
//! own prices; every other one is the platform's.

use std::collections::BTreeSet;

use steward_events::event::{Rates, TargetId};
use steward_events::id::{ModelId, ProviderId, TenantId};
use steward_events::provider_key::KeyPlace;
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_queries::{
    ListModels, ListPrices, ListProviders, ModelPage, ModelRow, Paging, PricePage, PriceRow, ProviderPage, ProviderRow,
};

use super::{
    ModelPrice, SettingsRow, SettingsView, StoredModel, StoredPrice, StoredProvider, models, prices, prices_of,
    providers,
};
use crate::engine::key::Key;
use crate::engine::page::{Part, after, part};
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;

/// What stands where something is left out.
const LEFT_OUT: &str = "…";

impl SettingsView {
    pub(super) async fn providers(&self, query: &Query<'_>) -> Result<ProviderPage, NoAnswer> {
        let asked: ListProviders = query.read()?;
        let paging = asked.paging();
        let wanted = |row: SettingsRow| match row {
            SettingsRow::Provider(row) => Some(row),
            _ => None,
        };
        let (own, inherited) = self.both(query, &paging, providers, |_| None, wanted).await?;
        Ok(own.merge(inherited, paging.limit, |own, inherited| {
            let is_inherited = own.is_none();
            own.or(inherited).map(|row| provider_row(row, is_inherited))
        }))
    }

    pub(super) async fn models(&self, query: &Query<'_>) -> Result<ModelPage, NoAnswer> {
        let asked: ListModels = query.read()?;
        let (paging, now) = (asked.paging(), self.engine.ports.clock.now());
        let wanted = |row: SettingsRow| match row {
            SettingsRow::Model(row) => Some(row),
            _ => None,
        };
        let (own, inherited) = self.both(query, &paging, models, |_| None, wanted).await?;
        Ok(own.merge(inherited, paging.limit, |own, inherited| {
            let row = model_row(own, inherited, now)?;
            let provider = asked.provider.as_ref();
            let goes_there = |wanted: &ProviderId| row.targets.iter().any(|target| target.provider == *wanted);
            provider.is_none_or(goes_there).then_some(row)
        }))
    }

    pub(super) async fn prices(&self, query: &Query<'_>) -> Result<PricePage, NoAnswer> {
        let asked: ListPrices = query.read()?;
        let paging = asked.paging();
        let wanted = |row: SettingsRow| match row {
            SettingsRow::Price(row) => Some(row),
            _ => None,
        };
        let within = |tenant: &TenantId| asked.model.as_ref().map(|model| prices_of(tenant, model));
        let routed = self.routed(query, &paging).await?;
        let (own, inherited) = self.both(query, &paging, prices, within, wanted).await?;
        let applies = |is_own: bool| {
            let routed = &routed;
            move |price: &StoredPrice| routed.contains(&price.model) == is_own
        };
        Ok(own.merge(inherited, paging.limit, |own, inherited| {
            let own = own.filter(applies(true));
            let is_inherited = own.is_none();
            let found = own.or_else(|| inherited.filter(applies(false)))?;
            let StoredPrice { model, from, until: ends, next, price, variants, source, target } = found;
            let until = [ends, next].into_iter().flatten().min();
            Some(PriceRow { model, from, ends, until, price, variants, source, target, inherited: is_inherited })
        }))
    }

    /// The models that the tenant routes to its own providers. In `steward` all prices are its own.
    async fn routed(&self, query: &Query<'_>, paging: &Paging) -> Result<BTreeSet<ModelId>, NoAnswer> {
        let prefix = models(query.tenant());
        let of_platform = query.tenant().is_steward();
        let is_routed = move |row: SettingsRow| match row {
            SettingsRow::Model(row) if of_platform || row.is_routed() => Ok(Some(row.model)),
            _ => Ok(None),
        };
        let all = (usize::MAX, usize::MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, None, all, is_routed);
        let page = self.rows.read(query.shard, paging.min_position, read).await?.page();
        Ok(page.rows.into_iter().collect())
    }

    /// A part of the tenant's own list, and the same part of the platform's.
    async fn both<T: Send + 'static>(
        &self,
        query: &Query<'_>,
        paging: &Paging,
        prefix: fn(&TenantId) -> Key,
        within: impl Fn(&TenantId) -> Option<Key>,
        wanted: impl Fn(SettingsRow) -> Option<T> + Clone + Send + 'static,
    ) -> Result<(Part<T>, Part<T>), NoAnswer> {
        let read = |tenant: &TenantId| {
            let (prefix, within, wanted) = (prefix(tenant), within(tenant), wanted.clone());
            let (after, bounds) = (after(&prefix, paging)?, (paging.limit, usize::MAX));
            Ok::<_, NoAnswer>(move |rows: &Snapshot<'_>| {
                part(rows, &prefix, within.as_ref(), after.as_ref(), bounds, |row| Ok(wanted(row)))
            })
        };
        let own = self.rows.read(query.shard, paging.min_position, read(query.tenant())?).await?;
        if query.tenant().is_steward() {
            return Ok((own, Part::empty()));
        }
        Ok((own, self.rows.read(STEWARD_SHARD, None, read(&TenantId::steward())?).await?))
    }
}

/// Where the platform finds its keys is no tenant's business, and a URL may hold a password.
fn provider_row(row: StoredProvider, inherited: bool) -> ProviderRow {
    let StoredProvider { provider, kind, url, key } = row;
    let shown = |key: String| if KeyPlace::read(&key).is_some() { key } else { LEFT_OUT.to_owned() };
    let key = key.filter(|_| !inherited).map(shown);
    let url = if url.contains('@') { LEFT_OUT.to_owned() } else { url };
    ProviderRow { provider, kind, url, key, inherited }
}

impl StoredModel {
    /// True if its calls go to providers of the same catalog.
    pub(super) fn is_routed(&self) -> bool {
        self.spec.is_some() && self.targets.as_ref().is_some_and(|targets| !targets.is_empty())
    }

    /// The base rates in force at `now`: those of one target, or those of all that have none of their own.
    pub(super) fn rates_at(&self, target: Option<&TargetId>, now: Timestamp) -> Option<Rates> {
        rates_at(&self.prices, target, now)
    }
}

fn rates_at(prices: &[ModelPrice], target: Option<&TargetId>, now: Timestamp) -> Option<Rates> {
    let of_it = |price: &&ModelPrice| price.target.as_ref() == target && price.from <= now;
    let last_begun = prices.iter().rev().find(of_it);
    last_begun.filter(|price| price.until.is_none_or(|until| now < until)).map(|price| price.rates)
}

/// A model that the tenant routes is its own; of another it can lower the output. One of which only a part is known is
/// none.
fn model_row(own: Option<StoredModel>, inherited: Option<StoredModel>, now: Timestamp) -> Option<ModelRow> {
    let lowered = own.as_ref().and_then(|own| own.spec.as_ref()).map(|spec| spec.output_max);
    let own_cache = own.as_ref().and_then(|own| own.cache.clone());
    let own_prompt = own.as_ref().and_then(|own| own.prompt);
    let (stored, is_inherited) = match (own, inherited) {
        (Some(own), None) => (own, false),
        (Some(own), Some(_)) if own.is_routed() => (own, false),
        (_, inherited) => (inherited?, true),
    };
    let StoredModel { model, spec, targets, policy, terms, prices, cache, prompt } = stored;
    let mut spec = spec?;
    let lowered = lowered.filter(|_| is_inherited);
    spec.output_max = lowered.map_or(spec.output_max, |lowered| spec.output_max.min(lowered));
    let (targets, price) = (targets.unwrap_or_default(), rates_at(&prices, None, now));
    let cache = own_cache.clone().or(cache).unwrap_or_default();
    let prompt = own_prompt.or(prompt).unwrap_or_default();
    let inherited = is_inherited;
    Some(ModelRow {
        model,
        spec,
        targets,
        policy,
        terms,
        price,
        inherited,
        lowered,
        cache,
        own_cache,
        prompt,
        own_prompt,
    })
}
