//! `steward key unused`: keys that work and that nobody uses.

use clap::ArgMatches;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::timestamp::Timestamp;
use steward_queries::KeyRow;

use crate::client::Client;
use crate::command::list::fetch;
use crate::command::options::past_moment;
use crate::output;

/// For how long a key is not used that is shown, if nobody says it.
pub(crate) const SINCE: &str = "90d";

/// Prints them, the longest unused first.
pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let since = past_moment(matches.get_one::<String>("since").map_or(SINCE, String::as_str))?;
    let tenant = client.tenant()?;
    let body = Map::from_iter([
        ("state".to_owned(), Value::from("active")),
        ("unused_since".to_owned(), Value::from(since.to_string())),
    ]);
    let mut page = fetch::<KeyRow>(client, &tenant, "key", body).await?;
    page.rows.sort_by_key(|row| row.last_used.unwrap_or(row.issued_at));
    if json {
        return output::json(&page);
    }
    if page.rows.is_empty() {
        println!("every key of {tenant} that works was used or issued since {since}");
        return Ok(());
    }
    let rows = page.rows.iter().map(|row| {
        vec![
            row.key.to_string(),
            row.name.clone().unwrap_or_else(|| row.principal.to_string()),
            row.scope.to_string(),
            row.last_used.map_or_else(|| "never".to_owned(), day),
            day(row.issued_at),
        ]
    });
    output::say_lines(&output::table(&["KEY", "ACTS AS", "SCOPE", "LAST USED", "ISSUED"], &[], rows));
    println!(
        "a use is a call or a command; who only reads lists and reports is not seen. To end one: steward key revoke KEY --tenant {tenant}"
    );
    Ok(())
}

/// Its day, in UTC.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
