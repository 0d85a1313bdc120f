//! `steward export-config`: what holds, as a company.toml that `steward apply` finds nothing to do with.

use std::collections::BTreeSet;

use clap::ArgMatches;
use serde_json::Value as Json;
use steward_events::BoxError;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::NanoDollars;
use toml::{Table, Value};

use super::apply::recorded::{Recorded, recorded};
use super::apply::setting::{Kind, Setting};
use crate::client::Client;
use crate::output;

pub(super) async fn run(matches: &ArgMatches, client: &Client) -> Result<(), BoxError> {
    let only: Option<BTreeSet<TenantId>> = match (&client.tenant, matches.get_many::<String>("only")) {
        (Some(tenant), None) => Some(BTreeSet::from([tenant.clone()])),
        (_, Some(names)) => Some(names.map(|name| TenantId::new(name.as_str())).collect::<Result<_, _>>()?),
        (None, None) => None,
    };
    let platform = only.is_none() && client.own_tenant()?.is_steward();
    let found = recorded(client, platform, only.as_ref()).await?;
    output::say_lines(&export(&found, only.as_ref())?);
    Ok(())
}

/// The file.
fn export(found: &Recorded, only: Option<&BTreeSet<TenantId>>) -> Result<String, BoxError> {
    let mut file = Table::new();
    for setting in found.settings.values() {
        if only.is_some_and(|only| !only.contains(&setting.tenant)) {
            continue;
        }
        let place = if setting.tenant.is_steward() {
            &mut file
        } else {
            table(table(&mut file, "tenant")?, setting.tenant.as_str())?
        };
        put(place, setting, found)?;
    }
    Ok(toml::to_string_pretty(&file)?)
}

/// The table `name` within `table`, made if there is none.
pub(super) fn table<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Table, BoxError> {
    let entry = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    entry.as_table_mut().ok_or_else(|| format!("{name} is no table").into())
}

/// Adds to the list `name` within `table`.
pub(super) fn push(table: &mut Table, name: &str, value: Value) -> Result<(), BoxError> {
    let entry = table.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    entry.as_array_mut().ok_or_else(|| format!("{name} is no list"))?.push(value);
    Ok(())
}

fn put(place: &mut Table, setting: &Setting, found: &Recorded) -> Result<(), BoxError> {
    let fields = plain(&setting.fields.clone().into())?;
    let Value::Table(mut fields) = fields else { return Ok(()) };
    match setting.kind {
        Kind::Tenant => place.extend(fields),
        Kind::Provider | Kind::Role | Kind::Agent => {
            let (plural, name) = (setting.kind.noun(), setting.id(setting.kind.noun()));
            table(place, plural)?.insert(name.to_owned(), Value::Table(fields));
        }
        Kind::Model => table(table(place, "model")?, setting.id("model"))?.extend(fields),
        Kind::Route => {
            let route = if fields.contains_key("policy") || fields.contains_key("terms") {
                Value::Table(fields)
            } else {
                fields.remove("targets").unwrap_or(Value::Array(Vec::new()))
            };
            table(table(place, "model")?, setting.id("model"))?.insert("route".to_owned(), route);
        }
        Kind::Cache => {
            let seconds = setting.fields.get("ttl_s").and_then(Json::as_u64).unwrap_or_default();
            fields.remove("ttl_s");
            fields.insert("ttl".to_owned(), Value::String(format!("{seconds}s")));
            table(table(place, "model")?, setting.id("model"))?.insert("cache".to_owned(), Value::Table(fields));
        }
        Kind::Prompt => {
            table(table(place, "model")?, setting.id("model"))?.insert("prompt".to_owned(), Value::Table(fields));
        }
        Kind::Price => {
            let model = table(table(place, "model")?, setting.id("model"))?;
            push(model, "price", Value::Table(price(setting)?))?;
        }
        Kind::Account => push(place, "account", Value::String(setting.id("name").to_owned()))?,
        Kind::Project => _ = table(table(place, "project")?, setting.id("project"))?,
        Kind::Budget | Kind::Grant => {
            let scope = if setting.kind == Kind::Budget { setting.id("scope") } else { setting.id("on") };
            let at = match scope.split_once('/') {
                Some((_, project)) => table(table(place, "project")?, project)?,
                None => place,
            };
            let entry = if setting.kind == Kind::Budget {
                budget(setting, fields, found)
            } else {
                grant(setting, fields, found)
            };
            push(at, setting.kind.noun(), Value::Table(entry))?;
        }
    }
    Ok(())
}

