//! `steward <noun> list` and `show`: a row of the query table, typed by hand and printed as a table.
//!
//! Options are made from the query's schema, so a new list is here without a line; `list/nouns.rs` may say how it is
//! printed.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::scope::Scope;
use steward_queries::{PAGE_ROWS_MAX, Page, QUERIES, QuerySpec};

use crate::client::Client;
use crate::command::options::{self, Field, Shorthand};
use crate::output;

mod cells;
mod details;
mod look;
mod nouns;
mod rules;

use look::Look;

/// The most rows that are fetched for one table.
const ROWS_MAX: usize = 100_000;

/// The verbs of queries that are typed as they stand in the table.
const VERBS: [&str; 3] = ["list", "show", "dead-letters"];

/// The queries that are typed as `steward <noun> list` and the like; those of tasks have words of their own.
pub(crate) fn queries() -> impl Iterator<Item = &'static QuerySpec> {
    QUERIES.iter().filter(|spec| spec.view != "task" && VERBS.contains(&spec.verb))
}

/// The query that is typed so, if it is one of these.
pub(crate) fn find(noun: &str, verb: &str) -> Option<&'static QuerySpec> {
    queries().find(|spec| (spec.view, spec.verb) == (noun, verb))
}

fn fields(spec: &QuerySpec) -> Vec<Field> {
    options::fields(spec.query, &Shorthand::default())
}

/// The options of a list with what each means.
pub(crate) fn options(spec: &QuerySpec) -> impl Iterator<Item = (String, String)> {
    fields(spec).into_iter().map(|field| (field.flag.clone(), help(&field)))
}

fn help(field: &Field) -> String {
    match field.flag.as_str() {
        "limit" => "Only so many rows, at most 1000; all rows if not given".to_owned(),
        "after" => "Go on after this row, as the page before says".to_owned(),
        _ => field.help.clone(),
    }
}

/// How it is typed.
pub(crate) fn verb(spec: &'static QuerySpec) -> Command {
    let look = Look::of(spec);
    let mut verb = Command::new(spec.verb).about(spec.help);
    if (spec.view, spec.verb) == ("tenant", "show") {
        verb = verb.arg(Arg::new("name").value_name("TENANT").help("Which; the key's own tenant if not given"));
    }
    for field in fields(spec) {
        let help = help(&field);
        let arg = Arg::new(field.flag.clone()).help(help).value_name(field.flag.to_uppercase());
        // What is shown is named as it is.
        let is_named = spec.verb == "show" && field.flag == spec.view;
        let arg = if is_named { arg.required(true) } else { arg.long(field.flag.clone()) };
        verb = verb.arg(match field.words.as_slice() {
            [] => arg,
            words => arg.value_parser(PossibleValuesParser::new(words.to_vec())),
        });
    }
    if look.examples.is_empty() {
        verb
    } else {
        verb.after_help(format!("Examples:\n  {}", look.examples.join("\n  ")))
    }
}

/// Sends the query that was typed, and prints what comes.
pub(crate) async fn run(
    spec: &'static QuerySpec,
    matches: &ArgMatches,
    client: &Client,
    json: bool,
) -> Result<(), BoxError> {
    let tenant = tenant_of(matches, client)?;
    let mut body = Map::new();
    options::read(&fields(spec), matches, &tenant, &mut body)?;
    let look = Look::of(spec);
    if spec.verb == "show" {
        let row: Value = client.query(&tenant, spec.view, spec.verb, &body).await?;
        if json {
            return output::json(&row);
        }
        print_one(&look, row.get(spec.view).filter(|part| part.is_object()).unwrap_or(&row));
        print_parts(&row);
        details::print(&row);
        return Ok(());
    }
    let filtered = body.keys().any(|name| !["limit", "after", "min_position"].contains(&name.as_str()));
    let page: Page<Value> = fetch_of(client, &tenant, (spec.view, spec.verb), body).await?;
    if json {
        return output::json(&page);
    }
    if page.rows.is_empty() {
        print_nothing(spec, &tenant, filtered, &look);
    } else {
        let rows = page.rows.iter().map(|row| look.cells(row));
        output::say_lines(&output::table(&look.headings(), &look.right(), rows));
    }
    if let Some(next) = &page.next {
        println!("there are more: steward {} {} --after {next}", spec.view, spec.verb);
    }
    Ok(())
}

