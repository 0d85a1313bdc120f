//! LiteLLM's public map of prices, `model_prices_and_context_window.json`: for each model its costs as numbers of dollars, and
//! its limits. It has no dates; whoever imports it says from when its prices apply.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use steward_events::BoxError;
use steward_events::event::ProviderKind;
use steward_events::timestamp::Timestamp;

use super::costs::{self, Costs, Limits};

/// The most bytes of a map; the public one has about two million.
pub(super) const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The longest source that is kept.
const SOURCE_CHARS_MAX: usize = 120;

/// The map.
#[derive(Debug, Default)]
pub(super) struct PriceMap(BTreeMap<String, Entry>);

/// One model, numbers as they are written: a float would change some of them.
#[derive(Debug, Deserialize)]
struct Entry(BTreeMap<String, Box<RawValue>>);

/// What the map says of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Its name there.
    pub(super) name: String,
    pub(super) costs: Costs,
    pub(super) limits: Limits,
    /// Who says so.
    pub(super) source: Option<String>,
    /// When it is withdrawn.
    pub(super) deprecated: Option<String>,
}

impl Mapped {
    /// The source of a price that was read from the map at this moment.
    pub(super) fn source_text(&self, read: Timestamp) -> String {
        let day: String = read.to_string().chars().take(10).collect();
        let says = self.source.as_deref().map_or_else(String::new, |source| format!(", by {source}"));
        let text = format!("LiteLLM's price map, {}, read {day}{says}", self.name);
        text.chars().take(SOURCE_CHARS_MAX).collect()
    }
}

impl PriceMap {
    /// Reads a map's text.
    ///
    /// # Errors
    /// If it is not an object of objects, with the line.
    pub(super) fn read(text: &str) -> Result<Self, BoxError> {
        let entries = serde_json::from_str(text).map_err(|error| {
            format!("this is not LiteLLM's price map, an object with an object for each model: {error}")
        })?;
        Ok(Self(entries))
    }

    /// What it says of a model by its name there; none if it is not in it, or has no price a token.
    ///
    /// # Errors
    /// What of it is no amount.
    pub(super) fn named(&self, name: &str) -> Result<Option<Mapped>, String> {
        let Some(Entry(entry)) = self.0.get(name) else { return Ok(None) };
        let mut limits = Limits::default();
        let mut amounts: Vec<(&str, String)> = Vec::new();
        for (field, raw) in entry {
            let amount = amount(raw);
            if !limits.read(field, amount.as_deref().unwrap_or_default())
                && costs::is_cost(field)
                && let Some(amount) = amount
            {
                amounts.push((field, amount));
            }
        }
        let read = costs::read(amounts.iter().map(|(field, amount)| (*field, amount.as_str())));
        let Some(costs) = read.map_err(|error| format!("{name}: {error}"))? else { return Ok(None) };
        let text = |field: &str| entry.get(field).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let (source, deprecated) = (text("source"), text("deprecation_date"));
        Ok(Some(Mapped { name: name.to_owned(), costs, limits, source, deprecated }))
    }

    /// What it says of a model by its name at a provider: as it stands, or behind the provider's name.
    ///
    /// # Errors
    /// What of it is no amount.
    pub(super) fn of(&self, kind: ProviderKind, upstream: &str) -> Result<Option<Mapped>, String> {
        match self.named(&format!("{kind}/{upstream}"))? {
            Some(mapped) => Ok(Some(mapped)),
            None => self.named(upstream),
        }
    }
}

/// A number as it is written; of prices by size of what was searched, the dearest. None of null, and a text that is no
/// amount of anything else, so that it is told.
fn amount(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) | Err(_) => None,
        Ok(Value::Number(_)) => Some(text.to_owned()),
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Object(sizes)) => {
            let dearest = sizes.values().filter_map(Value::as_f64).max_by(f64::total_cmp);
            Some(dearest.map_or_else(|| "a table".to_owned(), |dearest| dearest.to_string()))
        }
        Ok(_) => Some("no amount".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::{NanoDollars, PicoDollarsPerToken};

    use super::*;

    const MAP: &str = r#"{
        "sample_spec": { "max_tokens": "a text about it", "input_cost_per_token": 0.0, "mode": "one of chat, …" },
        "medium": {
            "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "cache_read_input_token_cost": 7.5e-08,
            "input_cost_per_token_batches": 7.5e-08, "output_cost_per_token_batches": 3e-07,
            "max_input_tokens": 128000, "max_output_tokens": 16384, "max_tokens": 16384, "mode": "chat",
            "search_context_cost_per_query": { "search_context_size_low": 0.025, "search_context_size_high": 0.03 },
            "litellm_provider": "openai", "source": "https://example.org/prices", "deprecation_date": "2027-05-01",
            "supported_endpoints": ["/v1/chat/completions"], "supports_vision": true
        },
        "azure/medium": { "input_cost_per_token": 2e-07, "output_cost_per_token": 6e-07 },
        "speech": { "input_cost_per_character": 1.5e-05, "mode": "audio_speech" },
        "wrong": { "input_cost_per_token": "free" }
    }"#;

    fn map() -> PriceMap {
        PriceMap::read(MAP).unwrap()
    }

    #[test]
    fn an_entry_becomes_exact_rates_and_limits() {
        let medium = map().named("medium").unwrap().unwrap();
        assert_eq!(medium.costs.rates.input, PicoDollarsPerToken(150_000));
        assert_eq!(medium.costs.rates.search, Some(NanoDollars(30_000_000)), "the dearest");
        assert_eq!(medium.costs.variants.len(), 1);
        assert_eq!(medium.costs.variants[0].rates.cached, PicoDollarsPerToken(75_000), "as the base has it");
        assert_eq!((medium.limits.context(), medium.limits.output), (Some(144_384), Some(16_384)));
        assert_eq!(medium.source.as_deref(), Some("https://example.org/prices"));
        assert_eq!(medium.deprecated.as_deref(), Some("2027-05-01"));
        assert!(medium.costs.remarks.is_empty());
    }

    #[test]
    fn a_providers_own_entry_goes_before_the_general_one() {
        let kind = |name: &str| ProviderKind::ALL.iter().copied().find(|kind| kind.as_str() == name).unwrap();
        let found = map().of(kind("openai"), "medium").unwrap().unwrap();
        assert_eq!(found.name, "medium");
        assert_eq!(map().named("azure/medium").unwrap().unwrap().costs.rates.input, PicoDollarsPerToken(200_000));
    }

    #[test]
    fn what_has_no_price_a_token_is_not_found() {
        assert_eq!(map().named("speech"), Ok(None));
        assert_eq!(map().named("nobody"), Ok(None));
        assert!(map().named("wrong").is_err());
    }

    #[test]
    fn what_is_no_map_is_told_with_its_line() {
        for text in ["[]", "{\"a\": 1}", "{\"a\": {}", "model_list: []"] {
            let told = PriceMap::read(text).unwrap_err().to_string();
            assert!(told.contains("price map") && told.contains("line 1"), "{told}");
        }
    }
}
