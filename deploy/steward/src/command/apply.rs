//! `steward apply company.toml`: shows the difference to the log and sends commands. The log stays the truth: what is
//! only in the log is left alone.

use std::collections::BTreeMap;

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde_json::Value;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::query::{Fact, ReplayQuestion};

use crate::client::Client;
use crate::command::replay::each_page;

mod company;

use company::{Company, Desired};

pub(super) async fn run(matches: &ArgMatches, client: &Client) -> Result<(), BoxError> {
    let path = matches.get_one::<String>("file").ok_or("which file?")?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let company: Company = toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let desired = company.desired().map_err(|error| format!("{path}: {error}"))?;
    let known = histories(&desired, client).await?;
    let missing: Vec<&Desired> = desired.iter().filter(|d| !holds(d, known.get(&d.about))).collect();
    for wanted in &missing {
        println!("  + {}", wanted.line);
    }
    let same = desired.len() - missing.len();
    if missing.is_empty() {
        println!("  nothing to do: all {same} facts hold already");
        return Ok(());
    }
    if matches.get_flag("plan") {
        println!(
            "  {} commands would be sent, {same} facts hold already. Nothing was changed. Run without --plan to send them.",
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
                "{} {}: {error}\n  {sent} of {} commands were accepted; mend it and apply again, what holds is skipped",
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

/// The facts of every tenant that is spoken of; none for a tenant that does not exist yet.
async fn histories(desired: &[Desired], client: &Client) -> Result<BTreeMap<TenantId, Vec<Fact>>, BoxError> {
    let kinds = ["registry", "tenant", "identity", "access", "ledger", "catalog", "agent"].map(str::to_owned).to_vec();
    let mut known = BTreeMap::new();
    for tenant in desired.iter().map(|d| &d.about) {
        if known.contains_key(tenant) {
            continue;
        }
        let mut facts = Vec::new();
        let question = ReplayQuestion { kinds: kinds.clone(), ..ReplayQuestion::default() };
        let read = each_page(client, tenant, question, |page| {
            facts.extend(page);
            Ok(())
        });
        match read.await {
            Ok(()) => known.insert(tenant.clone(), facts),
            Err(error) if error.to_string().contains("there is no tenant") => known.insert(tenant.clone(), Vec::new()),
            Err(error) => return Err(error),
        };
    }
    Ok(known)
}

/// True if the last fact about the same thing says what is wanted.
fn holds(wanted: &Desired, facts: Option<&Vec<Fact>>) -> bool {
    let about = |fact: &&Fact| {
        (fact.name == wanted.fact || Some(fact.name.as_str()) == wanted.ended_by) && says(&fact.data, &wanted.identity)
    };
    facts
        .and_then(|facts| facts.iter().rev().find(about))
        .is_some_and(|last| last.name == wanted.fact && says(&last.data, &wanted.content))
}

/// True if `data` has all that `part` has.
fn says(data: &Value, part: &Value) -> bool {
    match (data, part) {
        (Value::Object(data), Value::Object(part)) => {
            part.iter().all(|(name, value)| data.get(name).is_some_and(|d| says(d, value)))
        }
        (data, part) => data == part,
    }
}

#[cfg(test)]
mod tests {
    use super::says;
    use serde_json::json;

    #[test]
    fn a_part_is_within_the_whole() {
        let data = json!({ "key": { "scope": "acme", "unit": "money" }, "spec": { "limit": 5 } });
        assert!(says(&data, &json!({ "key": { "scope": "acme" } })));
        assert!(!says(&data, &json!({ "key": { "scope": "acme", "subject": "x" } })));
        assert!(!says(&data, &json!({ "spec": { "limit": 6 } })));
    }
}