/// One page if the body says how long a page is, else all pages as one, up to [`ROWS_MAX`].
pub(crate) async fn fetch<T: DeserializeOwned>(
    client: &Client,
    tenant: &TenantId,
    noun: &str,
    body: Map<String, Value>,
) -> Result<Page<T>, BoxError> {
    fetch_of(client, tenant, (noun, "list"), body).await
}

async fn fetch_of<T: DeserializeOwned>(
    client: &Client,
    tenant: &TenantId,
    (noun, verb): (&str, &str),
    mut body: Map<String, Value>,
) -> Result<Page<T>, BoxError> {
    let one_page = body.contains_key("limit");
    if !one_page {
        body.insert("limit".to_owned(), Value::from(PAGE_ROWS_MAX));
    }
    let mut all: Page<T> = client.query(tenant, noun, verb, &body).await?;
    while !one_page && all.rows.len() < ROWS_MAX {
        let Some(next) = all.next.take() else { break };
        body.insert("after".to_owned(), Value::from(next));
        let page: Page<T> = client.query(tenant, noun, verb, &body).await?;
        all.rows.extend(page.rows);
        (all.position, all.next) = (page.position, page.next);
    }
    Ok(all)
}

/// The tenant that was asked for, else that of the scope, else the key's own.
fn tenant_of(matches: &ArgMatches, client: &Client) -> Result<TenantId, BoxError> {
    let typed = |name: &str| matches.try_get_one::<String>(name).ok().flatten();
    if let Some(name) = typed("name") {
        return Ok(TenantId::new(name)?);
    }
    if client.tenant.is_none()
        && let Some(scope) = typed("scope")
    {
        let scope: Scope = scope.parse()?;
        if let Ok(tenant) = TenantId::new(scope.as_str().split('/').next().unwrap_or_default()) {
            return Ok(tenant);
        }
    }
    client.tenant()
}

/// An empty list says so, and what to do next.
fn print_nothing(spec: &QuerySpec, tenant: &TenantId, filtered: bool, look: &Look) {
    let noun = spec.view;
    if spec.verb == "dead-letters" {
        println!("no dead letters in {tenant}: every message was delivered, or is yet to be");
        return;
    }
    if filtered {
        println!("no {noun} of {tenant} is like that; all of them: steward {noun} list --tenant {tenant}");
        return;
    }
    println!("no {noun} in {tenant} yet");
    if let Some(next) = look.make_one {
        println!("  make one: {}", next.replace("TENANT", tenant.as_str()));
    }
    if tenant.is_steward() {
        println!("  {tenant} is the operators' own tenant; of another: steward {noun} list --tenant NAME");
    }
}

/// Lists that belong to what is shown, with the noun whose list they look like.
const PARTS: &[(&str, &str)] = &[
    ("members", "member"),
    ("groups", "group"),
    ("grants", "grant"),
    ("group_grants", "grant"),
    ("keys", "key"),
    ("owned", "account"),
];

fn print_parts(row: &Value) {
    for (field, noun) in PARTS {
        let rows = row.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let Some(look) = Look::of_noun(noun).filter(|_| !rows.is_empty()) else { continue };
        println!("\n{}:", field.replace('_', " "));
        output::say_lines(&output::table(&look.headings(), &look.right(), rows.iter().map(|row| look.cells(row))));
    }
}

fn print_one(look: &Look, row: &Value) {
    let cells = look.cells(row);
    for (heading, cell) in look.headings().iter().zip(cells) {
        println!("{:<12}{cell}", heading.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_takes_its_filters_and_pages() {
        for spec in queries().filter(|spec| spec.verb == "list") {
            let typed = verb(spec);
            for option in ["limit", "after", "min-position"] {
                assert!(typed.get_arguments().any(|arg| arg.get_id() == option), "{} --{option}", spec.view);
            }
        }
        let keys = find("key", "list").unwrap();
        let flags: Vec<String> = fields(keys).into_iter().map(|field| field.flag).collect();
        assert_eq!(
            flags,
            ["principal", "agent", "task", "scope", "state", "unused-since", "limit", "after", "min-position"]
        );
        let state = fields(keys).into_iter().find(|field| field.flag == "state").unwrap();
        assert_eq!(state.words, ["active", "disabled", "expired", "revoked"]);
    }

    #[test]
    fn unknown_lists_are_printed_by_their_fields() {
        for spec in queries() {
            assert!(!Look::of(spec).headings().is_empty(), "{}", spec.view);
        }
    }
}
