//! company.toml: providers, models, tenants, roles, grants, budgets, agents; and the commands that make them so.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::event::{AgentSpec, ContentMode, ProviderKind};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::{Limit, Window};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

use super::price::Price;
use crate::command::options::{principal, target};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Company {
    #[serde(default)]
    provider: BTreeMap<String, Provider>,
    #[serde(default)]
    model: BTreeMap<String, Model>,
    #[serde(default)]
    tenant: BTreeMap<TenantId, Tenant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    kind: ProviderKind,
    url: String,
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    route: Vec<String>,
    price: Price,
    #[serde(default = "context_max")]
    context_max: u64,
    #[serde(default = "output_max")]
    output_max: u64,
}

const fn context_max() -> u64 {
    8192
}

const fn output_max() -> u64 {
    1024
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    #[serde(default = "utc")]
    timezone: String,
    #[serde(default)]
    content: ContentMode,
    #[serde(default)]
    role: BTreeMap<String, Role>,
    #[serde(default)]
    agent: BTreeMap<String, AgentSpec>,
    #[serde(default)]
    project: BTreeMap<String, ScopeSettings>,
    #[serde(flatten)]
    whole: ScopeSettings,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    permissions: Vec<String>,
    #[serde(default)]
    inherits: Vec<String>,
}

/// What holds at a scope.
#[derive(Debug, Default, Deserialize)]
struct ScopeSettings {
    #[serde(default)]
    budget: Budgets,
    #[serde(default)]
    grant: Vec<Grant>,
}

/// One budget, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Budgets {
    One(Budget),
    Many(Vec<Budget>),
}

impl Default for Budgets {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    limit: Limit,
    #[serde(default)]
    per: Window,
    #[serde(default = "yes")]
    hard: bool,
    #[serde(default)]
    warn: Vec<String>,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    to: String,
    role: String,
    expires: Option<toml::value::Datetime>,
}

/// Something that is to hold, and the command that makes it so.
#[derive(Debug)]
pub(super) struct Desired {
    /// Whose command it is.
    pub(super) tenant: TenantId,
    /// In whose list it stands.
    pub(super) about: TenantId,
    pub(super) noun: &'static str,
    pub(super) verb: &'static str,
    pub(super) body: Value,
    /// For people.
    pub(super) line: String,
    /// The noun of that list.
    pub(super) list: &'static str,
    /// What a row of the list says if it holds already.
    pub(super) row: Value,
}

impl Company {
    /// What is to hold, in the order in which it can be made.
    pub(super) fn desired(&self) -> Result<Vec<Desired>, BoxError> {
        let mut all = Vec::new();
        for (name, provider) in &self.provider {
            all.push(provider.desired(name));
        }
        for (name, model) in &self.model {
            model.desired(name, &mut all).map_err(|error| format!("[model.{name}] {error}"))?;
        }
        for (name, tenant) in &self.tenant {
            tenant.desired(name, &mut all).map_err(|error| format!("[tenant.{name}] {error}"))?;
        }
        Ok(all)
    }
}

/// Something in the tenant `steward`'s catalog.
fn in_catalog(noun: &'static str, body: Value, (list, row): (&'static str, Value), line: String) -> Desired {
    let tenant = TenantId::steward();
    Desired { about: tenant.clone(), tenant, noun, verb: "set", body, line, list, row }
}

impl Provider {
    fn desired(&self, name: &str) -> Desired {
        let body = json!({ "provider": name, "kind": self.kind, "url": self.url, "key": self.key });
        let line = format!("provider {name} at {}", self.url);
        in_catalog("provider", body.clone(), ("provider", body), line)
    }
}

impl Model {
    fn desired(&self, name: &str, all: &mut Vec<Desired>) -> Result<(), BoxError> {
        let spec = json!({ "context_max": self.context_max, "output_max": self.output_max });
        let body = json!({ "model": name, "spec": spec });
        all.push(in_catalog("model", body.clone(), ("model", body), format!("model {name}")));
        let targets: Vec<Value> = self.route.iter().map(|text| target(text)).collect::<Result<_, _>>()?;
        let body = json!({ "model": name, "targets": targets });
        let line = format!("route {name} to {}", self.route.join(", "));
        all.push(in_catalog("route", body.clone(), ("model", body), line));
        let (body, row, line) = self.price.desired(name)?;
        all.push(in_catalog("price", body, ("price", row), line));
        Ok(())
    }
}

