//! One command a file; this decides which.

use std::process::ExitCode;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::command::find;

use crate::client::Client;
use crate::config::Config;

mod access;
mod apply;
mod audit;
mod bench;
mod cost;
mod docs;
mod doctor;
pub(crate) mod list;
mod options;
mod replay;
mod role;
pub(crate) mod send;
mod task;
mod up;

/// Runs what was typed.
pub(crate) async fn run(matches: &ArgMatches) -> Result<ExitCode, BoxError> {
    let config = Config::read(matches.get_one::<String>("config").map(std::path::Path::new))?;
    let (name, typed) = matches.subcommand().ok_or("type a command; --help lists them")?;
    let json = typed.get_flag("json");
    let client = || Client::from(typed, &config);
    match (name, typed.subcommand()) {
        ("up", _) => up::run(config.clone(), typed).await?,
        ("bus" | "aggregates" | "projectors" | "workers" | "gateway", _) => {
            role::run(name, config.clone(), typed).await?;
        }
        ("bench", _) => bench::run(&config, typed, json).await?,
        ("bench-part", _) => {
            let words: Vec<String> = typed.get_many::<String>("words").unwrap_or_default().cloned().collect();
            crate::bench::part::become_part(&words).await?;
        }
        ("doctor", _) => return doctor::run(&config, typed, json).await,
        ("apply", _) => apply::run(typed, &client()?).await?,
        ("cost", _) => cost::run(typed, &client()?, json).await?,
        ("replay", _) => replay::run(typed, &client()?, json).await?,
        ("docs", _) => docs::run(typed)?,
        ("access", Some(("explain", typed))) => return access::explain(typed, &client()?, json).await,
        ("access", Some((_, typed))) => access::who_can(typed, &client()?, json).await?,
        ("audit", Some((verb, typed))) => return audit::run(verb, typed, &config, json).await,
        ("task", Some(("list", typed))) => task::list(typed, &client()?, json).await?,
        ("task", Some(("show", typed))) => task::show(typed, &client()?, json).await?,
        ("task", Some(("watch", typed))) => return task::watch(&task::id(typed)?, &client()?, json).await,
        (noun, Some((verb, typed))) => {
            if let Some(spec) = list::find(noun, verb) {
                list::run(spec, typed, &client()?, json).await?;
                return Ok(ExitCode::SUCCESS);
            }
            let spec = find(noun, verb).ok_or_else(|| format!("there is no command {noun} {verb}"))?;
            let client = client()?;
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
