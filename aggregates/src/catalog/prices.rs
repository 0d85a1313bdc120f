//! What calls of each model cost from when on: at all of its targets, and at those that have prices of their own.

use std::collections::BTreeMap;

use steward_events::command::SetPrice;
use steward_events::event::{CatalogEvent, PriceVariant, PriceVersion, Rates, Target, TargetId};
use steward_events::id::ModelId;
use steward_events::rejection::Rejection;
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;

use super::price::Price;
use super::{HOURS_MAX, PRICE_MAX, PRICES_MAX, SOURCE_BYTES_MAX, UNIT_PRICE_MAX, VARIANTS_MAX};
use crate::limit;

/// The prices of one catalog.
#[derive(Clone, Debug, Default)]
pub(super) struct Prices(BTreeMap<ModelId, OfModel>);

/// The prices of one model.
#[derive(Clone, Debug, Default)]
struct OfModel {
    everywhere: ByStart,
    at_targets: BTreeMap<TargetId, ByStart>,
}

/// Prices, each by its first moment.
type ByStart = BTreeMap<Timestamp, Shared<Price>>;

impl OfModel {
    fn of(&self, target: Option<&TargetId>) -> Option<&ByStart> {
        match target {
            None => Some(&self.everywhere),
            Some(target) => self.at_targets.get(target),
        }
    }

    fn count(&self) -> usize {
        self.everywhere.len() + self.at_targets.values().map(BTreeMap::len).sum::<usize>()
    }
}

/// The price in force at `at`.
fn in_force(prices: &ByStart, at: Timestamp) -> Option<(Timestamp, &Shared<Price>)> {
    let (from, price) = prices.range(..=at).next_back().filter(|(_, price)| price.lasts(at))?;
    Some((*from, price))
}

/// True if calls of `at` or later may have been charged at one of `prices` by `now`.
fn may_have_charged(prices: &ByStart, at: Timestamp, now: Timestamp) -> bool {
    prices.range(..=now).next_back().is_some_and(|(_, last_begun)| last_begun.lasts(at))
}

impl Prices {
    /// The price in force at `at` of calls of `model` at `target`: its own, else that of all.
    pub(super) fn at(&self, model: &ModelId, target: &Target, at: Timestamp) -> Option<(PriceVersion, Shared<Price>)> {
        let prices = self.0.get(model)?;
        let found = |of: &ByStart, target: Option<TargetId>| {
            let (from, price) = in_force(of, at)?;
            Some((PriceVersion { model: model.clone(), from, target }, price.clone()))
        };
        // Few models have any, and a name costs memory.
        let own = (!prices.at_targets.is_empty()).then(|| target.id());
        let own = own.and_then(|target| found(prices.at_targets.get(&target)?, Some(target)));
        own.or_else(|| found(&prices.everywhere, None))
    }

    /// A price may begin in the past only where no price was in force: what was charged is never charged anew. So a price of
    /// one target begins after that of all targets as well.
    pub(super) fn set(&self, set: &SetPrice, now: Timestamp) -> Result<Vec<CatalogEvent>, Rejection> {
        let (model, target, from) = (set.model.clone(), set.target.clone(), set.from.unwrap_or(now));
        let price = priced(set);
        let of_model = self.0.get(&model);
        let known = of_model.and_then(|prices| prices.of(target.as_ref()));
        let at_that_moment = known.and_then(|prices| prices.get(&from));
        let left_out_and_in_force = set.from.is_none()
            && known.and_then(|prices| in_force(prices, now)).is_some_and(|(_, in_force)| **in_force == price);
        if at_that_moment.is_some_and(|known| **known == price) || left_out_and_in_force {
            return Ok(vec![]);
        }
        let mut charged = [known, of_model.map(|prices| &prices.everywhere)].into_iter().flatten();
        if from < now && charged.any(|prices| may_have_charged(prices, from, now)) {
            return Err(Rejection::invalid(
                "from",
                format!("{from} is in the past, and {model} already had a price then; a price must begin now or later"),
            ));
        }
        limit::count("prices", of_model.map_or(0, OfModel::count) + 1, PRICES_MAX)?;
        let Price { until, base, variants, source } = price;
        Ok(vec![CatalogEvent::PriceSet { model, from, until, price: base, variants, source, target }])
    }

    pub(super) fn was_set(&mut self, model: ModelId, target: Option<TargetId>, from: Timestamp, price: Price) {
        let of_model = self.0.entry(model).or_default();
        let prices = match target {
            None => &mut of_model.everywhere,
            Some(target) => of_model.at_targets.entry(target).or_default(),
        };
        prices.insert(from, price.into());
    }

    /// The version that `set` made, or found there.
    pub(super) fn version(&self, set: &SetPrice) -> Option<PriceVersion> {
        let (price, target) = (priced(set), set.target.clone());
        let mut all = self.0.get(&set.model)?.of(target.as_ref())?.iter();
        let (from, _) = all.rfind(|(from, known)| set.from.is_none_or(|f| f == **from) && ***known == price)?;
        Some(PriceVersion { model: set.model.clone(), from: *from, target })
    }
}

/// The price that a command sets.
fn priced(set: &SetPrice) -> Price {
    let SetPrice { until, price: base, variants, source, .. } = set.clone();
    Price { until, base, variants, source }
}

/// Refuses a price that is too dear, too long or never in force.
pub(super) fn check(set: &SetPrice, from: Timestamp) -> Result<(), Rejection> {
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
