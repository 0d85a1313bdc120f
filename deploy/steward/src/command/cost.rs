//! `steward cost`: what was spent.

use std::collections::BTreeMap;

use clap::ArgMatches;
use serde_json::Map;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::query::{AccountRow, CostBy, CostQuery, CostReport, CostSums, KeyRow};

use crate::client::Client;
use crate::command::list::fetch;
use crate::command::options::past_moment;
use crate::output;

pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let by: Vec<CostBy> = matches
        .get_many::<String>("by")
        .unwrap_or_default()
        .map(|word| serde_json::from_value(serde_json::Value::String(word.clone())))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("--by: {error}"))?;
    let time = |name: &str| matches.get_one::<String>(name).map(|text| past_moment(text)).transpose();
    let query = CostQuery { by, since: time("since")?, until: time("until")?, min_position: None };
    let tenant = client.tenant()?;
    let mut report: CostReport = client.query(&tenant, "cost", "report", &query).await?;
    if json {
        return output::json(&report);
    }
    if query.by.iter().any(|by| matches!(by, CostBy::Key | CostBy::Principal)) {
        name_accounts(client, &tenant, &mut report).await;
    }
    print(&query, &report);
    Ok(())
}

/// People read names: `support-bot` for a principal, `support-bot …n904n9a` for a key. Ids where names may not be listed.
async fn name_accounts(client: &Client, tenant: &TenantId, report: &mut CostReport) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    if let Ok(accounts) = fetch::<AccountRow>(client, tenant, "account", Map::new()).await {
        names.extend(accounts.rows.into_iter().map(|account| (account.principal.to_string(), account.name)));
    }
    if let Ok(keys) = fetch::<KeyRow>(client, tenant, "key", Map::new()).await {
        for KeyRow { key, name, .. } in keys.rows {
            let key = key.to_string();
            let end = key.get(key.len().saturating_sub(7)..).unwrap_or_default();
            if let Some(name) = name.map(|name| format!("{name} …{end}")) {
                names.insert(key, name);
            }
        }
    }
    for id in report.rows.iter_mut().flat_map(|row| row.by.values_mut()) {
        if let Some(name) = names.get(id) {
            id.clone_from(name);
        }
    }
}

fn print(query: &CostQuery, report: &CostReport) {
    if report.rows.is_empty() {
        println!("nothing was spent (log position {})", report.position);
        return;
    }
    let keys: Vec<String> = query
        .by
        .iter()
        .map(|by| serde_json::to_value(by).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default())
        .collect();
    let titles: Vec<String> = keys.iter().map(|key| key.to_uppercase()).collect();
    let numbers = ["CALLS", "INPUT", "OUTPUT", "CACHED", "COST"];
    let headings: Vec<&str> = titles.iter().map(String::as_str).chain(numbers).chain(["PRICE"]).collect();
    let line = |names: Vec<String>, sums: &CostSums, prices: String| {
        let CostSums { calls, input, cached, output, cost, .. } = sums;
        let counts = [calls.to_string(), input.to_string(), output.to_string(), cached.to_string(), cost.to_string()];
        names.into_iter().chain(counts).chain([prices]).collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> = report
        .rows
        .iter()
        .map(|row| {
            let names = keys.iter().map(|key| row.by.get(key).cloned().unwrap_or_else(|| "-".to_owned())).collect();
            line(names, &row.sums, row.prices.join(", "))
        })
        .collect();
    if report.rows.len() > 1 {
        let names =
            keys.iter().enumerate().map(|(at, _)| if at == 0 { "total".to_owned() } else { String::new() }).collect();
        rows.push(line(names, &report.total, String::new()));
    }
    output::say_lines(&output::table(&headings, &numbers, rows));
    if report.total.estimated > 0 {
        println!(
            "the cost of {} calls is an estimate: the stream was cut, or the provider reported no usage",
            report.total.estimated
        );
    }
}
