//! Budgets, teams and keys, as far as they stand in a file: under `litellm_settings`, and as lists `teams` and `keys` of what
//! LiteLLM's own API shows of them. They become a tenant's budgets, projects, accounts and grants.

use std::collections::{BTreeMap, BTreeSet};

use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::quantity::{NanoDollars, Window};
use toml::{Table, Value};

use super::super::decimal::{self, Whole};
use super::super::notes::{Notes, Place};
use super::super::yaml::{Found, Section};
use super::offer::{Offer, model_id};
use super::settings::Rest;
use crate::command::export_config::{push, table};

/// What is left out without a word: it says what was, or who made it.
const NEEDLESS: &[&str] = &[
    "spend",
    "created_at",
    "updated_at",
    "created_by",
    "updated_by",
    "budget_reset_at",
    "team_id",
    "user_id",
    "metadata",
    "blocked",
    "key_name",
    "token_id",
    "object_permission",
    "members",
    "admins",
];

/// Longest name of an account or project that is made of another.
const NAME_CHARS_MAX: usize = 60;

/// A tenant's part of the file.
pub(super) struct People<'a> {
    tenant: &'a TenantId,
    part: Table,
    /// Projects by the ids of teams.
    projects: BTreeMap<String, String>,
    accounts: BTreeSet<String>,
}

/// A name as projects and accounts have them: `Data Science` is `data-science`.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = name.trim().chars().take(NAME_CHARS_MAX).map(plain).collect();
    slug.trim_matches('-').to_owned()
}

/// A span after which LiteLLM begins to count anew, and what is different about ours.
fn window(duration: &str) -> Option<(Window, Option<&'static str>)> {
    Some(match duration {
        "60s" | "1m" => (Window::Minute, None),
        "3600s" | "60m" | "1h" => (Window::Hour, None),
        "86400s" | "24h" | "1d" => (Window::Day, None),
        "7d" | "1w" => (Window::Week, Some("counted by weeks from Monday")),
        "30d" | "31d" | "1mo" => (Window::Month, Some("counted by calendar months")),
        _ => return None,
    })
}

/// One budget as company.toml has it.
fn budget(limit: String, per: Window, subject: Option<(&str, &str)>) -> Value {
    let mut budget = Table::new();
    budget.insert("limit".to_owned(), Value::String(limit));
    budget.insert("per".to_owned(), Value::String(per.to_string()));
    if let Some((kind, name)) = subject {
        budget.insert(kind.to_owned(), Value::String(name.to_owned()));
    }
    Value::Table(budget)
}

/// The budgets that a table says: money over a span, calls and tokens a minute.
fn budgets(section: &mut Section<'_>, subject: Option<(&str, &str)>, notes: &mut Notes) -> Vec<Value> {
    let mut all = Vec::new();
    let duration = section.text("budget_duration", notes);
    if let Some(money) = section.take("max_budget") {
        all.extend(money_budget(&money, duration.as_ref().map(|(_, text)| *text), subject, notes));
    }
    for (name, unit) in [("rpm_limit", "calls"), ("tpm_limit", "tokens")] {
        let count = |found: &Found<'_>| found.number().and_then(decimal::count);
        if let Some((place, count)) = section.take_as(name, ("a whole number", count), notes) {
            notes.maps(&place, format!("at most {count} {unit} a minute"));
            all.push(budget(format!("{count} {unit}"), Window::Minute, subject));
        }
    }
    all
}

fn money_budget(
    found: &Found<'_>,
    duration: Option<&str>,
    subject: Option<(&str, &str)>,
    notes: &mut Notes,
) -> Option<Value> {
    let Some(Whole { units, .. }) = found.number().and_then(decimal::nano) else {
        notes.not(&found.place, "left out, because it is not an amount of dollars");
        return None;
    };
    let limit = NanoDollars(units).to_string();
    let Some((per, remark)) = duration.map_or(Some((Window::Total, None)), window) else {
        notes.not(&found.place, format!(
            "left out: budgets count by minute, hour, day, week, month, or for ever; write budget = {{ limit = \"{limit}\", per = \"…\" }} in company.toml"
        ));
        return None;
    };
    match remark {
        Some(remark) => notes.partly(&found.place, format!("{limit}, {remark}")),
        None if per == Window::Total => notes.maps(&found.place, format!("{limit} in total")),
        None => notes.maps(&found.place, format!("{limit} a {per}")),
    }
    Some(budget(limit, per, subject))
}

impl<'a> People<'a> {
    pub(super) fn of(tenant: &'a TenantId) -> Self {
        Self { tenant, part: Table::new(), projects: BTreeMap::new(), accounts: BTreeSet::new() }
    }

    /// The tenant's part of company.toml.
    pub(super) fn part(self) -> Table {
        self.part
    }

    /// Budgets of the whole tenant: what the settings say, and what the places of each model take.
    pub(super) fn whole(&mut self, rest: &mut Rest<'_>, offers: &[Offer], notes: &mut Notes) -> Result<(), BoxError> {
        let durations = rest.take("budget_duration");
        let duration = durations.first().and_then(Found::text);
        for (number, money) in rest.take("max_budget").into_iter().enumerate() {
            if number > 0 {
                notes.not(&money.place, "left out: another budget of all calls stands in the file");
            } else if let Some(budget) = money_budget(&money, duration, None, notes) {
                push(&mut self.part, "budget", budget)?;
            }
        }
        for Offer { id, place, share, .. } in offers {
            for (count, unit) in [(share.calls, "calls"), (share.tokens, "tokens")] {
                let Some(count) = count else { continue };
                let tenant = self.tenant;
                notes.partly(
                    place,
                    format!("at most {count} {unit} of {id} a minute, of {tenant} and over all its places"),
                );
                push(
                    &mut self.part,
                    "budget",
                    budget(format!("{count} {unit}"), Window::Minute, Some(("model", id.as_str()))),
                )?;
            }
        }
        Ok(())
    }