/// A principal as the file names it.
fn named(id: &str, found: &Recorded) -> Value {
    let name = PrincipalId::new(id).ok().and_then(|id| found.names.get(&id)).map_or(id, String::as_str);
    Value::String(name.to_owned())
}

fn budget(setting: &Setting, mut fields: Table, found: &Recorded) -> Table {
    for name in ["level", "per"] {
        fields.insert(name.to_owned(), Value::String(setting.id(name).to_owned()));
    }
    if let Some(warn) = fields.get_mut("warn").and_then(Value::as_array_mut) {
        for percent in warn {
            *percent = Value::String(format!("{percent}%"));
        }
    }
    let subject = setting.id.get("subject").and_then(Json::as_object);
    for (kind, id) in subject.into_iter().flatten() {
        let id = id.as_str().unwrap_or_default();
        let id = if kind == "principal" { named(id, found) } else { Value::String(id.to_owned()) };
        fields.insert(kind.clone(), id);
    }
    fields
}

fn grant(setting: &Setting, mut fields: Table, found: &Recorded) -> Table {
    fields.insert("to".to_owned(), named(setting.id("to"), found));
    fields.insert("role".to_owned(), Value::String(setting.id("role").to_owned()));
    fields
}

/// A price, its rates beside its other fields, in dollars for a million tokens.
pub(super) fn price(setting: &Setting) -> Result<Table, BoxError> {
    let from = setting.id.get("from").cloned().unwrap_or_default();
    let mut price = rates(setting.fields.get("price"))?;
    price.insert("from".to_owned(), plain_field("from", &from)?);
    if let Some(target) = setting.id.get("target") {
        price.insert("target".to_owned(), plain(target)?);
    }
    for name in ["until", "source"] {
        if let Some(value) = setting.fields.get(name) {
            price.insert(name.to_owned(), plain_field(name, value)?);
        }
    }
    let variants = setting.fields.get("variants").and_then(Json::as_array);
    for variant in variants.into_iter().flatten() {
        let mut row = rates(variant.get("rates"))?;
        for (name, value) in variant.as_object().into_iter().flatten().filter(|(name, _)| *name != "rates") {
            row.insert(name.clone(), plain_field(name, value)?);
        }
        push(&mut price, "variants", Value::Table(row))?;
    }
    Ok(price)
}

fn rates(rates: Option<&Json>) -> Result<Table, BoxError> {
    let rates = rates.and_then(Json::as_object).into_iter().flatten();
    let written = rates.map(|(name, rate)| {
        let value = match rate.as_u64() {
            Some(pico) => Value::String(format!("{}/M", NanoDollars(pico.saturating_mul(1_000)))),
            None => plain_field(name, rate)?,
        };
        Ok::<_, BoxError>((name.clone(), value))
    });
    written.collect()
}

/// JSON as TOML.
fn plain(value: &Json) -> Result<Value, BoxError> {
    Ok(match value {
        Json::Object(fields) => {
            let fields =
                fields.iter().map(|(name, value)| Ok::<_, BoxError>((name.clone(), plain_field(name, value)?)));
            Value::Table(fields.collect::<Result<_, _>>()?)
        }
        Json::Array(all) => Value::Array(all.iter().map(plain).collect::<Result<_, _>>()?),
        other => Value::try_from(other)?,
    })
}

