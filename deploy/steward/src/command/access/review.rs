//! `steward access review`: who holds what, since when, from whom and used when; and what a reviewer says to it.

use clap::ArgMatches;
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::event::GrantId;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_queries::{GrantState, PAGE_ROWS_MAX, ReviewedGrant, ReviewedPage};

use crate::client::Client;
use crate::command::options::principal;
use crate::output;

/// The most grants that are fetched.
const ROWS_MAX: usize = 200_000;

/// The most grants of one command.
const GRANTS_AT_ONCE: usize = 500;

const HEADINGS: [&str; 10] =
    ["PRINCIPAL", "NAME", "ROLE", "ON", "UNTIL", "SINCE", "GIVEN BY", "LAST USED", "THROUGH", "TO DO"];

/// Lists, and with `--confirm` or `--revoke` says it of all that is listed.
pub(crate) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let rows = fetch(matches, client, &tenant).await?;
    let verb = ["confirm", "revoke"].into_iter().find(|verb| matches.get_flag(verb));
    if let Some(verb) = verb {
        return say_to_all(matches, client, &tenant, (verb, &rows), json).await;
    }
    if json {
        return output::json(&rows);
    }
    if matches.get_flag("csv") {
        output::say_lines(&csv(&rows));
        return Ok(());
    }
    if rows.is_empty() {
        println!("no grants");
        return Ok(());
    }
    output::say_lines(&output::table(&HEADINGS, &[], rows.iter().map(cells)));
    Ok(())
}

async fn fetch(matches: &ArgMatches, client: &Client, tenant: &TenantId) -> Result<Vec<ReviewedGrant>, BoxError> {
    let mut body = Map::new();
    for name in ["principal", "role", "scope", "review"] {
        if let Some(text) = matches.get_one::<String>(name) {
            let value = if name == "principal" { principal(tenant, text)?.to_string() } else { text.clone() };
            body.insert(name.to_owned(), Value::from(value));
        }
    }
    if let Some(days) = matches.get_one::<u32>("unused-days") {
        body.insert("unused_days".to_owned(), Value::from(*days));
    }
    body.insert("limit".to_owned(), Value::from(PAGE_ROWS_MAX));
    let mut rows = Vec::new();
    loop {
        let page: ReviewedPage = client.query(tenant, "access", "review", &body).await?;
        rows.extend(page.rows);
        match page.next {
            Some(_) if rows.len() >= ROWS_MAX => {
                return Err(format!("more than {ROWS_MAX} grants: narrow it with --scope or --role").into());
            }
            Some(next) => body.insert("after".to_owned(), Value::from(next)),
            None => return Ok(rows),
        };
    }
}

/// Confirms or revokes all rows, so many at once.
async fn say_to_all(
    matches: &ArgMatches,
    client: &Client,
    tenant: &TenantId,
    (verb, rows): (&str, &[ReviewedGrant]),
    json: bool,
) -> Result<(), BoxError> {
    let review = matches.get_one::<String>("review").ok_or("say in which review: --review NAME")?;
    let reason = matches.get_one::<String>("reason").cloned().unwrap_or_default();
    let grants: Vec<GrantId> = rows.iter().filter(|row| row.unreviewed.is_some()).map(ReviewedGrant::id).collect();
    let mut last = Value::Null;
    for some in grants.chunks(GRANTS_AT_ONCE) {
        let body = json!({ "review": review, "grants": some, "reason": reason });
        last = client.command(tenant, "review", verb, &body).await?.into_result()?.answer;
    }
    let left = last.get("unreviewed").cloned().unwrap_or_default();
    if json {
        return output::json(&json!({ "review": review, "grants": grants.len(), "unreviewed": left }));
    }
    let done = if verb == "confirm" { "confirmed" } else { "revoked" };
    println!("{} grants {done} in the review {review}", grants.len());
    if let Some(left) = left.as_u64() {
        println!("{left} are left: steward access review --review {review} --tenant {tenant}");
    }
    Ok(())
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn cells(row: &ReviewedGrant) -> Vec<String> {
    let ended = row.state == GrantState::Expired;
    let until = row.expires.map(|at| if ended { format!("ended {at}") } else { at.to_string() });
    let mut to_do: Vec<String> = row.breaks.iter().map(|separation| format!("breaks {separation}")).collect();
    to_do.extend(row.unreviewed.iter().map(|review| format!("review {review}")));
    vec![
        row.to.to_string(),
        or_dash(row.name.clone()),
        row.role.to_string(),
        row.on.to_string(),
        or_dash(until),
        day(row.since),
        or_dash(row.given_by.as_ref().map(ToString::to_string)),
        row.last_used.map_or_else(|| "never".to_owned(), day),
        row.elevation.as_ref().map_or_else(|| "grant".to_owned(), |id| format!("elevation {id}")),
        if to_do.is_empty() { "-".to_owned() } else { to_do.join(", ") },
    ]
}

/// The table as RFC 4180 has it, a heading line first.
fn csv(rows: &[ReviewedGrant]) -> String {
    let heading: Vec<String> = HEADINGS.iter().map(|name| name.to_lowercase().replace(' ', "_")).collect();
    let lines = std::iter::once(heading).chain(rows.iter().map(cells));
    lines.map(|line| line.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n").collect()
}

/// A cell that a spreadsheet takes for text: one that begins like a formula would be run by it.
fn quoted(cell: &str) -> String {
    let cell =
        if cell.len() > 1 && cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_csv_is_text_and_nothing_else() {
        for (cell, written) in [
            ("plain", "plain"),
            ("-", "-"),
            ("a, b", "\"a, b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=1+1", "'=1+1"),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
