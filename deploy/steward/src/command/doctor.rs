//! `steward doctor`: what is wrong with this installation, and what to do.

use std::process::ExitCode;

use clap::ArgMatches;
use serde::Serialize;
use steward_events::BoxError;
use steward_events::event::AggregateKind;
use steward_jetstream::Role;

use crate::compose::Installation;
use crate::config::{Config, Durability};
use crate::{files, output};

/// One thing looked at.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<&'static str>,
}

fn finding(check: &'static str, looked: Result<String, BoxError>, todo: &'static str) -> Finding {
    match looked {
        Ok(detail) => Finding { check, ok: true, detail, todo: None },
        Err(error) => Finding { check, ok: false, detail: crate::compose::chain(&*error), todo: Some(todo) },
    }
}

/// Exit status 0 only if nothing is wrong.
pub(super) async fn run(config: &Config, matches: &ArgMatches, json: bool) -> Result<ExitCode, BoxError> {
    let findings = vec![
        finding("keys", keys(config), "restore the files from your backup, or run chmod 600 on them"),
        finding(
            "nats-server",
            program(config),
            "run make tools, or install nats-server 2.12 or later, or set bus.program",
        ),
        finding("bus", bus(config).await, "start the bus: steward up, or steward bus"),
        finding(
            "durability",
            Ok(durability(config)),
            "set durability = \"strict\" if acknowledgements must survive power loss",
        ),
        finding("disk", disk(config), "make room on the disk or enlarge it; then everything goes on by itself"),
        finding(
            "gateway",
            gateway(config, matches).await,
            "start the gateway: steward up, or steward gateway; or give --url",
        ),
        finding("schemas", Ok(schemas()), ""),
    ];
    let well = findings.iter().all(|finding| finding.ok);
    if json {
        output::json(&findings)?;
    } else {
        for Finding { check, ok, detail, todo } in &findings {
            println!("{:<4} {check:<12} {detail}", if *ok { "ok" } else { "FAIL" });
            if let Some(todo) = todo.filter(|todo| !todo.is_empty()) {
                println!("                  do: {todo}");
            }
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keys(config: &Config) -> Result<String, BoxError> {
    for file in [config.operator_key_file(), config.master_key_file(), config.transparency_key_file()] {
        files::read_secret(&file)?.ok_or_else(|| format!("the file {} does not exist", file.display()))?;
    }
    Ok(format!("operator, master and checkpoint key in {}, readable by their owner only", config.data.display()))
}

fn program(config: &Config) -> Result<String, BoxError> {
    Ok(steward_jetstream::server::find(config.bus.program.as_deref())?.display().to_string())
}

async fn bus(config: &Config) -> Result<String, BoxError> {
    let installation = Installation::find(config);
    let connection = installation.connect(Role::Admin).await?;
    let version = connection.server_version();
    connection.close().await;
    let supported = version
        .split('.')
        .take(2)
        .map(str::parse::<u32>)
        .collect::<Result<Vec<_>, _>>()
        .is_ok_and(|v| v >= vec![2, 12]);
    if !supported {
        return Err(format!("{} runs nats-server {version}; 2.12 or later is needed", installation.url()).into());
    }
    Ok(format!(
        "{}  nats-server {version}  {} shards, {} replica",
        installation.url(),
        config.bus.shards,
        config.bus.replicas
    ))
}

fn durability(config: &Config) -> String {
    match config.durability {
        Durability::Strict => "strict: acknowledgements survive power loss".to_owned(),
        Durability::ProcessCrash => {
            "process-crash: acknowledgements survive the death of any process; power loss may cost up to 2 minutes on one server".to_owned()
        }
    }
}

fn disk(config: &Config) -> Result<String, BoxError> {
    let Some(disk) = crate::compose::disk(config)? else {
        return Ok("the log is on the disk of another machine".to_owned());
    };
    disk.room_for_calls()?;
    Ok(disk.describe())
}

async fn gateway(config: &Config, matches: &ArgMatches) -> Result<String, BoxError> {
    let client = super::client(matches, config)?;
    let (status, body) = client.get("/readyz").await?;
    if status != 200 {
        return Err(format!("not ready ({status}): {body}").into());
    }
    Ok("ready".to_owned())
}

/// What this build reads and writes of each aggregate.
fn schemas() -> String {
    AggregateKind::ALL.iter().map(|kind| format!("{kind} {}", kind.schema())).collect::<Vec<_>>().join(", ")
}
