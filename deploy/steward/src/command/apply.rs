//! `steward apply company.toml`: shows each difference between the file and the log, and sends the commands that make the
//! log as the file says. What is only in the log is shown, and with `--prune` taken back where a command can.
//!
//! Exit status: 0 if there is nothing to do or all was done, 1 if something failed or cannot be done, 2 if `--plan` found
//! something to do. What is only in the log is something to do with `--prune`, as far as a command takes it back.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::event::BudgetLevel;
use steward_events::id::TenantId;
use steward_events::quantity::Position;
use steward_queries::Change;

use crate::client::Client;
use crate::command::access;
use crate::command::options::past_moment;
use crate::output;

mod company;
mod difference;
mod names;
pub(super) mod one_or_many;
pub(super) mod price;
pub(crate) mod recorded;
mod route;
pub(crate) mod setting;

use company::Company;
use difference::{Difference, differences};
use recorded::{Recorded, recorded};
use setting::{Kind, Sending, Settings};

/// Exit status of a plan with something to do.
const DIFFERS: u8 = 2;

pub(super) async fn run(matches: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let path = matches.get_one::<String>("file").ok_or("which file?")?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let file = settings(&text, client).map_err(|error| format!("{path}: {error}"))?;
    let log = holds(&file, client).await?.settings;
    let pending = Pending::between(file, &log, matches.get_flag("prune"));
    if let Some(since) = matches.get_one::<String>("rehearse") {
        return pending.rehearse(since, client, json).await;
    }
    if json {
        output::json(&pending.json())?;
    } else {
        pending.show();
    }
    pending.make(matches.get_flag("plan"), client, json).await
}

/// What a file's text says, its budgets at the level of whoever sends it.
pub(super) fn settings(text: &str, client: &Client) -> Result<Settings, BoxError> {
    let of_platform = client.own_tenant()?.is_steward();
    read(text, if of_platform { BudgetLevel::Platform } else { BudgetLevel::Tenant })
}

/// What holds of all that `file` speaks of.
pub(super) async fn holds(file: &Settings, client: &Client) -> Result<Recorded, BoxError> {
    let (offers, tenants): (Vec<_>, Vec<_>) =
        file.keys().map(|name| &name.tenant).partition(|tenant| tenant.is_steward());
    let tenants: BTreeSet<TenantId> = tenants.into_iter().cloned().collect();
    recorded(client, !offers.is_empty(), Some(&tenants)).await
}

/// What is to be done so that the log is as a file says.
pub(super) struct Pending {
    file: Settings,
    found: Vec<Difference>,
    prune: bool,
}

impl Pending {
    /// All that differs between `file` and `log`. With `prune`, what is only in the log is taken back.
    pub(super) fn between(file: Settings, log: &Settings, prune: bool) -> Self {
        let found = differences(&file, log);
        Self { file, found, prune }
    }

    /// Each difference, for machines.
    pub(super) fn json(&self) -> Value {
        self.found.iter().map(Difference::json).collect()
    }

    /// Prints each difference.
    pub(super) fn show(&self) {
        for one in &self.found {
            output::say(format_args!("  {}", one.line()));
            if let Difference::OnlyInLog(setting) = one
                && self.prune
                && setting.removal().is_none()
            {
                output::say(format_args!("      no command takes back a {}", setting.kind.noun()));
            }
        }
    }