/// The same; moments are written as such.
fn plain_field(name: &str, value: &Json) -> Result<Value, BoxError> {
    match value.as_str() {
        Some(text) if ["from", "until", "expires", "ends"].contains(&name) && text.contains('T') => {
            Ok(Value::Datetime(text.parse()?))
        }
        _ => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use steward_events::event::BudgetLevel;

    use super::*;
    use crate::command::apply::read;

    const FILE: &str = r#"
        [provider.local]
        kind = "openai"
        url = "http://127.0.0.1:9090/v1"
        key = "env:LOCAL_KEY"
        [model.small]
        route = ["local/smollm2", "local/other"]
        context_max = 100000
        output_max = 64
        operations = ["chat", "responses"]
        features = ["text", "tools"]
        ends = 2028-06-01
        cache = { ttl = "10m", coalesce = "even", shared = true }
        prompt = { compress = true, prune = true, window = "trim_oldest" }
        tokenizer = "o200k"
        [[model.small.price]]
        from = 2026-11-01
        until = 2027-11-01T12:30:00.5Z
        source = "the provider's page"
        input = "$0.15/M"
        cached = "$0.015/M"
        output = "$1.00/M"
        search = "$0.01"
        variants = [
            { context_above = 272000, input = "$4.00/M", output = "$15.00/M" },
            { tier = "flex", input = "$1.00/M", output = "$5.00/M" },
            { hours = [{ days = ["monday"], from = "01:00", to = "04:00" }], input = "$4.00/M", output = "$2.00/M" },
        ]
        [[model.small.price]]
        from = 2028-01-01
        input = "$1.00/M"
        output = "$1.00/M"
        [[model.small.price]]
        from = 2028-01-01
        target = "local/other"
        input = "$2.00/M"
        output = "$2.00/M"
        [tenant.acme]
        timezone = "Europe/Berlin"
        account = ["idle"]
        budget = [
            { limit = "$5.00", per = "month", warn = ["90%", "50%"], level = "platform" },
            { limit = "$4.00", per = "month", level = "tenant", hard = false },
            { limit = "100 calls", per = "minute", model = "small", level = "tenant" },
            { limit = "5000 tokens", per = "day", principal = "support-bot", level = "tenant" },
            { limit = "5000 tokens", key = "key_1" },
            { limit = "7 calls", agent = "researcher" },
        ]
        role.reader = { permissions = ["cost:report"], inherits = ["agent"] }
        role.empty = {}
        agent.researcher = { model = "small", instructions = "Answer \"briefly\".", steps_max = 3 }
        model.big = { output_max = 10 }
        model.wide = { cache = { ttl = "0s" } }
        model.plain = { prompt = {} }
        [tenant.acme.provider.own]
        kind = "openai"
        url = "https://own.example.org/v1"
        [tenant.acme.model.own]
        route = { policy = "weighted", targets = ["own/x weight=9 tags=eu+fast rpm=60", "own/y on=context_length"], terms = { idle_ms = 9 } }
        price = { from = 2026-11-01, input = "$0/M", output = "$0/M" }
        [tenant.acme.project.support]
        grant = [
            { to = "support-bot", role = "agent", expires = 2030-01-01T00:00:00Z },
            { to = "p_ana", role = "reader", condition = { models = ["small"], cost_max = "$0.10" } },
        ]
        [tenant.acme.project."support/mail"]
        budget = { limit = "$1.00", per = "day", level = "project" }
        [tenant.globex]
    "#;

    #[test]
    fn what_is_exported_is_what_was_applied() {
        let settings = read(FILE, BudgetLevel::Platform).unwrap();
        let acme: TenantId = "acme".parse().unwrap();
        let names = ["idle", "support-bot"].map(|name| (PrincipalId::service_account(&acme, name), name.to_owned()));
        let found = Recorded { settings, names: names.into(), now: steward_events::timestamp::Timestamp(0) };
        let exported = export(&found, None).unwrap();
        assert_eq!(read(&exported, BudgetLevel::Tenant).unwrap(), found.settings, "{exported}");
        let only = BTreeSet::from(["globex".parse().unwrap()]);
        assert_eq!(read(&export(&found, Some(&only)).unwrap(), BudgetLevel::Tenant).unwrap().len(), 1);
    }
}
