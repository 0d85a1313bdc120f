//! `steward access`: who may do what, and why.

use std::process::ExitCode;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::scope::Scope;
use steward_queries::{ExplainQuery, Explanation, WhoCan, WhoCanQuery};

use crate::client::Client;
use crate::command::options::{past_moment, principal};
use crate::output;

mod review;
pub(super) mod role_plan;

mod changes;
mod rehearsal;

use rehearsal::{least, rehearse, simulate};
pub(super) use rehearsal::{print, whole};

fn required<'a>(matches: &'a ArgMatches, name: &str) -> Result<&'a String, BoxError> {
    matches.get_one::<String>(name).ok_or_else(|| format!("{name} is missing").into())
}

/// The tenant that was asked for, else that of the scope, else the key's.
fn tenant_of(client: &Client, scope: &Scope) -> Result<TenantId, BoxError> {
    match (&client.tenant, scope.as_str().split('/').next()) {
        (Some(tenant), _) => Ok(tenant.clone()),
        (None, Some(first)) if first != "*" => Ok(TenantId::new(first)?),
        _ => client.tenant(),
    }
}

/// Exit status 0 if it is allowed, or nothing was asked that can be refused; else 1.
pub(super) async fn run(verb: &str, typed: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    match verb {
        "explain" => return explain(typed, client, json).await,
        "review" => review::run(typed, client, json).await?,
        "simulate" => simulate(typed, client, json).await?,
        "rehearse" => rehearse(typed, client, json).await?,
        "least" => least(typed, client, json).await?,
        _ => who_can(typed, client, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain(matches: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let scope: Scope = required(matches, "scope")?.parse()?;
    let tenant = tenant_of(client, &scope)?;
    let who = required(matches, "principal")?;
    let query = ExplainQuery {
        // A key stands for its holder, narrowed.
        principal: if who.starts_with("key_") { who.parse()? } else { principal(&tenant, who)? },
        permission: required(matches, "permission")?.parse()?,
        scope,
        at: matches.get_one::<String>("at").map(|text| past_moment(text)).transpose()?,
        address: matches.get_one::<String>("address").map(|text| text.parse()).transpose()?,
    };
    let explanation: Explanation = client.query(&tenant, "access", "explain", &query).await?;
    if json {
        output::json(&explanation)?;
    } else {
        println!("{}: {}", if explanation.allowed { "allowed" } else { "denied" }, explanation.reason);
        if let Some(command) = &explanation.would_allow {
            println!("would be allowed by: {command}");
        }
    }
    Ok(if explanation.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn who_can(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let scope: Scope = required(matches, "scope")?.parse()?;
    let tenant = tenant_of(client, &scope)?;
    let query = WhoCanQuery {
        permission: required(matches, "permission")?.parse()?,
        scope,
        at: matches.get_one::<String>("at").map(|text| past_moment(text)).transpose()?,
    };
    let answer: WhoCan = client.query(&tenant, "access", "who-can", &query).await?;
    if json {
        return output::json(&answer);
    }
    if answer.principals.is_empty() {
        println!("nobody");
        return Ok(());
    }
    let rows = answer
        .principals
        .into_iter()
        .map(|may| vec![may.principal.to_string(), may.name.unwrap_or_else(|| "-".to_owned()), may.reason]);
    output::say_lines(&output::table(&["PRINCIPAL", "NAME", "WHY"], &[], rows));
    Ok(())
}
