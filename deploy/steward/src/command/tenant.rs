//! `steward tenant erase` and `steward tenant export`: how a customer leaves, with all of theirs and without traces; `steward
//! tenant history`: what was set for one.

use std::process::ExitCode;

use clap::ArgMatches;
use serde::Serialize;
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::request::Reply;
use steward_queries::{FileRow, ShowTenant, TenantRow, TenantState, TreeQuery, TreeState, UserRow};

use crate::client::Client;
use crate::command::list;
use crate::output;

mod export;
mod history;
mod pages;

pub(super) use export::run as export;
pub(super) use history::run as history;

/// What an erasure would destroy, and what would stay.
#[derive(Serialize)]
struct Plan {
    tenant: TenantId,
    state: TenantState,
    destroyed: Destroyed,
    stays: Stays,
    next: Vec<String>,
}

#[derive(Serialize)]
struct Destroyed {
    data_keys: usize,
    people: usize,
    secrets: usize,
    files: usize,
    file_bytes: u64,
}

#[derive(Serialize)]
struct Stays {
    commits: u64,
    accounts: usize,
    tasks_and_calls: &'static str,
}

pub(super) async fn erase(typed: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let tenant: TenantId = typed.get_one::<String>("name").ok_or("which tenant?")?.parse()?;
    if typed.get_flag("plan") {
        let plan = plan(client, tenant).await?;
        if json {
            output::json(&plan)?;
        } else {
            tell(&plan);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(confirm) = typed.get_one::<String>("confirm") else {
        return Err(format!(
            "this erases all content of {tenant} for ever. See what that is: steward tenant erase {tenant} --plan. \
             Then name it again: steward tenant erase {tenant} --confirm {tenant}"
        )
        .into());
    };
    let reason = typed.get_one::<String>("reason").map_or("", String::as_str);
    let body = json!({ "confirm": confirm, "reason": reason });
    let reply: Reply = client.command(&tenant, "tenant", "erase", &body).await?;
    if json {
        output::json(&reply)?;
    } else {
        let said = if reply.events.is_empty() { "was asked for before" } else { "is asked for" };
        output::say(format_args!("the erasure of {tenant} {said}   (log position {})", reply.position));
        output::say(format_args!(
            "  keep it    steward tenant cancel-erase --tenant {tenant}   (until workers.erasure_wait is over)"
        ));
        output::say(format_args!("  follow it  steward tenant show {tenant}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(client: &Client, tenant: TenantId) -> Result<Plan, BoxError> {
    let row: TenantRow = client.query(&tenant, "tenant", "show", &ShowTenant::default()).await?;
    let tree: TreeState = client.query(&tenant, "audit", "tree", &TreeQuery::default()).await?;
    let people = list::fetch::<UserRow>(client, &tenant, "user", Map::new()).await?.rows;
    let people = people.iter().filter(|person| !person.erased).count();
    let secrets = list::fetch::<Value>(client, &tenant, "secret", Map::new()).await?.rows.len();
    let accounts = list::fetch::<Value>(client, &tenant, "account", Map::new()).await?.rows.len();
    let files = list::fetch::<FileRow>(client, &tenant, "file", Map::new()).await?.rows;
    let next = match row.state {
        TenantState::Placed | TenantState::Open => vec![
            format!("steward tenant export {tenant} DIR   (by the tenant, if it wants what it has)"),
            format!("steward tenant suspend --tenant {tenant} --reason WHY"),
            format!("steward tenant erase {tenant} --confirm {tenant}"),
        ],
        TenantState::Suspended => vec![format!("steward tenant erase {tenant} --confirm {tenant}")],
        TenantState::Erasing => vec![format!("steward tenant cancel-erase --tenant {tenant}   (to keep it)")],
        TenantState::Erased => Vec::new(),
    };
    Ok(Plan {
        state: row.state,
        destroyed: Destroyed {
            data_keys: people + usize::from(row.state != TenantState::Erased),
            people,
            secrets,
            files: files.len(),
            file_bytes: files.iter().map(|file| file.bytes).sum(),
        },
        stays: Stays {
            commits: tree.size,
            accounts,
            tasks_and_calls: "who did what, when and at what cost, under opaque ids",
        },
        next,
        tenant,
    })
}

fn tell(Plan { tenant, state, destroyed, stays, next }: &Plan) {
    let state = serde_json::to_value(state).ok();
    let state = state.as_ref().and_then(Value::as_str).unwrap_or_default();
    output::say(format_args!("{tenant} is {state}"));
    output::say(format_args!("destroyed, so that nobody can read it any more, in no backup either:"));
    output::say(format_args!(
        "  {} data keys, with all content of tasks, batches and calls that is kept",
        destroyed.data_keys
    ));
    output::say(format_args!("  {} people's names and mail addresses", destroyed.people));
    output::say(format_args!("  {} secrets of its providers", destroyed.secrets));
    output::say(format_args!("  {} files, {} bytes", destroyed.files, destroyed.file_bytes));
    output::say(format_args!("stays, for the books and the proofs:"));
    output::say(format_args!("  {} commits with their proof: {}", stays.commits, stays.tasks_and_calls));
    output::say(format_args!(
        "  what was set in clear: agents, budgets, roles, {} service accounts, reasons",
        stays.accounts
    ));
    output::say(format_args!("  the name {tenant}, which nobody else can take"));
    for (at, step) in next.iter().enumerate() {
        output::say(format_args!("{} {step}", if at == 0 { "next:" } else { "     " }));
    }
}
