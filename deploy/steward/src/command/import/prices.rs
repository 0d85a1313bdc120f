//! `steward import litellm-prices`: LiteLLM's price map as prices with dates, of the models of the catalog or of those named.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Map, json};
use steward_events::BoxError;
use steward_events::event::ProviderKind;
use steward_events::id::{ModelId, ProviderId, TenantId};
use steward_queries::{ModelRow, ProviderRow};

use super::notes::{Notes, Place};
use super::price_map::{Mapped, PriceMap};
use super::{Dates, carry_out, price_map};
use crate::client::Client;
use crate::command::apply::price::Priced;
use crate::command::apply::setting::{Kind, Setting, Settings};
use crate::command::list::fetch;

/// What is to be priced, and how.
struct Wanted {
    tenant: TenantId,
    /// Only these; none for all of the catalog.
    only: Option<BTreeSet<ModelId>>,
    /// Also what models of the catalog read and write.
    limits: bool,
    dates: Dates,
}

/// What became of the map.
#[derive(Default)]
struct Chosen {
    settings: Settings,
    notes: Notes,
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let path = matches.get_one::<String>("file").ok_or("which file?")?;
    let map = price_map(path)?;
    let only = matches.get_many::<String>("models").map(|names| names.map(ModelId::new).collect::<Result<_, _>>());
    let dates = Dates::typed(matches)?;
    let wanted =
        Wanted { tenant: client.tenant()?, only: only.transpose()?, limits: matches.get_flag("limits"), dates };
    let models = fetch::<ModelRow>(client, &wanted.tenant, "model", Map::new()).await?.rows;
    let providers = fetch::<ProviderRow>(client, &wanted.tenant, "provider", Map::new()).await?.rows;
    let Chosen { settings, notes } = choose(&map, &models, &providers, &wanted);
    carry_out(settings, notes, dates, matches.get_flag("plan"), client, json).await
}

fn choose(map: &PriceMap, models: &[ModelRow], providers: &[ProviderRow], wanted: &Wanted) -> Chosen {
    let kinds: BTreeMap<&ProviderId, ProviderKind> = providers.iter().map(|row| (&row.provider, row.kind)).collect();
    let mut chosen = Chosen::default();
    let own = models.iter().filter(|row| !row.inherited);
    let is_wanted = |model: &ModelId| wanted.only.as_ref().is_none_or(|only| only.contains(model));
    for row in own.clone().filter(|row| is_wanted(&row.model)) {
        let found = mapped(map, row, &kinds);
        chosen.add(&row.model, found, wanted, wanted.limits);
    }
    let known: BTreeSet<&ModelId> = own.map(|row| &row.model).collect();
    for model in wanted.only.iter().flatten().filter(|model| !known.contains(model)) {
        let found = map.named(model.as_str());
        chosen.add(model, found, wanted, true);
    }
    chosen
}

/// What the map says of a model: of the dearest of its places, and else of its name.
fn mapped(
    map: &PriceMap,
    row: &ModelRow,
    kinds: &BTreeMap<&ProviderId, ProviderKind>,
) -> Result<Option<Mapped>, String> {
    let mut found: Vec<Mapped> = Vec::new();
    for target in &row.targets {
        if let Some(kind) = kinds.get(&target.provider) {
            found.extend(map.of(*kind, &target.upstream_model)?);
        }
    }
    let sum = |mapped: &Mapped| mapped.costs.rates.input.0.saturating_add(mapped.costs.rates.output.0);
    match found.into_iter().max_by_key(sum) {
        Some(mapped) => Ok(Some(mapped)),
        None => map.named(row.model.as_str()),
    }
}

impl Chosen {
    fn add(&mut self, model: &ModelId, found: Result<Option<Mapped>, String>, wanted: &Wanted, limits: bool) {
        let place = Place { path: model.to_string(), line: None };
        let mapped = match found {
            Ok(Some(mapped)) => mapped,
            Ok(None) => {
                let says =
                    "left out: the map has no price a token for it; name it as the map does, or steward price set it";
                return self.notes.not(&place, says);
            }
            Err(why) => return self.notes.not(&place, format!("left out: {why}")),
        };
        self.notes.maps(&place, format!("priced as {} in the map", mapped.name));
        for remark in &mapped.costs.remarks {
            self.notes.partly(&place, remark.clone());
        }
        if let Some(day) = &mapped.deprecated {
            let day: String = day.chars().take(20).collect();
            self.notes.partly(&place, format!("its provider withdraws it on {day}, says the map"));
        }
        if limits {
            self.add_limits(model, &mapped, &place, wanted);
        }
        let source = Some(mapped.source_text(wanted.dates.now));
        let (rates, variants) = (mapped.costs.rates, mapped.costs.variants);
        let priced = Priced { from: wanted.dates.from, until: None, rates, variants, source, target: None };
        self.put(Setting::new(&wanted.tenant, Kind::Price, priced.id(model.as_str()), priced.fields()));
    }

