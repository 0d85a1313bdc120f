//! `steward tenant history`: who changed what about a tenant, and when.

use clap::ArgMatches;
use serde::Serialize;
use serde_json::Value;
use steward_events::BoxError;
use steward_events::event::TenantSettings;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_queries::{HistoryEvent, Replay, ReplayQuery};

use crate::client::Client;
use crate::command::options::past_moment;
use crate::output;

/// One change.
#[derive(Debug, Serialize)]
struct Change {
    at: Timestamp,
    position: u64,
    by: String,
    event: String,
    /// Of settings: which revision it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u32>,
    /// What it changed, as people read it.
    what: String,
}

pub(in super::super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = match matches.get_one::<String>("name") {
        Some(name) => TenantId::new(name)?,
        None => client.tenant()?,
    };
    let time = |name: &str| matches.get_one::<String>(name).map(|text| past_moment(text)).transpose();
    let (from, to) = (time("from")?, time("to")?);
    let mut query = ReplayQuery { kinds: vec!["tenant".to_owned()], ..ReplayQuery::default() };
    // Read from the beginning: what was changed is seen beside what was before.
    let mut before: Option<TenantSettings> = None;
    loop {
        let page: Replay = client.query(&tenant, "history", "replay", &query).await?;
        for event in &page.events {
            let change = change(event, &mut before);
            if from.is_some_and(|from| event.at < from) || to.is_some_and(|to| event.at >= to) {
                continue;
            }
            if json {
                output::json_line(&change)?;
            } else {
                output::say(format_args!("{}", line(&change)));
            }
        }
        match page.next {
            Some(next) if !output::is_closed() => query.after = next,
            _ => return Ok(()),
        }
    }
}

fn change(event: &HistoryEvent, before: &mut Option<TenantSettings>) -> Change {
    let text = |field: &str| event.data.get(field).map(plain).unwrap_or_default();
    let mut revision = None;
    let what = match event.name.as_str() {
        "tenant.created" => {
            revision = Some(1);
            *before = Some(TenantSettings::of_new(&text("timezone")));
            format!("created, in the time zone {}", text("timezone"))
        }
        "tenant.settings_changed" => {
            revision = event.data.get("revision").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
            let settings = event.data.get("settings").cloned().unwrap_or_default();
            let changed = changed(before.as_ref(), &settings);
            *before = serde_json::from_value(settings).ok();
            match event.data.get("back_to").and_then(Value::as_u64) {
                Some(back_to) => format!("back to revision {back_to}: {changed}"),
                None => changed,
            }
        }
        _ => {
            let fields = event.data.as_object();
            let fields = fields.into_iter().flatten().map(|(name, value)| format!("{name} {}", plain(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
    };
    let by = match &event.on_behalf_of {
        Some(whom) => format!("{} for {whom}", event.actor),
        None => event.actor.to_string(),
    };
    Change { at: event.at, position: event.position.0, by, event: event.name.clone(), revision, what }
}

/// Each setting that is another now: `timezone UTC → Europe/Berlin`.
fn changed(before: Option<&TenantSettings>, now: &Value) -> String {
    let before = before.and_then(|before| serde_json::to_value(before).ok()).unwrap_or_default();
    let fields = |of: &Value| of.as_object().map(|of| of.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let mut names = [fields(&before), fields(now)].concat();
    names.sort_unstable();
    names.dedup();
    let shown = |of: &Value, name: &str| of.get(name).map_or_else(|| "none".to_owned(), plain);
    let changed = names.iter().filter(|name| before.get(*name) != now.get(*name));
    let changed = changed.map(|name| format!("{name} {} → {}", shown(&before, name), shown(now, name)));
    changed.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn line(change: &Change) -> String {
    let at = change.at.to_string();
    let at = at.get(..19).unwrap_or(&at).replace('T', " ");
    let revision = change.revision.map(|number| format!("r{number}")).unwrap_or_default();
    format!("{at} {revision:>4} {:<22} {:<24} {}", change.by, change.event, change.what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_beside_what_was_before() {
        let before = TenantSettings::of_new("UTC");
        let now = json!({ "timezone": "Europe/Berlin", "contact": "it@acme.example" });
        assert_eq!(changed(Some(&before), &now), "contact none → it@acme.example, timezone UTC → Europe/Berlin");
    }
}
