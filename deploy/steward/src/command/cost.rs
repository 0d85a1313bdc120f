//! `steward cost`: what was spent.

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::query::{CostBy, CostQuestion, CostReport, CostSums};

use crate::client::Client;
use crate::command::send::moment;
use crate::output;

pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let by: Vec<CostBy> = matches
        .get_many::<String>("by")
        .unwrap_or_default()
        .map(|word| serde_json::from_value(serde_json::Value::String(word.clone())))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("--by: {error}"))?;
    let time = |name: &str| matches.get_one::<String>(name).map(|text| moment(text)).transpose();
    let question = CostQuestion { by, since: time("since")?, until: time("until")?, min_position: None };
    let report: CostReport = client.query(&client.tenant()?, "cost", "report", &question).await?;
    if json {
        return output::json(&report);
    }
    print(&question, &report);
    Ok(())
}

fn print(question: &CostQuestion, report: &CostReport) {
    if report.rows.is_empty() {
        println!("nothing was spent (log position {})", report.position);
        return;
    }
    let keys: Vec<String> = question
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
    println!("{}", output::table(&headings, &numbers, rows));
    if report.total.estimated > 0 {
        println!(
            "{} of the calls are estimates: their stream was cut, or the provider reported no usage",
            report.total.estimated
        );
    }
}
