//! The models: what callers name, where it goes, what it costs and how much it reads and writes.

use std::collections::BTreeMap;

use steward_events::event::Rates;
use steward_events::id::ModelId;
use steward_events::timestamp::Timestamp;

use super::super::costs::{Costs, Limits};
use super::super::notes::{Notes, Place};
use super::super::price_map::PriceMap;
use super::deployment::{Address, Deployment, Share};
use crate::command::apply::price::Priced;
use crate::command::price::list::PriceList;

/// Context of a model of which nothing says it. A bound that is too low would hide what was used; one that is too high costs
/// nothing, because no call reserves more input than it sends.
const CONTEXT_UNKNOWN: u64 = 1_000_000;

/// Output of a model of which nothing says it.
const OUTPUT_UNKNOWN: u64 = 4_096;

/// Where prices and limits are looked up.
pub(super) struct Prices<'p> {
    pub(super) map: Option<&'p PriceMap>,
    pub(super) list: &'p PriceList,
    /// From when a price applies of which nothing says it.
    pub(super) from: Timestamp,
    /// When the files were read, for a price's source.
    pub(super) read: Timestamp,
    /// What the file is called there.
    pub(super) file: &'p str,
}

/// A model that callers can name.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) id: ModelId,
    pub(super) place: Place,
    /// `provider/model-there`, in the order to try.
    pub(super) targets: Vec<String>,
    pub(super) prices: Vec<Priced>,
    pub(super) context_max: u64,
    pub(super) output_max: u64,
    /// What all its deployments take together.
    pub(super) share: Share,
}

/// The name under which it is offered here: names of models are small here, and have no slash.
pub(super) fn model_id(name: &str) -> Option<ModelId> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    ModelId::new(name.chars().map(plain).collect::<String>()).ok()
}

/// Providers by their names here: each address and key has one.
#[derive(Debug, Default)]
pub(super) struct Providers(Vec<(String, Address)>);

impl Providers {
    fn name(&mut self, address: &Address) -> String {
        if let Some((name, _)) = self.0.iter().find(|(_, known)| known == address) {
            return name.clone();
        }
        let stem = address.vendor.replace('_', "-");
        let alike = self.0.iter().filter(|(_, known)| known.vendor == address.vendor).count();
        let name = if alike == 0 { stem } else { format!("{stem}-{}", alike + 1) };
        self.0.push((name.clone(), address.clone()));
        name
    }

    /// Each with its name.
    pub(super) fn all(&self) -> &[(String, Address)] {
        &self.0
    }
}

/// The models, in the order of the file: deployments of one name are places of one model.
pub(super) fn offers(
    deployments: Vec<Deployment>,
    prices: &Prices<'_>,
    providers: &mut Providers,
    notes: &mut Notes,
) -> Vec<Offer> {
    let mut groups: Vec<(ModelId, Vec<Deployment>)> = Vec::new();
    for deployment in deployments {
        let Some(id) = model_id(&deployment.model) else {
            notes.not(&deployment.place, "left out: no model can be called so here; 1 to 80 of a-z 0-9 _ - .");
            continue;
        };
        match groups.iter_mut().find(|(known, _)| *known == id) {
            Some((_, group)) if group[0].model != deployment.model => {
                notes.not(&deployment.place, format!("left out: here it would be called {id}, as another model is"));
            }
            Some((_, group)) => group.push(deployment),
            None => groups.push((id, vec![deployment])),
        }
    }
    groups.into_iter().map(|(id, group)| offer(id, group, prices, providers, notes)).collect()
}