    /// Teams become projects.
    pub(super) fn teams(&mut self, teams: &[Found<'_>], notes: &mut Notes) -> Result<(), BoxError> {
        for team in teams {
            let Some(mut section) = team.section() else {
                notes.not(&team.place, "left out, because it is not a table");
                continue;
            };
            let id = section.text("team_id", notes).map(|(_, id)| id);
            let alias = section.text("team_alias", notes).map(|(_, alias)| alias);
            let project = slug(alias.or(id).unwrap_or_default());
            if project.is_empty() {
                notes.not(&team.place, "left out, because it has neither team_alias nor team_id");
                continue;
            }
            if self.projects.values().any(|known| *known == project) {
                notes.not(&team.place, format!("left out: another team is the project {project} already"));
                continue;
            }
            for name in [id, alias].into_iter().flatten() {
                self.projects.insert(name.to_owned(), project.clone());
            }
            notes.maps(&team.place, format!("the project {}/{project}", self.tenant));
            if let Some(models) = section.take("models") {
                notes.partly(
                    &models.place,
                    "a grant says which models may be called: write condition = { models = […] } there",
                );
            }
            let at = table(table(&mut self.part, "project")?, &project)?;
            for budget in budgets(&mut section, None, notes) {
                push(at, "budget", budget)?;
            }
            tell_rest(section, notes);
        }
        Ok(())
    }

    /// Keys become accounts with a grant. Their secrets are not taken over, wherever they stand.
    pub(super) fn keys(&mut self, keys: &[Found<'_>], notes: &mut Notes) -> Result<(), BoxError> {
        for key in keys {
            let Some(mut section) = key.section() else {
                notes.not(&key.place, "left out, because it is not a table");
                continue;
            };
            let account = section.text("key_alias", notes).map(|(_, alias)| slug(alias)).unwrap_or_default();
            if account.is_empty() {
                notes.not(&key.place, "left out, because it has no key_alias to name an account by");
                continue;
            }
            if !self.accounts.insert(account.clone()) {
                notes.not(&key.place, format!("left out: another key is of the account {account} already"));
                continue;
            }
            for name in ["key", "token"] {
                section.take(name);
            }
            let tenant = self.tenant;
            notes.partly(
                &key.place,
                format!(
                    "the account {account}; its key has to be another: steward key issue {account} --tenant {tenant}"
                ),
            );
            let project = section.text("team_id", notes).and_then(|(_, team)| self.projects.get(team).cloned());
            let models = section.take("models").map(|found| allowed(&found, notes)).unwrap_or_default();
            let at = match &project {
                Some(project) => table(table(&mut self.part, "project")?, project)?,
                None => &mut self.part,
            };
            push(at, "grant", grant(&account, models))?;
            for budget in budgets(&mut section, Some(("principal", &account)), notes) {
                push(at, "budget", budget)?;
            }
            tell_rest(section, notes);
        }
        Ok(())
    }
}

/// The models that a key may call; none for all.
fn allowed(found: &Found<'_>, notes: &mut Notes) -> Vec<Value> {
    let names = found.texts().unwrap_or_default();
    let named: Vec<&str> =
        names.into_iter().filter(|name| !["all-team-models", "all-proxy-models"].contains(name)).collect();
    let ids: Vec<Value> = named.iter().filter_map(|name| Some(Value::String(model_id(name)?.to_string()))).collect();
    if ids.len() != named.len() {
        notes.partly(&found.place, "a model that cannot be called so here is not among those that may be called");
    }
    ids
}

fn grant(account: &str, models: Vec<Value>) -> Value {
    let mut grant = Table::new();
    grant.insert("to".to_owned(), Value::String(account.to_owned()));
    grant.insert("role".to_owned(), Value::String("agent".to_owned()));
    if !models.is_empty() {
        grant.insert(
            "condition".to_owned(),
            Value::Table(Table::from_iter([("models".to_owned(), Value::Array(models))])),
        );
    }
    Value::Table(grant)
}

fn tell_rest(section: Section<'_>, notes: &mut Notes) {
    for (_, found) in section.rest().into_iter().filter(|(name, _)| !NEEDLESS.contains(name)) {
        notes.not(
            &found.place,
            "left out: there is no such setting here; see steward grant give --help and steward budget set --help",
        );
    }
}

/// Without a tenant nobody has these.
pub(super) fn tell_that_a_tenant_lacks(places: impl IntoIterator<Item = Place>, notes: &mut Notes) {
    for place in places {
        notes.not(&place, "left out: budgets, teams and keys belong to a tenant; say which with --tenant NAME");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_windows_and_differences_are_told() {
        assert_eq!(window("1d"), Some((Window::Day, None)));
        assert_eq!(window("30d").unwrap().0, Window::Month);
        assert!(window("30d").unwrap().1.is_some());
        for odd in ["", "2d", "90d", "1y", "d"] {
            assert_eq!(window(odd), None, "{odd}");
        }
    }

    #[test]
    fn names_become_plain() {
        assert_eq!(slug(" Data Science (EU) "), "data-science--eu");
        assert_eq!(slug("…"), "");
        assert_eq!(slug(&"x".repeat(200)).len(), NAME_CHARS_MAX);
    }
}