    fn add_limits(&mut self, model: &ModelId, mapped: &Mapped, place: &Place, wanted: &Wanted) {
        // Of embeddings the map says only what they read: they write nothing, and a model's output is at least one token.
        let (Some(context), output) = (mapped.limits.context(), mapped.limits.output.unwrap_or(1)) else {
            return self.notes.not(place, "its limits are left out: the map does not say how much it reads");
        };
        let fields = json!({ "context_max": context, "output_max": output });
        self.put(Setting::new(&wanted.tenant, Kind::Model, (json!({ "model": model }), model.to_string()), fields));
    }

    fn put(&mut self, setting: Setting) {
        self.settings.insert(setting.name(), setting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"{
        "gpt-x": { "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06, "max_input_tokens": 1000, "max_output_tokens": 100 },
        "openai/cheap": { "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06 },
        "old": { "input_cost_per_token": 1e-06, "deprecation_date": "2026-12-31", "input_cost_per_second": 1 }
    }"#;

    fn row(model: &str, targets: &[&str], inherited: bool) -> ModelRow {
        let targets: Vec<_> = targets.iter().map(|to| json!({ "provider": "p", "upstream_model": to })).collect();
        let spec = json!({ "context_max": 9, "output_max": 9 });
        serde_json::from_value(
            json!({ "model": model, "spec": spec, "targets": targets, "price": null, "inherited": inherited }),
        )
        .unwrap()
    }

    fn chosen(models: &[ModelRow], only: Option<&[&str]>, limits: bool) -> (Vec<String>, Vec<String>) {
        let providers: Vec<ProviderRow> = vec![
            serde_json::from_value(
                json!({ "provider": "p", "kind": "openai", "url": "http://x", "key": null, "inherited": false }),
            )
            .unwrap(),
        ];
        let now = "2026-11-30T10:00:00Z".parse().unwrap();
        let dates = Dates { now, from: "2026-11-30".parse().unwrap(), is_typed: false };
        let only = only.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        let wanted = Wanted { tenant: TenantId::steward(), only, limits, dates };
        let Chosen { settings, notes } = choose(&PriceMap::read(MAP).unwrap(), models, &providers, &wanted);
        let shown = settings.values().map(|one| format!("{} {}", one.kind.noun(), one.label)).collect();
        (shown, notes.lines())
    }

    #[test]
    fn models_of_the_catalog_are_priced_by_where_they_go() {
        let models =
            [row("fast", &["cheap", "gpt-x"], false), row("theirs", &["gpt-x"], true), row("own", &["mine"], false)];
        let (settings, notes) = chosen(&models, None, false);
        assert_eq!(settings, ["price fast from 2026-11-30T00:00:00Z"]);
        assert!(notes[0].contains("fast: priced as gpt-x"), "the dearest: {notes:?}");
        assert!(notes[1].starts_with("not     own: left out"), "{notes:?}");
    }

    #[test]
    fn a_named_model_that_is_new_gets_its_limits_too() {
        let (settings, _) = chosen(&[row("fast", &["gpt-x"], false)], Some(&["gpt-x"]), false);
        assert_eq!(settings, ["model gpt-x", "price gpt-x from 2026-11-30T00:00:00Z"]);
        let (settings, _) = chosen(&[row("fast", &["gpt-x"], false)], Some(&["fast"]), true);
        assert_eq!(settings, ["model fast", "price fast from 2026-11-30T00:00:00Z"]);
    }

    #[test]
    fn what_is_withdrawn_or_not_charged_is_told() {
        let (_, notes) = chosen(&[], Some(&["old"]), false);
        let told = notes.join("\n");
        for word in ["input_cost_per_second is not charged", "withdraws it on 2026-12-31", "limits are left out"] {
            assert!(told.contains(word), "{told}");
        }
    }
}