fn offer(
    id: ModelId,
    mut group: Vec<Deployment>,
    prices: &Prices<'_>,
    providers: &mut Providers,
    notes: &mut Notes,
) -> Offer {
    group.sort_by_key(|deployment| deployment.share.order.unwrap_or(u64::MAX));
    let mut targets: Vec<String> = Vec::new();
    for deployment in &group {
        let target = format!("{}/{}", providers.name(&deployment.address), deployment.upstream);
        if deployment.model == id.as_str() {
            notes.maps(&deployment.place, format!("calls of {id} go to {target}"));
        } else {
            notes.partly(&deployment.place, format!("calls of {id} go to {target}: callers must name it {id}"));
        }
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let place = group[0].place.clone();
    if targets.len() > 1 {
        notes
            .partly(&place, format!("its {} places are tried in order; calls are not spread over them", targets.len()));
    }
    let (context_max, output_max) = limits(&id, &group, prices, notes);
    let prices = dearest(&id, &group, prices, notes);
    Offer { share: sum(&group), id, place, targets, prices, context_max, output_max }
}

/// What all places take together; nothing if one of them does not say it.
fn sum(group: &[Deployment]) -> Share {
    let all = |of: fn(&Share) -> Option<u64>| {
        group.iter().map(|one| of(&one.share)).try_fold(0, |sum: u64, one| sum.checked_add(one?))
    };
    Share { order: None, calls: all(|share| share.calls), tokens: all(|share| share.tokens) }
}

fn limits(id: &ModelId, group: &[Deployment], prices: &Prices<'_>, notes: &mut Notes) -> (u64, u64) {
    let of = |deployment: &Deployment| {
        let mapped = prices.map.and_then(|map| map.of(deployment.address.kind, name(deployment)).ok().flatten());
        deployment.limits.or(mapped.map_or_else(Limits::default, |mapped| mapped.limits))
    };
    let limits: Vec<Limits> = group.iter().map(of).collect();
    let context = limits.iter().filter_map(|limits| limits.context()).max();
    let output = limits.iter().filter_map(|limits| limits.output).max();
    if context.is_none() || output.is_none() {
        notes.partly(&group[0].place, format!(
            "nothing says how much {id} {}: {} are taken; say it as max_input_tokens and max_output_tokens in model_info, or give --prices",
            if output.is_none() { "writes" } else { "reads" },
            if output.is_none() { OUTPUT_UNKNOWN } else { CONTEXT_UNKNOWN },
        ));
    }
    let output = output.unwrap_or(OUTPUT_UNKNOWN);
    (context.unwrap_or(CONTEXT_UNKNOWN).max(output), output)
}

/// The name by which prices know it.
fn name(deployment: &Deployment) -> &str {
    deployment.like.as_deref().unwrap_or(&deployment.upstream)
}

/// The prices of the dearest of its places: a model has one price, wherever its calls go.
fn dearest(id: &ModelId, group: &[Deployment], prices: &Prices<'_>, notes: &mut Notes) -> Vec<Priced> {
    let each: Vec<Vec<Priced>> = group.iter().map(|deployment| priced(id, deployment, prices, notes)).collect();
    if each.iter().any(Vec::is_empty) {
        notes.partly(&group[0].place, format!(
            "no price is known, so {id} cannot be called yet: steward price set {id} --input '$…/M' --output '$…/M', or import again with --prices"
        ));
        return Vec::new();
    }
    let sum =
        |priced: &Vec<Priced>| priced.iter().map(|one| one.rates.input.0.saturating_add(one.rates.output.0)).max();
    let alike = each.windows(2).all(|two| charge_alike(&two[0], &two[1]));
    if !alike {
        notes.partly(
            &group[0].place,
            format!("its places have several prices: the dearest is charged for every call of {id}"),
        );
    }
    each.into_iter().max_by_key(sum).unwrap_or_default()
}

fn charge_alike(some: &[Priced], others: &[Priced]) -> bool {
    let alike =
        |(one, other): (&Priced, &Priced)| (one.from, one.until) == (other.from, other.until) && one.charges_as(other);
    some.len() == others.len() && some.iter().zip(others).all(alike)
}

/// What one place charges: as the file says, else the price map, else the list that is shipped.
fn priced(id: &ModelId, deployment: &Deployment, prices: &Prices<'_>, notes: &mut Notes) -> Vec<Priced> {
    let of = |costs: Costs, source: String| {
        let Costs { rates, variants, .. } = costs;
        vec![Priced { from: prices.from, until: None, rates, variants, source: Some(source), target: None }]
    };
    if let Some(costs) = deployment.costs.clone() {
        let line = deployment.place.line.unwrap_or_default();
        return of(costs, format!("{}, entry in line {line}", prices.file));
    }
    let mapped = prices.map.map_or(Ok(None), |map| map.of(deployment.address.kind, name(deployment)));
    match mapped {
        Ok(Some(mapped)) => {
            for remark in &mapped.costs.remarks {
                notes.partly(&deployment.place, format!("price of {id}: {remark}"));
            }
            let source = mapped.source_text(prices.read);
            return of(mapped.costs, source);
        }
        Ok(None) => {}
        Err(why) => notes.not(&deployment.place, format!("the price map's price of {id} is left out: {why}")),
    }
    let lasts = |one: &&Priced| one.until.is_none_or(|until| until > prices.from);
    prices.list.of(name(deployment)).iter().filter(lasts).cloned().collect()
}

fn position(offers: &[Offer], name: &str) -> Option<usize> {
    model_id(name).and_then(|id| offers.iter().position(|offer| offer.id == id))
}

/// Adds what `fallbacks` say: where calls go that fail.
pub(super) fn fall_back(offers: &mut [Offer], from: &str, to: &[&str], place: &Place, notes: &mut Notes) {
    let Some(model) = position(offers, from) else {
        notes.not(place, "left out: it is about a model that was not taken over");
        return;
    };
    for name in to {
        let Some(other) = position(offers, name).filter(|other| *other != model) else {
            notes.not(place, format!("left out for {}: its fallback was not taken over", offers[model].id));
            continue;
        };
        let (id, fallback) = (offers[model].id.clone(), offers[other].clone());
        if !covers(&offers[model].prices, &fallback.prices) {
            notes.not(place, format!(
                "left out: calls of {id} are charged at its price wherever they go, and {} may be dearer; let callers name {} themselves",
                fallback.id, fallback.id
            ));
            continue;
        }
        let same = charge_alike(&offers[model].prices, &fallback.prices);
        let targets = &mut offers[model].targets;
        targets.extend(fallback.targets.iter().filter(|target| !targets.contains(target)).cloned().collect::<Vec<_>>());
        if same {
            notes.maps(place, format!("calls of {id} that fail go where those of {} go", fallback.id));
        } else {
            notes.partly(
                place,
                format!("calls of {id} that fail go where those of {} go, at the price of {id}", fallback.id),
            );
        }
    }
}

/// True if no call costs more at `other` than at `prices`, as far as that can be seen.
fn covers(prices: &[Priced], other: &[Priced]) -> bool {
    let ([price], [other]) = (prices, other) else { return !prices.is_empty() && charge_alike(prices, other) };
    let dearer = |a: &Rates, b: &Rates| {
        let of = |rates: &Rates| {
            let cache_write = rates.cache_write.unwrap_or(rates.input);
            [
                rates.input.0,
                rates.cached.0,
                rates.output.0,
                cache_write.0,
                rates.cache_write_1h.unwrap_or(cache_write).0,
                rates.reasoning.unwrap_or(rates.output).0,
                rates.audio_input.unwrap_or(rates.input).0,
                rates.audio_output.unwrap_or(rates.output).0,
                rates.image.unwrap_or_default().0,
                rates.search.unwrap_or_default().0,
                rates.call.unwrap_or_default().0,
            ]
        };
        of(a).iter().zip(of(b)).any(|(a, b)| *a < b)
    };
    let lowest = std::iter::once(&price.rates).chain(price.variants.iter().map(|variant| &variant.rates));
    let highest: Vec<&Rates> =
        std::iter::once(&other.rates).chain(other.variants.iter().map(|variant| &variant.rates)).collect();
    price.charges_as(other) || lowest.into_iter().all(|low| highest.iter().all(|high| !dearer(low, high)))
}

/// Adds another name of a model.
pub(super) fn alias(offers: &mut Vec<Offer>, name: &str, of: &str, place: &Place, notes: &mut Notes) {
    let known: BTreeMap<&ModelId, &Offer> = offers.iter().map(|offer| (&offer.id, offer)).collect();
    let (Some(id), Some(of)) = (model_id(name), model_id(of)) else {
        notes.not(place, "left out: no model can be called so here");
        return;
    };
    match (known.get(&of), known.contains_key(&id)) {
        (None, _) => notes.not(place, "left out: it is another name of a model that was not taken over"),
        (_, true) => notes.not(place, format!("left out: {id} is a model of its own")),
        (Some(offer), false) => {
            notes.maps(place, format!("{id} is offered as {of} is"));
            let alias = Offer { id, place: place.clone(), share: Share::default(), ..(*offer).clone() };
            offers.push(alias);
        }
    }
}
