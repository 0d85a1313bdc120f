//! `steward tenant export`: all that a tenant has, readable, into a folder: its history with the proof, its lists, its
//! people, the content of its tasks and its files. Run again, it goes on where it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_queries::{ExportBegun, ExportTenant, FileRow, Replay, ReplayQuery, TaskQuery};

use super::pages::{Part, list, rows};
use crate::client::Client;
use crate::command::audit;
use crate::output;

/// The form of this folder; another form is another number.
const FORMAT: u32 = 1;

/// What says that the export is whole.
const MANIFEST: &str = "export.json";

/// The lists that are exported: the name of the file, and the noun.
const LISTS: &[(&str, &str)] = &[
    ("people", "user"),
    ("accounts", "account"),
    ("keys", "key"),
    ("roles", "role"),
    ("grants", "grant"),
    ("budgets", "budget"),
    ("agents", "agent"),
    ("providers", "provider"),
    ("models", "model"),
    ("prices", "price"),
    ("secrets", "secret"),
    ("batches", "batch"),
    ("files", "file"),
];

pub(in super::super) async fn run(typed: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let tenant: TenantId = typed.get_one::<String>("name").ok_or("which tenant?")?.parse()?;
    let folder: &Path = typed.get_one::<String>("dir").ok_or("into which folder?")?.as_ref();
    let begun: ExportBegun = client.query(&tenant, "tenant", "export", &ExportTenant {}).await?;
    fs::create_dir_all(folder)?;
    check_owner(folder, &tenant)?;
    let mut counts = Map::new();
    history(client, &tenant, &folder.join("history")).await?;
    for (name, noun) in LISTS {
        let path = folder.join(format!("{name}.jsonl"));
        let count = if path.is_file() { rows(&path)?.len() as u64 } else { list(client, &tenant, noun, &path).await? };
        counts.insert((*name).to_owned(), Value::from(count));
    }
    counts.insert("tasks".to_owned(), Value::from(tasks(client, &tenant, folder).await?));
    let bytes = files(client, &tenant, folder).await?;
    let manifest = json!({
        "format": FORMAT,
        "tenant": tenant,
        "position": begun.position,
        "counts": counts,
        "file_bytes": bytes,
    });
    let mut part = Part::begin(&folder.join(MANIFEST))?;
    part.row(&manifest)?;
    part.end()?;
    if json {
        output::json(&manifest)?;
    } else {
        output::say(format_args!("{tenant} is exported whole into {}", folder.display()));
        for (name, count) in &counts {
            output::say(format_args!("  {count:>8} {name}"));
        }
        let history = folder.join("history");
        output::say(format_args!("  verify   steward audit verify --export {}", history.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder is of one tenant. Who it is stands there first.
fn check_owner(folder: &Path, tenant: &TenantId) -> Result<(), BoxError> {
    let path = folder.join("tenant.json");
    if !path.is_file() {
        if fs::read_dir(folder)?.next().is_some() {
            return Err(format!("{} is not empty: an export gets a folder of its own", folder.display()).into());
        }
        let mut part = Part::begin(&path)?;
        part.row(&json!({ "tenant": tenant }))?;
        part.end()?;
        return Ok(());
    }
    let known: Value = serde_json::from_slice(&fs::read(&path)?)?;
    if known["tenant"] != json!(tenant) {
        return Err(format!("{} holds the export of another tenant, {}", folder.display(), known["tenant"]).into());
    }
    Ok(())
}

/// The history with its proof, as `steward audit export` writes it. One that was broken off is begun again.
async fn history(client: &Client, tenant: &TenantId, folder: &Path) -> Result<(), BoxError> {
    if folder.join("manifest.json").is_file() {
        return Ok(());
    }
    if folder.is_dir() {
        fs::remove_dir_all(folder)?;
    }
    audit::export_history(client, tenant, folder).await
}

/// Each task with what it was asked and what it answered, as far as the log says that there were tasks.
async fn tasks(client: &Client, tenant: &TenantId, folder: &Path) -> Result<u64, BoxError> {
    let path = folder.join("tasks.jsonl");
    if path.is_file() {
        return Ok(rows(&path)?.len() as u64);
    }
    let mut part = Part::begin(&path)?;
    let (mut query, mut seen) =
        (ReplayQuery { kinds: vec!["task".to_owned()], ..ReplayQuery::default() }, BTreeSet::new());
    loop {
        let page: Replay = client.query(tenant, "history", "replay", &query).await?;
        for task in page.events.iter().filter_map(|event| event.stream.strip_prefix("task/")) {
            if seen.insert(task.to_owned()) {
                let asked = TaskQuery { task: task.parse()?, min_position: None };
                part.row(&client.query::<Value>(tenant, "task", "show", &asked).await?)?;
            }
        }
        match page.next {
            Some(next) if next > query.after => query.after = next,
            _ => return part.end(),
        }
    }
}

/// What the files hold, each under its id. Those that end meanwhile are left out.
async fn files(client: &Client, tenant: &TenantId, folder: &Path) -> Result<u64, BoxError> {
    let files = rows(&folder.join("files.jsonl"))?;
    if !files.is_empty() && client.own_tenant()? != *tenant {
        return Err(format!("what files hold is read with a key of {tenant} only: give one with --api-key").into());
    }
    let mut bytes = 0;
    for row in files {
        let file: FileRow = serde_json::from_value(row)?;
        let path = folder.join("files").join(file.file.as_str());
        if !path.is_file() {
            let mut part = Part::begin(&path)?;
            let content = format!("/v1/files/{}/content", file.file);
            if !client.download(&content, |bytes| part.bytes(bytes)).await? {
                continue;
            }
            part.end()?;
        }
        bytes += fs::metadata(&path)?.len();
    }
    Ok(bytes)
}
