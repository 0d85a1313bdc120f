//! `steward flag read`: each feature flag, on or off for somebody.

use clap::ArgMatches;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_queries::Flags;

use crate::client::Client;
use crate::command::options::principal;
use crate::output;

pub(super) async fn read(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let mut query = Map::new();
    if let Some(name) = matches.get_one::<String>("principal") {
        query.insert("principal".to_owned(), Value::String(principal(&tenant, name)?.to_string()));
    }
    let flags: Flags = client.query(&tenant, "flag", "read", &query).await?;
    if json {
        return output::json(&flags);
    }
    if flags.flags.is_empty() {
        println!("no flag in {tenant} yet\n  make one: steward flag set new-search 25% --tenant {tenant}");
    }
    for (flag, on) in &flags.flags {
        println!("{:<4}{flag}", if *on { "on" } else { "off" });
    }
    Ok(())
}