    /// Shows what the commands about rights and budgets would have changed since then, and sends nothing.
    async fn rehearse(self, since: &str, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
        let since = past_moment(since)?;
        let mut changes: BTreeMap<TenantId, Vec<Change>> = BTreeMap::new();
        for (Sending { tenant, noun, verb, body }, _, kind) in todo(&self.found, self.prune)? {
            if matches!(kind, Kind::Role | Kind::Grant | Kind::Budget) {
                changes.entry(tenant).or_default().push(Change { command: format!("{noun}.{verb}"), body });
            }
        }
        let mut reports = Map::new();
        for (tenant, changes) in changes {
            let report = access::whole(client, &tenant, changes.clone(), since, None).await?;
            if json {
                reports.insert(tenant.to_string(), serde_json::to_value(report)?);
            } else {
                access::print(client, &tenant, &changes, &report).await?;
            }
        }
        if json {
            output::json(&json!({ "differences": self.json(), "rehearsals": reports }))?;
            return Ok(if self.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) });
        }
        self.show();
        self.make(true, client, json).await
    }

    /// Sends the commands; only says how many they are if it is a `plan`.
    pub(super) async fn make(self, plan: bool, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
        let todo = todo(&self.found, self.prune)?;
        let nothing = todo.is_empty();
        if (plan || nothing) && !json {
            output::say(format_args!("{}", self.sum_up(todo.len())));
        }
        if nothing {
            return Ok(ExitCode::SUCCESS);
        }
        if plan {
            return Ok(ExitCode::from(DIFFERS));
        }
        send(todo, client, json).await?;
        Ok(ExitCode::SUCCESS)
    }

    fn sum_up(&self, commands: usize) -> String {
        let only_in_log = self.found.iter().filter(|one| matches!(one, Difference::OnlyInLog(_))).count();
        let same = self.file.len() + only_in_log - self.found.len();
        let hint = match only_in_log {
            0 => String::new(),
            _ if self.prune => format!(" {only_in_log} are only in the log."),
            _ => format!(" {only_in_log} are only in the log; --prune takes back budgets and grants."),
        };
        if self.found.len() == only_in_log && commands == 0 {
            return format!("  nothing to do: all {same} settings are as the file says.{hint}");
        }
        format!(
            "  {commands} commands would be sent, {same} settings are as the file says.{hint} Nothing was changed. Run without --plan to send them."
        )
    }
}

/// What is sent, and which lists show it afterwards.
fn todo(found: &[Difference], prune: bool) -> Result<Vec<(Sending, TenantId, Kind)>, BoxError> {
    let mut all = Vec::new();
    for one in found {
        let setting = one.setting();
        let sending = match one {
            Difference::OnlyInLog(_) if prune => setting.removal(),
            Difference::OnlyInLog(_) => None,
            Difference::New(_) => Some(setting.command()?),
            Difference::Changed(..) => Some(setting.change()?),
        };
        all.extend(sending.map(|sending| (sending, setting.tenant.clone(), setting.kind)));
    }
    Ok(all)
}

async fn send(todo: Vec<(Sending, TenantId, Kind)>, client: &Client, json: bool) -> Result<(), BoxError> {
    let bar = ProgressBar::new(todo.len() as u64);
    let mut shown: BTreeMap<(TenantId, &'static str), Position> = BTreeMap::new();
    let (count, mut position) = (todo.len(), Position(0));
    for (sent, (Sending { tenant, noun, verb, body }, about, kind)) in todo.into_iter().enumerate() {
        let outcome = client.command(&tenant, noun, verb, &body).await;
        let reply = outcome.map_err(|error| {
            format!(
                "{noun} {verb}: {error}\n  {sent} of {count} commands were accepted; correct the file and apply it again; what is done is skipped"
            )
        })?;
        position = reply.position;
        // A tenant's creation stands in the tenant steward, and its list there.
        let listed_by = if kind == Kind::Tenant { tenant } else { about };
        shown.insert((listed_by, kind.list()), position);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for ((tenant, noun), position) in shown {
        // So that whoever looks next sees what was done.
        let one = json!({ "limit": 1, "min_position": position });
        let _: Map<String, Value> = client.query(&tenant, noun, "list", &one).await?;
    }
    if !json {
        output::say(format_args!("  {count} accepted, log position {position}"));
    }
    Ok(())
}

/// What a file's text says, its budgets at this level.
pub(super) fn read(text: &str, level: BudgetLevel) -> Result<Settings, BoxError> {
    Company::read(text)?.settings(level)
}
