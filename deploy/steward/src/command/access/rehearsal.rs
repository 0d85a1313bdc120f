//! `steward access simulate`, `rehearse` and `least`: what commands would change, what they would have changed, and what
//! nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, SystemClock};
use steward_queries::{
    AccountRow, Change, ChangedRights, Effect, Explanation, Happened, LeastPage, LeastQuery, LeastRow, Outcome,
    Question, Rehearsal, RehearseQuery, RightsAt, SimulateQuery, Simulation, Supposed, UsedGrant,
};

use super::changes::typed;
use crate::client::Client;
use crate::command::list::fetch;
use crate::command::options::{moment, past_moment, principal};
use crate::output;

/// The most parts of one rehearsal: a log that goes on for ever ends none.
const PARTS_MAX: usize = 100_000;
/// How many effects of one kind are known by one line.
type Same = (Happened, Outcome, String, Option<String>, String, Option<String>, String, Option<u32>);

/// Names of service accounts, for people.
struct Names(BTreeMap<String, String>);

impl Names {
    async fn of(client: &Client, tenant: &TenantId) -> Self {
        let accounts = fetch::<AccountRow>(client, tenant, "account", Map::new()).await;
        let named = |account: AccountRow| (account.principal.to_string(), account.name);
        Self(accounts.map(|page| page.rows.into_iter().map(named).collect()).unwrap_or_default())
    }

