//! A configuration of LiteLLM's proxy as a company.toml.

use std::collections::BTreeMap;

use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use toml::{Table, Value};

use super::notes::Notes;
use super::price_map::PriceMap;
use super::yaml::{self, Found};
use crate::command::apply::price::Priced;
use crate::command::apply::setting::{Kind, Setting};
use crate::command::export_config::{price, push, table};
use crate::command::price::list::PriceList;

mod deployment;
mod offer;
mod people;
mod settings;
mod values;
mod vendor;

use deployment::Address;
use offer::{Offer, Prices, Providers};
use people::People;
use settings::Rest;
use values::Values;

/// The most bytes of a configuration.
pub(super) const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is known beside the file.
pub(super) struct Beside<'b> {
    /// Whose budgets, teams and keys these are.
    pub(super) tenant: Option<&'b TenantId>,
    /// From when prices apply that have no date.
    pub(super) from: Timestamp,
    /// When that is read.
    pub(super) read: Timestamp,
    /// LiteLLM's price map, if it was given.
    pub(super) map: Option<&'b PriceMap>,
    /// The list of public prices.
    pub(super) list: &'b PriceList,
    /// Values of variables to which the file refers.
    pub(super) values: &'b BTreeMap<String, String>,
    /// What the file is called.
    pub(super) file: &'b str,
}

/// What became of a file.
pub(super) struct Imported {
    pub(super) notes: Notes,
    /// company.toml.
    pub(super) company: String,
}

/// Reads a configuration's text.
///
/// # Errors
/// If it is no YAML, or no table, with the place.
pub(super) fn read(text: &str, beside: &Beside<'_>) -> Result<Imported, BoxError> {
    let node = yaml::read(text)?;
    let mut notes = Notes::default();
    let mut top =
        Found::top(&node).section().ok_or("this is not a configuration of LiteLLM: a table with model_list")?;
    let values = Values::read(&mut top, beside.values, &mut notes);
    let models = top.items("model_list", &mut notes);
    if models.is_empty() {
        return Err("this is not a configuration of LiteLLM: it has no model_list".into());
    }
    let deployments = models.iter().filter_map(|entry| deployment::read(entry, &values, &mut notes)).collect();
    let Beside { from, read, map, list, file, .. } = *beside;
    let mut providers = Providers::default();
    let prices = Prices { map, list, from, read, file };
    let mut offers = offer::offers(deployments, &prices, &mut providers, &mut notes);
    let mut rest = Rest::of(top, &mut notes);
    names_and_fallbacks(&mut offers, &mut rest, &mut notes);
    let tenant = tenant(&offers, &mut rest, beside.tenant, &mut notes)?;
    rest.tell(&mut notes);
    let company = company(providers.all(), &offers, tenant)?;
    Ok(Imported { notes: notes.sorted(), company })
}

fn names_and_fallbacks(offers: &mut Vec<Offer>, rest: &mut Rest<'_>, notes: &mut Notes) {
    for found in rest.take("fallbacks") {
        for (model, to, found) in settings::fallbacks(&found, notes) {
            offer::fall_back(offers, model, &to, &found.place, notes);
        }
    }
    for found in rest.take("model_group_alias") {
        for (name, of, found) in settings::aliases(&found, notes) {
            offer::alias(offers, name, of, &found.place, notes);
        }
    }
}

/// The tenant's part, if there is a tenant.
fn tenant<'t>(
    offers: &[Offer],
    rest: &mut Rest<'_>,
    tenant: Option<&'t TenantId>,
    notes: &mut Notes,
) -> Result<Option<(&'t TenantId, Table)>, BoxError> {
    let (teams, keys) = (rest.top().items("teams", notes), rest.top().items("keys", notes));
    let Some(tenant) = tenant else {
        let budgets = rest.take("max_budget").into_iter().chain(rest.take("budget_duration"));
        let places = budgets.chain(teams).chain(keys).map(|found| found.place);
        people::tell_that_a_tenant_lacks(places.collect::<Vec<_>>(), notes);
        return Ok(None);
    };
    let mut people = People::of(tenant);
    people.whole(rest, offers, notes)?;
    people.teams(&teams, notes)?;
    people.keys(&keys, notes)?;
    Ok(Some((tenant, people.part())))
}

/// company.toml.
fn company(
    providers: &[(String, Address)],
    offers: &[Offer],
    tenant: Option<(&TenantId, Table)>,
) -> Result<String, BoxError> {
    let text = |text: &str| Value::String(text.to_owned());
    let mut file = Table::new();
    for (name, Address { kind, url, key, .. }) in providers {
        let provider = table(table(&mut file, "provider")?, name)?;
        provider.insert("kind".to_owned(), text(kind.as_str()));
        provider.insert("url".to_owned(), text(url));
        provider.extend(key.as_deref().map(|key| ("key".to_owned(), text(key))));
    }
    for Offer { id, targets, prices, context_max, output_max, .. } in offers {
        let model = table(table(&mut file, "model")?, id.as_str())?;
        model.insert("route".to_owned(), Value::Array(targets.iter().map(|target| text(target)).collect()));
        model.insert("context_max".to_owned(), Value::Integer(i64::try_from(*context_max)?));
        model.insert("output_max".to_owned(), Value::Integer(i64::try_from(*output_max)?));
        for priced in prices {
            push(model, "price", Value::Table(row(id.as_str(), priced)?))?;
        }
    }
    if let Some((name, part)) = tenant {
        table(table(&mut file, "tenant")?, name.as_str())?.extend(part);
    }
    Ok(toml::to_string_pretty(&file)?)
}

/// A price as company.toml has it.
fn row(model: &str, priced: &Priced) -> Result<Table, BoxError> {
    price(&Setting::new(&TenantId::steward(), Kind::Price, priced.id(model), priced.fields()))
}

#[cfg(test)]
mod tests;
