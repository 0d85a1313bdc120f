//! `steward apply company.toml`: shows the difference to what holds and sends commands. The log stays the truth: what is
//! only there is left alone.

use std::collections::BTreeMap;

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::query::Page;

use crate::client::Client;
use crate::command::list::fetch;

mod company;
mod price;

use company::{Company, Desired};

pub(super) async fn run(matches: &ArgMatches, client: &Client) -> Result<(), BoxError> {
    let path = matches.get_one::<String>("file").ok_or("which file?")?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let company: Company = toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let desired = company.desired().map_err(|error| format!("{path}: {error}"))?;
    let known = known(&desired, client).await?;
    let missing: Vec<&Desired> = desired.iter().filter(|wanted| !holds(wanted, &known)).collect();
    for wanted in &missing {
        println!("  + {}", wanted.line);
    }
    let same = desired.len() - missing.len();
    if missing.is_empty() {
        println!("  nothing to do: all {same} settings are as the file says");
        return Ok(());
    }
    if matches.get_flag("plan") {
        println!(
            "  {} commands would be sent, {same} settings are as the file says. Nothing was changed. Run without --plan to send them.",
            missing.len()
        );
        return Ok(());
    }
    send(&missing, client).await
}

async fn send(missing: &[&Desired], client: &Client) -> Result<(), BoxError> {
    let bar = ProgressBar::new(missing.len() as u64);
    let mut position = 0;
    for (sent, wanted) in missing.iter().enumerate() {
        let outcome = client.command(&wanted.tenant, wanted.noun, wanted.verb, &wanted.body).await;
        let reply = outcome.map_err(|error| {
            format!(
                "{} {}: {error}\n  {sent} of {} commands were accepted; correct the file and apply it again; what is done is skipped",
                wanted.noun,
                wanted.verb,
                missing.len()
            )
        })?;
        position = reply.position.0;
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("  {} accepted, log position {position}", missing.len());
    Ok(())
}

/// What holds now: the rows of every list of every tenant that is spoken of.
type CurrentState = BTreeMap<(TenantId, &'static str), Vec<Value>>;

/// Reads the lists that are compared with; nothing of a tenant that does not exist yet.
async fn known(desired: &[Desired], client: &Client) -> Result<CurrentState, BoxError> {
    let mut known = CurrentState::new();
    for wanted in desired {
        let place = (wanted.about.clone(), wanted.list);
        if known.contains_key(&place) {
            continue;
        }
        let rows = match fetch(client, &wanted.about, wanted.list, Map::new()).await {
            Ok(Page { next: None, rows, .. }) => rows,
            Ok(_) => return Err(format!("{} has more of {} than can be compared", wanted.about, wanted.list).into()),
            Err(error) if error.to_string().contains("there is no tenant") => Vec::new(),
            Err(error) => return Err(error),
        };
        known.insert(place, rows);
    }
    Ok(known)
}

/// True if a row says what is wanted. What a tenant has from the platform, it has not set itself.
fn holds(wanted: &Desired, known: &CurrentState) -> bool {
    let rows = known.get(&(wanted.about.clone(), wanted.list));
    let is_own = |row: &Value| row.get("inherited") != Some(&Value::Bool(true));
    rows.into_iter().flatten().any(|row| is_own(row) && contains(row, &wanted.row))
}

/// True if `data` has all that `part` has; what is left out is none.
fn contains(data: &Value, part: &Value) -> bool {
    match (data, part) {
        (Value::Object(data), Value::Object(part)) => {
            part.iter().all(|(name, value)| contains(data.get(name).unwrap_or(&Value::Null), value))
        }
        (data, part) => data == part,
    }
}

#[cfg(test)]
mod tests {
    use super::contains;
    use serde_json::json;

    #[test]
    fn a_part_is_within_the_whole() {
        let data = json!({ "key": { "scope": "acme", "unit": "money" }, "spec": { "limit": 5 }, "expires": null });
        assert!(contains(&data, &json!({ "key": { "scope": "acme" } })));
        assert!(contains(&data, &json!({ "expires": null, "condition": null })), "what is left out is none");
        assert!(!contains(&data, &json!({ "key": { "scope": "acme", "subject": "x" } })));
        assert!(!contains(&data, &json!({ "spec": { "limit": 6 } })));
        assert!(!contains(&data, &json!({ "expires": "2026-11-23T00:00:00Z" })));
    }
}
