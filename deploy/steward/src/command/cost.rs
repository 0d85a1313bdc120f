//! `steward cost`: what was spent.

use std::collections::BTreeMap;

use clap::ArgMatches;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Map;
use steward_events::BoxError;
use steward_events::event::{Saving, SavingCause, Savings};
use steward_events::id::TenantId;
use steward_events::quantity::NanoDollars;
use steward_ports::clock::{Clock, SystemClock};
use steward_queries::{
    AccountRow, CostBy, CostQuery, CostReport, CostRow, CostSums, KeyRow, ReportDay, ShowTenant, TenantRow,
};

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
    let tenant = client.tenant()?;
    let (since, until) = (matches.get_one::<String>("since"), matches.get_one::<String>("until"));
    let today = if [since, until].into_iter().flatten().any(|text| days_ago(text).is_some()) {
        Some(today(client, &tenant).await)
    } else {
        None
    };
    let day = |text: Option<&String>| text.map(|text| day(text, today)).transpose();
    let query = CostQuery { by, since: day(since)?, until: day(until)?, min_position: None };
    let mut report: CostReport = client.query(&tenant, "cost", "report", &query).await?;
    if json {
        return output::json(&report);
    }
    if query.by.iter().any(|by| matches!(by, CostBy::Key | CostBy::Principal)) {
        name_accounts(client, &tenant, &mut report).await;
    }
    if matches.get_flag("savings") {
        print_savings(&query, &report);
    } else {
        print(&query, &report);
    }
    Ok(())
}

/// A day of the tenant's, which is not to be taken for a moment; or whatever else stands for one.
fn day(text: &str, today: Option<Date>) -> Result<ReportDay, BoxError> {
    if let (Some(days), Some(today)) = (days_ago(text), today) {
        return Ok(ReportDay::Day(today.checked_sub(days.days())?));
    }
    match text.parse() {
        Ok(day @ ReportDay::Day(_)) => Ok(day),
        _ => Ok(ReportDay::Moment(past_moment(text)?)),
    }
}

/// `today`, or whole days and weeks back such as `7d`.
fn days_ago(text: &str) -> Option<i64> {
    let number = |unit: &str| text.strip_suffix(unit)?.parse::<u16>().ok().map(i64::from);
    if text == "today" { Some(0) } else { number("d").or_else(|| Some(number("w")? * 7)) }
}

