//! `steward replay`: a tenant's history.

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_queries::{HistoryEvent, Replay, ReplayQuery};

use crate::client::Client;
use crate::command::options::past_moment;
use crate::output;

pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let time = |name: &str| matches.get_one::<String>(name).map(|text| past_moment(text)).transpose();
    let query = ReplayQuery {
        from: time("from")?,
        to: time("to")?,
        kinds: matches.get_many::<String>("kind").unwrap_or_default().cloned().collect(),
        last: matches.get_one::<u32>("last").copied(),
        ..ReplayQuery::default()
    };
    let tenant = client.tenant()?;
    each_page(client, &tenant, query, |events| {
        for event in events {
            if json {
                output::json_line(&event)?;
            } else {
                println!("{}", line(&event));
            }
        }
        Ok(())
    })
    .await
}

/// All events of the query, page by page.
async fn each_page(
    client: &Client,
    tenant: &TenantId,
    mut query: ReplayQuery,
    mut page: impl FnMut(Vec<HistoryEvent>) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    loop {
        let replay: Replay = client.query(tenant, "history", "replay", &query).await?;
        page(replay.events)?;
        match replay.next {
            Some(next) if query.last.is_none() && !output::is_closed() => query.after = next,
            _ => return Ok(()),
        }
    }
}

fn line(event: &HistoryEvent) -> String {
    let time = event.at.to_string();
    let time = time.get(11..19).unwrap_or(&time);
    let who = match &event.on_behalf_of {
        Some(whom) => format!("{} for {whom}", event.actor),
        None => event.actor.to_string(),
    };
    let cause = event.causation.as_ref().map(|cause| format!("  cause {cause}")).unwrap_or_default();
    format!("{:>6} {time} {who:<22} {:<26} {}{cause}", event.position.0, event.name, summary(&event.data))
}

/// The details in one line: names and plain values, the rest left to `--json`.
fn summary(data: &serde_json::Value) -> String {
    let mut words = Vec::new();
    if let serde_json::Value::Object(fields) = data {
        for (name, value) in fields {
            match value {
                serde_json::Value::String(text) => {
                    words.push(format!("{name}={}", text.chars().take(48).collect::<String>()));
                }
                serde_json::Value::Number(number) => words.push(format!("{name}={number}")),
                serde_json::Value::Object(inner)
                    if inner.values().all(|v| !v.is_object() && !v.is_array()) && inner.len() <= 5 =>
                {
                    let inner: Vec<String> =
                        inner.iter().filter_map(|(k, v)| Some(format!("{k}={}", plain(v)?))).collect();
                    words.push(format!("{name}({})", inner.join(" ")));
                }
                _ => {}
            }
        }
    }
    words.join(" ")
}

fn plain(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
