//! The list of public prices that is shipped with Steward: `deploy/steward/prices.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use steward_events::BoxError;

use crate::command::apply::one_or_many::OneOrMany;
use crate::command::apply::price::{Price, Priced};

const SHIPPED: &str = include_str!("../../../prices.toml");

/// Public prices by the model's name at its provider.
#[derive(Debug, Default)]
pub(crate) struct PriceList(BTreeMap<String, Vec<Priced>>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: BTreeMap<String, Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Other names of it.
    #[serde(default)]
    also: Vec<String>,
    price: OneOrMany<Price>,
}

impl PriceList {
    /// The list that is shipped.
    ///
    /// # Errors
    /// None; a test reads it.
    pub(crate) fn shipped() -> Result<Self, BoxError> {
        Self::read(SHIPPED)
    }

    /// Reads a list's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, BoxError> {
        let File { model } = toml::from_str(text)?;
        let mut list = Self::default();
        for (name, Listed { also, price }) in model {
            let mut prices = price.0.iter().map(Price::priced).collect::<Result<Vec<_>, _>>()?;
            prices.sort_by_key(|price| price.from);
            for name in also.into_iter().chain([name]) {
                list.0.insert(name, prices.clone());
            }
        }
        Ok(list)
    }

    /// The prices of a model by its name at its provider, the earliest first; none if it is not on the list. A version that
    /// is named by its day is priced as the model.
    pub(crate) fn of(&self, upstream: &str) -> &[Priced] {
        let found = self.0.get(upstream).or_else(|| self.0.get(without_day(upstream)?));
        found.map_or(&[], Vec::as_slice)
    }
}

/// `name-20260131` or `name-2026-01-31` without its day; none of other names.
fn without_day(name: &str) -> Option<&str> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = name.rsplit_once('-')?;
    if digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_price_says_who_says_so_and_when() {
        let list = PriceList::shipped().unwrap();
        assert!(list.0.len() >= 15);
        for (model, prices) in &list.0 {
            assert!(!prices.is_empty(), "{model}");
            for price in prices {
                let source = price.source.as_deref().unwrap_or_default();
                assert!(source.contains("2026") && source.len() <= 500, "{model}: {source}");
                assert!(price.until.is_none_or(|until| price.from < until), "{model}");
            }
            for two in prices.windows(2) {
                assert!(two[0].from < two[1].from && two[0].until.is_none_or(|until| until <= two[1].from), "{model}");
            }
        }
    }

    #[test]
    fn a_version_named_by_its_day_is_priced_as_the_model() {
        let list = PriceList::read(
            "[model.m-1]\nalso = [\"m-one\"]\nprice = { from = 2026-01-01, input = \"$1/M\", output = \"$2/M\", source = \"x\" }",
        )
        .unwrap();
        for name in ["m-1", "m-one", "m-1-20260131", "m-1-2026-01-31"] {
            assert_eq!(list.of(name).len(), 1, "{name}");
        }
        for name in ["m", "m-1-2026", "m-1-31", "m-1-latest", "m-2"] {
            assert!(list.of(name).is_empty(), "{name}");
        }
    }
}