    fn name(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a String> {
    matches.get_one::<String>(name)
}

pub(in crate::command) async fn simulate(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let mut query = SimulateQuery {
        changes: typed(matches, &tenant)?,
        question: question(matches, &tenant)?,
        at: text(matches, "at").map(|text| past_moment(text)).transpose()?,
        after: None,
    };
    if query.changes.is_empty() && query.question.is_none() {
        return Err(
            "what is to be simulated? --with names a file of commands, --principal and --permission a question".into(),
        );
    }
    let mut whole: Simulation = client.query(&tenant, "access", "simulate", &query).await?;
    query.question = None;
    while let Some(after) = whole.next.take() {
        query.after = Some(after);
        let page: Simulation = client.query(&tenant, "access", "simulate", &query).await?;
        whole.rows.extend(page.rows);
        whole.principals += page.principals;
        whole.next = page.next;
    }
    if json {
        return output::json(&whole);
    }
    if let Some(Supposed { before, after }) = &whole.question {
        output::say(format_args!("before: {}", answer(before)));
        output::say(format_args!("after:  {}", answer(after)));
    }
    for place in &whole.without_effect {
        let place = usize::try_from(*place).unwrap_or(usize::MAX);
        let command = query.changes.get(place).map_or("", |change| change.command.as_str());
        output::say(format_args!("change {} ({command}) changes no right", place + 1));
    }
    if !query.changes.is_empty() {
        print_changed(&whole);
    }
    Ok(())
}

fn question(matches: &ArgMatches, tenant: &TenantId) -> Result<Option<Question>, BoxError> {
    let Some(who) = text(matches, "principal") else { return Ok(None) };
    let scope = text(matches, "scope").map_or_else(|| tenant.to_string(), Clone::clone);
    Ok(Some(Question {
        principal: if who.starts_with("key_") { who.parse()? } else { principal(tenant, who)? },
        permission: text(matches, "permission").ok_or("which permission? e.g. --permission budget:set")?.parse()?,
        scope: scope.parse()?,
        model: text(matches, "model").map(|model| model.parse()).transpose()?,
        cost: text(matches, "cost").map(|cost| cost.parse::<NanoDollars>()).transpose()?,
    }))
}

fn answer(explanation: &Explanation) -> String {
    format!("{}: {}", if explanation.allowed { "allowed" } else { "denied" }, explanation.reason)
}

fn print_changed(simulation: &Simulation) {
    let mut rows = Vec::new();
    for ChangedRights { principal, name, gained, lost, altered } in &simulation.rows {
        let who = name.clone().unwrap_or_else(|| principal.to_string());
        for (way, rights) in [("+", gained), ("-", lost), ("~", altered)] {
            for RightsAt { scope, permissions, conditions } in rights {
                let permissions: Vec<&str> = permissions.iter().map(Permission::as_str).collect();
                let under = if conditions.is_empty() { "" } else { " under conditions" };
                let what = format!("{}{under}", permissions.join(", "));
                rows.push(vec![way.to_owned(), who.clone(), scope.to_string(), what]);
            }
        }
    }
    if rows.is_empty() {
        output::say(format_args!("nobody's rights would change ({} principals)", simulation.principals));
        return;
    }
    output::say_lines(&output::table(&["", "PRINCIPAL", "AT", "RIGHTS"], &[], rows));
    output::say(format_args!("{} of {} principals", simulation.rows.len(), simulation.principals));
}

pub(in crate::command) async fn rehearse(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let changes = typed(matches, &tenant)?;
    let until = text(matches, "until").map(|text| past_moment(text)).transpose()?;
    let since = past_moment(text(matches, "since").map_or("30d", String::as_str))?;
    let report = whole(client, &tenant, changes.clone(), since, until).await?;
    if json { output::json(&report) } else { print(client, &tenant, &changes, &report).await }
}

/// The sum of all parts of a rehearsal.
pub(in crate::command) async fn whole(
    client: &Client,
    tenant: &TenantId,
    changes: Vec<Change>,
    since: Timestamp,
    until: Option<Timestamp>,
) -> Result<Rehearsal, BoxError> {
    let bar = bar(since, until);
    let mut query = RehearseQuery { since, until, changes, after: None, so_far: Vec::new() };
    let mut sum = Rehearsal::default();
    let mut effects: BTreeMap<Same, Effect> = BTreeMap::new();
    let mut took_effect = BTreeSet::new();
    for _ in 0..PARTS_MAX {
        let part: Rehearsal = client.query(tenant, "access", "rehearse", &query).await?;
        sum.calls += part.calls;
        sum.commands += part.commands;
        sum.refusals += part.refusals;
        sum.unlisted += part.unlisted;
        sum.unknown += part.unknown;
        sum.through = part.through;
        took_effect.extend(part.took_effect);
        for effect in part.effects {
            add(&mut effects, effect);
        }
        bar.set_position(seconds(since, part.through));
        (query.after, query.so_far) = (part.next, part.so_far);
        if query.after.is_none() {
            bar.finish_and_clear();
            sum.effects = effects.into_values().collect();
            sum.effects.sort_by_key(|effect| std::cmp::Reverse(effect.count));
            sum.took_effect = took_effect.into_iter().collect();
            return Ok(sum);
        }
    }
    Err(format!("the log goes on after {PARTS_MAX} parts; name an earlier --until").into())
}

fn add(effects: &mut BTreeMap<Same, Effect>, effect: Effect) {
    let same = (
        effect.what,
        effect.outcome,
        effect.principal.to_string(),
        effect.key.as_ref().map(ToString::to_string),
        effect.permission.to_string(),
        effect.model.as_ref().map(ToString::to_string),
        effect.scope.to_string(),
        effect.budget,
    );
    match effects.get_mut(&same) {
        None => _ = effects.insert(same, effect),
        Some(known) => {
            known.count += effect.count;
            known.money = NanoDollars(known.money.0.saturating_add(effect.money.0));
            known.tokens = known.tokens.saturating_add(effect.tokens);
            known.last_at = effect.last_at;
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    to.since(from).as_secs()
}

/// Progress through the time that is rehearsed; drawn only on a terminal.
fn bar(since: Timestamp, until: Option<Timestamp>) -> ProgressBar {
    let end = until.unwrap_or_else(|| SystemClock::default().now());
    let bar = ProgressBar::new(seconds(since, end));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}%") {
        bar.set_style(style);
    }
    bar
}

/// Prints a rehearsal for people.
pub(in crate::command) async fn print(
    client: &Client,
    tenant: &TenantId,
    changes: &[Change],
    report: &Rehearsal,
) -> Result<(), BoxError> {
    let names = Names::of(client, tenant).await;
    let Rehearsal { calls, commands, refusals, .. } = report;
    output::say(format_args!("{tenant}: {calls} calls, {commands} commands and {refusals} refusals were asked again"));
    let rows = report.effects.iter().map(|effect| {
        let Effect { principal, key, permission, model, scope, .. } = effect;
        let what = model.as_ref().map_or_else(|| permission.to_string(), |model| format!("{permission} {model}"));
        vec![
            outcome(effect).to_owned(),
            effect.count.to_string(),
            effect.money.to_string(),
            names.name(principal.as_str()),
            key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            what,
            scope.to_string(),
            effect.first.first().cloned().unwrap_or_default(),
            effect.because.clone(),
        ]
    });
    if report.effects.is_empty() {
        output::say(format_args!("nothing would have been answered otherwise"));
    } else {
        let headings = ["WOULD BE", "COUNT", "MONEY", "PRINCIPAL", "KEY", "WHAT", "AT", "FIRST", "WHY"];
        output::say_lines(&output::table(&headings, &["COUNT", "MONEY"], rows));
    }
    let took = |place: &usize| u32::try_from(*place).is_ok_and(|place| report.took_effect.contains(&place));
    for (place, change) in changes.iter().enumerate().filter(|(place, _)| !took(place)) {
        output::say(format_args!("change {} ({}) never took effect in that time", place + 1, change.command));
    }
    if report.unknown > 0 {
        output::say(format_args!("of {} refusals the log does not say enough to ask again", report.unknown));
    }
    if report.unlisted > 0 {
        output::say(format_args!("{} more are not listed", report.unlisted));
    }
    Ok(())
}

const fn outcome(effect: &Effect) -> &'static str {
    match effect.outcome {
        Outcome::Refused => "refused",
        Outcome::Waits => "waiting",
        Outcome::Allowed => "allowed",
        Outcome::AllowedUnderConditions => "allowed?",
    }
}

pub(in crate::command) async fn least(matches: &ArgMatches, client: &Client, json: bool) -> Result<(), BoxError> {
    let tenant = client.tenant()?;
    let only = text(matches, "principal").map(|who| principal(&tenant, who)).transpose()?;
    let since = past_moment(text(matches, "since").map_or("90d", String::as_str))?;
    let mut query = LeastQuery { since, principal: only, after: None, used: Vec::new() };
    let bar = bar(since, None);
    let mut page: LeastPage = client.query(&tenant, "access", "least", &query).await?;
    for _ in 0..PARTS_MAX {
        if page.next.is_none() {
            break;
        }
        bar.set_position(seconds(since, page.through));
        (query.after, query.used) = (page.next, page.used);
        page = client.query(&tenant, "access", "least", &query).await?;
    }
    bar.finish_and_clear();
    let until = text(matches, "trial").map(|text| moment(text)).transpose()?;
    if let Some(until) = until {
        start_trials(client, &tenant, &page.rows, until).await?;
    }
    if json {
        return output::json(&page);
    }
    print_least(&page.rows);
    Ok(())
}

/// Sets aside what was not used.
async fn start_trials(client: &Client, tenant: &TenantId, rows: &[LeastRow], until: Timestamp) -> Result<(), BoxError> {
    for LeastRow { principal, grants, .. } in rows {
        for UsedGrant { role, on, .. } in grants.iter().filter(|grant| grant.times == 0 && grant.trial.is_none()) {
            let body = json!({ "to": principal, "role": role, "on": on, "until": until });
            let sent = client.command(tenant, "trial", "start", &body).await;
            sent.map_err(|error| format!("trial start {principal} {role} --on {on}: {error}"))?;
            output::complain(format_args!("on trial until {until}: {principal} is {role} on {on}"));
        }
    }
    Ok(())
}

fn print_least(rows: &[LeastRow]) {
    if rows.is_empty() {
        output::say(format_args!("nobody holds a grant here"));
        return;
    }
    let row = |row: &LeastRow, grant: &UsedGrant| {
        let used: Vec<&str> = grant.used.iter().map(Permission::as_str).collect();
        vec![
            row.name.clone().unwrap_or_else(|| row.principal.to_string()),
            grant.role.to_string(),
            grant.on.to_string(),
            grant.times.to_string(),
            grant.last.map_or_else(|| "never".to_owned(), |last| last.to_string()),
            used.join(", "),
            grant.trial.map_or_else(String::new, |until| until.to_string()),
        ]
    };
    let all = rows.iter().flat_map(|one| one.grants.iter().map(move |grant| row(one, grant)));
    let headings = ["PRINCIPAL", "ROLE", "ON", "USED", "LAST", "FOR", "TRIAL"];
    output::say_lines(&output::table(&headings, &["USED"], all));
    for grant in rows.iter().flat_map(|row| &row.grants).filter(|grant| !grant.instead.is_empty()) {
        output::say(format_args!("# {}", grant.because));
        for change in &grant.instead {
            output::say(format_args!("{}", as_typed(change)));
        }
    }
}

/// A command about a grant, as it is typed.
fn as_typed(Change { command, body }: &Change) -> String {
    let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut typed =
        format!("steward {} {} {} --on {}", command.replace('.', " "), field("to"), field("role"), field("on"));
    if let Some(condition) = body.get("condition") {
        _ = write!(typed, " --condition '{condition}'");
    }
    if let Some(expires) = body.get("expires").and_then(Value::as_str) {
        _ = write!(typed, " --expires {expires}");
    }
    typed
}
