//! One command a file; this decides which.

use std::process::ExitCode;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::command::find;
use steward_events::id::TenantId;

use crate::client::Client;
use crate::config::Config;

mod access;
mod apply;
mod audit;
#[cfg(feature = "bench")]
mod bench;
mod config;
mod cost;
mod docs;
mod doctor;
mod export_config;
mod flag;
mod import;
pub(crate) mod list;
mod options;
mod price;
mod replay;
mod role;
mod route;
pub(crate) mod secret;
pub(crate) mod send;
mod task;
mod tenant;
pub(crate) mod unused;
mod up;

/// Runs what was typed.
pub(crate) async fn run(matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    let file = matches.get_one::<String>("config").map(std::path::Path::new);
    let config = Config::read(file)?;
    let (name, typed) = matches.subcommand().ok_or("type a command; --help lists them")?;
    let json = typed.get_flag("json");
    let connect = || client(typed, &config);
    match (name, typed.subcommand()) {
        ("up", _) => Box::pin(up::run(config.clone(), typed)).await?,
        ("bus" | "aggregates" | "projectors" | "workers" | "gateway", _) => {
            Box::pin(role::run(name, config.clone(), typed)).await?;
        }
        #[cfg(feature = "bench")]
        ("bench", _) => bench::run(&config, typed, json).await?,
        #[cfg(feature = "bench")]
        ("bench-part", _) => {
            let words: Vec<String> = typed.get_many::<String>("words").unwrap_or_default().cloned().collect();
            steward_bench::become_part(&words).await?;
        }
        ("doctor", _) => return doctor::run(&config, typed, json).await,
        ("config", _) => config::show(file, json)?,
        ("apply", _) => return apply::run(typed, &connect()?, json).await,
        ("export-config", _) => export_config::run(typed, &connect()?).await?,
        ("import", _) => return import::run(typed, connect, json).await,
        ("price", Some(("check", typed))) => return price::check(typed, &connect()?, json).await,
        ("cost", _) => cost::run(typed, &connect()?, json).await?,
        ("replay", _) => replay::run(typed, &connect()?, json).await?,
        ("docs", _) => docs::run(typed)?,
        ("access", Some((verb, typed))) => return access::run(verb, typed, &connect()?, json).await,
        ("role", Some(("remove", typed))) if typed.get_flag("plan") => {
            access::role_plan::run(typed, &connect()?, json).await?;
        }
        ("route", Some(("explain", typed))) => route::explain(typed, &connect()?, json).await?,
        ("key", Some(("unused", typed))) => unused::run(typed, &connect()?, json).await?,
        ("audit", Some((verb, typed))) => return audit::run(verb, typed, &config, json).await,
        ("flag", Some(("read", typed))) => flag::read(typed, &connect()?, json).await?,
        ("tenant", Some(("history", typed))) => tenant::history(typed, &connect()?, json).await?,
        ("task", Some(("list", typed))) => task::list(typed, &connect()?, json).await?,
        ("task", Some(("show", typed))) => task::show(typed, &connect()?, json).await?,
        ("task", Some(("watch", typed))) => return task::watch(&task::id(typed)?, &connect()?, json).await,
        ("tenant", Some(("erase", typed))) => return tenant::erase(typed, &connect()?, json).await,
        ("tenant", Some(("export", typed))) => return tenant::export(typed, &connect()?, json).await,
        (noun, Some((verb, typed))) => {
            if let Some(spec) = list::find(noun, verb) {
                list::run(spec, typed, &connect()?, json).await?;
                return Ok(ExitCode::SUCCESS);
            }
            let spec = find(noun, verb).ok_or_else(|| format!("there is no command {noun} {verb}"))?;
            let client = connect()?;
            let watch = typed.try_get_one::<bool>("watch").ok().flatten().copied().unwrap_or(false);
            let reply = send::run(spec, typed, &client, json && !watch).await?;
            if watch && let Some(id) = reply.answer.get("task").and_then(serde_json::Value::as_str) {
                return task::watch(&id.parse()?, &client, json).await;
            }
        }
        (other, None) => return Err(format!("{other}: what about it? --help lists what can be done").into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A client by what was typed, else by what this installation's files say.
fn client(typed: &ArgMatches, config: &Config) -> Result<Client, BoxError> {
    let text = |name: &str| typed.get_one::<String>(name).map(String::as_str);
    let tenant = text("tenant").map(TenantId::new).transpose()?;
    Client::for_installation(config, text("url"), text("api-key"), tenant)
}