/// Today where the tenant is; by UTC if its settings may not be seen.
async fn today(client: &Client, tenant: &TenantId) -> Date {
    let shown: Result<TenantRow, _> = client.query(tenant, "tenant", "show", &ShowTenant::default()).await;
    let zone = shown.ok().and_then(|row| TimeZone::get(&row.timezone).ok()).unwrap_or(TimeZone::UTC);
    SystemClock::default().now().to_jiff().to_zoned_datetime(zone).date()
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
    let parts = Parts::of(query);
    let mut numbers = vec!["CALLS", "INPUT", "OUTPUT", "CACHED", "COST"];
    let has_saved = !report.savings.is_empty();
    if has_saved {
        numbers.extend(["SAVED", "TOKENS SAVED"]);
    }
    let headings: Vec<&str> = parts.titles().chain(numbers.iter().copied()).chain(["PRICE"]).collect();
    let line = |names: Vec<String>, sums: &CostSums, savings: &Savings, prices: String| {
        let CostSums { calls, input, cached, output, cost, .. } = sums;
        let counts = [calls.to_string(), input.to_string(), output.to_string(), cached.to_string(), cost.to_string()];
        let saved = savings.total();
        let saved = has_saved.then(|| [net(&saved), saved.tokens.to_string()]);
        names.into_iter().chain(counts).chain(saved.into_iter().flatten()).chain([prices]).collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> =
        report.rows.iter().map(|row| line(parts.values(row), &row.sums, &row.savings, row.prices.join(", "))).collect();
    if report.rows.len() > 1 {
        rows.push(line(parts.total(), &report.total, &report.savings, String::new()));
    }
    output::say_lines(&output::table(&headings, &numbers, rows));
    for note in notes(&report.total) {
        println!("{note}");
    }
}

fn print_savings(query: &CostQuery, report: &CostReport) {
    if report.savings.is_empty() {
        println!("nothing was saved (log position {})", report.position);
        return;
    }
    let parts = Parts::of(query);
    let numbers = ["TOKENS", "SAVED"];
    let headings: Vec<&str> = parts.titles().chain(["CAUSE"]).chain(numbers).collect();
    let lines = |names: &[String], savings: &Savings| {
        let line = |(cause, saving): (SavingCause, Saving)| {
            let cells = [cause.as_str().to_owned(), saving.tokens.to_string(), net(&saving)];
            names.iter().cloned().chain(cells).collect::<Vec<String>>()
        };
        savings.iter().map(line).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> =
        report.rows.iter().flat_map(|row| lines(&parts.values(row), &row.savings)).collect();
    if report.rows.len() > 1 {
        rows.extend(lines(&parts.total(), &report.savings));
    }
    output::say_lines(&output::table(&headings, &numbers, rows));
}

/// What was saved without what the saving itself cost.
fn net(saving: &Saving) -> String {
    let (NanoDollars(money), NanoDollars(extra)) = (saving.money, saving.extra);
    match money.checked_sub(extra) {
        Some(left) => NanoDollars(left).to_string(),
        None => format!("-{}", NanoDollars(extra - money)),
    }
}

/// By what a report is split, as it stands in a table.
struct Parts {
    keys: Vec<String>,
    titles: Vec<String>,
}

impl Parts {
    fn of(query: &CostQuery) -> Self {
        let word = |by: &CostBy| serde_json::to_value(by).ok()?.as_str().map(str::to_owned);
        let keys: Vec<String> = query.by.iter().map(|by| word(by).unwrap_or_default()).collect();
        Self { titles: keys.iter().map(|key| key.to_uppercase()).collect(), keys }
    }

    fn titles(&self) -> impl Iterator<Item = &str> {
        self.titles.iter().map(String::as_str)
    }

    fn values(&self, row: &CostRow) -> Vec<String> {
        self.keys.iter().map(|key| row.by.get(key).cloned().unwrap_or_else(|| "-".to_owned())).collect()
    }

    fn total(&self) -> Vec<String> {
        let of = |at: usize| if at == 0 { "total".to_owned() } else { String::new() };
        (0..self.keys.len()).map(of).collect()
    }
}

/// What the sums alone do not say.
fn notes(total: &CostSums) -> Vec<String> {
    let CostSums { estimated, estimated_cost, late, unpriced, not_billed, .. } = total;
    let mut notes = Vec::new();
    if *estimated > 0 {
        notes.push(format!(
            "the cost of {estimated} calls, {estimated_cost}, is an estimate: the answer or the gateway was cut off, or the \
             provider did not say what was used"
        ));
    }
    if late.0 > 0 {
        notes.push(format!("{late} was billed beyond what could be held out for its calls"));
    }
    if *unpriced > 0 {
        notes.push(format!(
            "{unpriced} calls used what their price does not name (a service tier, sound, writes to a cache, searches), so \
             their cost may differ from the bill: see `steward price set --help`"
        ));
    }
    if *not_billed > 0 {
        notes.push(format!("{not_billed} attempts were not billed"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saving_may_have_cost_more_than_it_saved() {
        let saving =
            |money, extra| Saving { money: NanoDollars(money), extra: NanoDollars(extra), ..Saving::default() };
        assert_eq!(net(&saving(3_000_000_000, 1_000_000_000)), "$2.00");
        assert_eq!(net(&saving(0, 1_000_000_000)), "-$1.00");
    }

    #[test]
    fn whole_days_back_are_days_and_times_stay_times() {
        let today = Some(Date::constant(2026, 11, 30));
        let read = |text: &str| day(text, today).unwrap().to_string();
        assert_eq!(
            (read("today"), read("7d"), read("2w")),
            ("2026-11-30".into(), "2026-11-23".into(), "2026-11-16".into())
        );
        assert_eq!(
            (read("2026-11-29"), read("2026-11-29T20:35:00Z")),
            ("2026-11-29".into(), "2026-11-29T20:35:00Z".into())
        );
        assert_eq!((days_ago("12h"), days_ago("2026-11-29"), days_ago("d")), (None, None, None));
    }
}