impl Tenant {
    fn desired(&self, name: &TenantId, all: &mut Vec<Desired>) -> Result<(), BoxError> {
        let body = json!({ "tenant": name, "timezone": self.timezone, "content": self.content });
        let make = Maker { tenant: name };
        let row = json!({ "tenant": name });
        let made = make.one("tenant", "create", body, ("tenant", row), format!("tenant {name}"));
        all.push(Desired { tenant: TenantId::steward(), ..made });
        for (role, meaning) in &self.role {
            let body = json!({ "role": role, "permissions": meaning.permissions, "inherits": meaning.inherits });
            let line = format!("role {role} in {name}");
            all.push(make.one("role", "define", body.clone(), ("role", body), line));
        }
        let mut accounts = Vec::new();
        let whole = Scope::tenant(name);
        let mut places = vec![(whole.clone(), &self.whole)];
        for (project, place) in &self.project {
            places.push((whole.child(project)?, place));
        }
        for (scope, place) in places {
            place.desired(&make, &scope, &mut accounts, all)?;
        }
        for (agent, spec) in &self.agent {
            let body = json!({ "agent": agent, "spec": spec });
            all.push(make.one("agent", "define", body.clone(), ("agent", body), format!("agent {agent} in {name}")));
        }
        Ok(())
    }
}

impl ScopeSettings {
    fn desired(
        &self,
        make: &Maker<'_>,
        scope: &Scope,
        accounts: &mut Vec<String>,
        all: &mut Vec<Desired>,
    ) -> Result<(), BoxError> {
        let budgets = match &self.budget {
            Budgets::One(budget) => std::slice::from_ref(budget),
            Budgets::Many(budgets) => budgets,
        };
        for budget in budgets {
            let warn: Vec<u8> = budget.warn.iter().map(|text| percent(text)).collect::<Result<_, _>>()?;
            let Budget { limit, per, hard, .. } = budget;
            let body = json!({ "scope": scope, "limit": limit, "per": per, "hard": hard, "warn": warn });
            let crossed: BTreeSet<u8> = warn.iter().copied().collect();
            let mut row = body.clone();
            (row["subject"], row["warn"]) = (Value::Null, json!(crossed));
            let span = if *per == Window::Total { "in total".to_owned() } else { format!("a {per}") };
            let line = format!("budget {scope} {limit} {span}{}", if *hard { ", hard" } else { ", soft" });
            all.push(make.one("budget", "set", body, ("budget", row), line));
        }
        for grant in &self.grant {
            let to = principal(make.tenant, &grant.to)?;
            if to.as_str() != grant.to && !accounts.contains(&grant.to) {
                accounts.push(grant.to.clone());
                all.push(make.account(&to, &grant.to));
            }
            let expires: Option<Timestamp> = grant.expires.as_ref().map(|at| at.to_string().parse()).transpose()?;
            let body = json!({ "to": to, "role": grant.role, "on": scope, "expires": expires });
            let line = format!("grant {} is {} on {scope}", grant.to, grant.role);
            all.push(make.one("grant", "give", body.clone(), ("grant", body), line));
        }
        Ok(())
    }
}

struct Maker<'a> {
    tenant: &'a TenantId,
}

impl Maker<'_> {
    fn one(
        &self,
        noun: &'static str,
        verb: &'static str,
        body: Value,
        (list, row): (&'static str, Value),
        line: String,
    ) -> Desired {
        let tenant = self.tenant.clone();
        Desired { about: tenant.clone(), tenant, noun, verb, body, line, list, row }
    }

    fn account(&self, principal: &PrincipalId, name: &str) -> Desired {
        let line = format!("account {name} in {} ({principal})", self.tenant);
        self.one("account", "create", json!({ "name": name }), ("account", json!({ "principal": principal })), line)
    }
}

fn percent(text: &str) -> Result<u8, BoxError> {
    let number =
        text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|percent| (1..=100).contains(percent));
    number.ok_or_else(|| format!("{text:?} is not a threshold such as 80%").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
        [provider.local]
        kind = "openai"
        url = "http://127.0.0.1:9090/v1"
        [model.small]
        route = ["local/smollm2"]
        price = { from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }
        [tenant.acme]
        timezone = "Europe/Berlin"
        [tenant.acme.project.support]
        budget = { limit = "$5.00", per = "day", hard = true, warn = ["80%"] }
        grant = [{ to = "support-bot", role = "agent" }]
    "#;

    #[test]
    fn the_example_becomes_commands_in_an_order_that_works() {
        let company: Company = toml::from_str(EXAMPLE).unwrap();
        let order: Vec<String> = company.desired().unwrap().iter().map(|d| format!("{} {}", d.noun, d.verb)).collect();
        assert_eq!(
            order,
            [
                "provider set",
                "model set",
                "route set",
                "price set",
                "tenant create",
                "budget set",
                "account create",
                "grant give"
            ]
        );
    }

    #[test]
    fn a_slip_is_named() {
        let text = EXAMPLE.replace("\"80%\"", "\"80\"");
        let error = toml::from_str::<Company>(&text).unwrap().desired().unwrap_err().to_string();
        assert!(error.contains("80%"), "{error}");
        assert!(toml::from_str::<Company>("[tenat.acme]").is_err());
    }
}
