//! `steward import`: what another gateway was told, as a company.toml and as prices with dates. Each part of the file is told
//! with its place: whether it maps, maps partly or does not, and what to do instead. What maps is applied as by
//! `steward apply`.
//!
//! Exit status: 0 if all was done or could be, 1 if something failed or is refused; of prices also 2 if `--plan` found something
//! to do.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;
use steward_events::BoxError;
use steward_events::event::BudgetLevel;
use steward_events::id::TenantId;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, SystemClock};

use super::apply::setting::Settings;
use super::apply::{self, Pending};
use super::options::moment;
use super::price::list::PriceList;
use crate::client::Client;
use crate::output;

mod costs;
mod decimal;
mod fit;
mod litellm;
mod notes;
mod price_map;
mod prices;
mod yaml;

use litellm::{Beside, Imported};
use notes::{Notes, Outcome};
use price_map::PriceMap;

/// Imports what was typed. `connect` is called only where something is asked of the gateway.
pub(super) async fn run(
    matches: &ArgMatches,
    connect: impl Fn() -> Result<Client, BoxError>,
    json: bool,
) -> Result<ExitCode, BoxError> {
    match matches.subcommand() {
        Some(("litellm", typed)) => configuration(typed, connect, json).await,
        Some(("litellm-prices", typed)) => prices::run(typed, &connect()?, json).await,
        _ => Err("import what? steward import --help lists what can be".into()),
    }
}

/// When prices begin that have no date.
#[derive(Clone, Copy, Debug)]
struct Dates {
    now: Timestamp,
    from: Timestamp,
    /// True if that was typed.
    is_typed: bool,
}

impl Dates {
    fn typed(matches: &ArgMatches) -> Result<Self, BoxError> {
        let now = SystemClock::default().now();
        let typed = matches.get_one::<String>("from").map(|text| moment(text)).transpose()?;
        let from = typed.map_or_else(|| fit::midnight(now, 0), Ok)?;
        Ok(Self { now, from, is_typed: typed.is_some() })
    }
}

async fn configuration(
    matches: &ArgMatches,
    connect: impl Fn() -> Result<Client, BoxError>,
    json: bool,
) -> Result<ExitCode, BoxError> {
    let path = matches.get_one::<String>("file").ok_or("which file?")?;
    let dates = Dates::typed(matches)?;
    let imported = read(path, matches, dates)?;
    let refused = imported.notes.count(Outcome::Refused);
    if matches.get_flag("plan") || refused > 0 {
        if json {
            output::json(&json!({ "notes": imported.notes, "company": imported.company }))?;
        } else {
            imported.notes.show();
        }
        if refused > 0 {
            return Err(format!("nothing was applied: {refused} entries of {path} are refused; correct them").into());
        }
        write(matches, &imported.company)?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = connect()?;
    if !client.own_tenant()?.is_steward() {
        return Err("providers with keys are the platform's: import with an operator's key; or write company.toml with --plan --out, and take from it what is yours".into());
    }
    write(matches, &imported.company)?;
    let file = apply::settings(&imported.company, &client)?;
    carry_out(file, imported.notes, dates, false, &client, json).await
}

/// Reads the file that was typed, and what stands beside it.
fn read(path: &str, matches: &ArgMatches, dates: Dates) -> Result<Imported, BoxError> {
    let map = matches.get_one::<String>("prices").map(|path| price_map(path)).transpose()?;
    let tenant = matches.get_one::<String>("tenant").map(TenantId::new).transpose()?;
    let values: BTreeMap<String, String> = matches
        .get_many::<String>("value")
        .unwrap_or_default()
        .map(|text| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Option<_>>()
        .ok_or("--value is written NAME=VALUE, e.g. AZURE_API_BASE=https://example.openai.azure.com")?;
    let list = PriceList::shipped()?;
    let name =
        std::path::Path::new(path).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let file: String = name.chars().take(80).collect();
    let beside = Beside {
        tenant: tenant.as_ref(),
        from: dates.from,
        read: dates.now,
        map: map.as_ref(),
        list: &list,
        values: &values,
        file: &file,
    };
    let text = bounded(path, litellm::BYTES_MAX)?;
    let imported = litellm::read(&text, &beside).map_err(|error| format!("{path}: {error}"))?;
    // A plan that is shown is one that can be applied.
    apply::read(&imported.company, BudgetLevel::Platform)
        .map_err(|error| format!("{path}: what is made of it: {error}"))?;
    Ok(imported)
}

/// Makes what differs from what holds so; only shows it if it is a `plan`. What is only in the log stays.
async fn carry_out(
    mut file: Settings,
    mut notes: Notes,
    dates: Dates,
    plan: bool,
    client: &Client,
    json: bool,
) -> Result<ExitCode, BoxError> {
    let mut log = apply::holds(&file, client).await?.settings;
    fit::fit(&mut file, &log, dates, &mut notes);
    log.retain(|name, _| file.contains_key(name));
    let pending = Pending::between(file, &log, false);
    if json {
        output::json(&json!({ "notes": notes, "changes": pending.json() }))?;
    } else {
        notes.show();
        pending.show();
    }
    pending.make(plan, client, json).await
}

/// Writes company.toml where that was typed. What is there already is not written over: somebody may have worked on it.
fn write(matches: &ArgMatches, company: &str) -> Result<(), BoxError> {
    let Some(path) = matches.get_one::<String>("out") else { return Ok(()) };
    let written =
        std::fs::File::create_new(path).and_then(|mut file| std::io::Write::write_all(&mut file, company.as_bytes()));
    written.map_err(|error| format!("cannot write {path}: {error}; name a file that is not there yet").into())
}

fn price_map(path: &str) -> Result<PriceMap, BoxError> {
    PriceMap::read(&bounded(path, price_map::BYTES_MAX)?).map_err(|error| format!("{path}: {error}").into())
}

/// The text of a file of at most so many bytes.
fn bounded(path: &str, bytes_max: u64) -> Result<String, BoxError> {
    let cannot = |error: std::io::Error| format!("cannot read {path}: {error}");
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    let bytes = file.take(bytes_max + 1).read_to_string(&mut text).map_err(cannot)?;
    if u64::try_from(bytes)? > bytes_max {
        return Err(format!("{path} has more than {bytes_max} bytes; that is no such file").into());
    }
    Ok(text)
}
