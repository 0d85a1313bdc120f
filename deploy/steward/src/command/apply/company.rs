//! company.toml: providers, models, tenants with their roles, accounts, grants, budgets and agents.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::event::{
    AgentSpec, BudgetLevel, Coalesce, Condition, Feature, Operation, PromptPolicy, ProviderKind, Similar, Tokenizer,
};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, TenantId};
use steward_events::quantity::{Limit, Window};
use steward_events::scope::{Scope, Subject};
use steward_events::timestamp::Timestamp;

use super::one_or_many::OneOrMany;
use super::price::Price;
use super::route::Route;
use super::setting::{Kind, OUTPUT_MAX, Setting, Settings};
use crate::command::options::principal;

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
    #[serde(default)]
    route: Route,
    #[serde(default)]
    price: OneOrMany<Price>,
    context_max: Option<u64>,
    output_max: Option<u64>,
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default)]
    features: Vec<Feature>,
    ends: Option<toml::value::Datetime>,
    tokenizer: Option<Tokenizer>,
    cache: Option<Cache>,
    prompt: Option<PromptPolicy>,
}

/// Whether answers of the model are given more than once.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cache {
    /// E.g. `10m`.
    ttl: Option<String>,
    coalesce: Coalesce,
    shared: bool,
    similar: Option<Similar>,
}

impl Cache {
    /// As the command takes it.
    fn fields(&self) -> Result<Value, BoxError> {
        let ttl = self.ttl.as_deref().map(humantime::parse_duration).transpose();
        let ttl = ttl.map_err(|error| format!("cache.ttl: {error}"))?.unwrap_or_default();
        if ttl.subsec_nanos() != 0 {
            return Err("cache.ttl is in whole seconds, e.g. 10m".into());
        }
        Ok(json!({ "ttl_s": ttl.as_secs(), "coalesce": self.coalesce, "shared": self.shared, "similar": self.similar }))
    }
}

/// Context of a model of which the file does not say it.
const CONTEXT_MAX: u64 = 8_192;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    #[serde(default = "utc")]
    timezone: String,
    #[serde(default)]
    provider: BTreeMap<String, Provider>,
    #[serde(default)]
    model: BTreeMap<String, Model>,
    #[serde(default)]
    role: BTreeMap<String, Role>,
    #[serde(default)]
    account: Vec<String>,
    #[serde(default)]
    agent: BTreeMap<AgentId, AgentSpec>,
    #[serde(default)]
    project: BTreeMap<String, Project>,
    #[serde(default)]
    budget: OneOrMany<Budget>,
    #[serde(default)]
    grant: OneOrMany<Grant>,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    inherits: Vec<String>,
}

/// What holds at a project and below.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    #[serde(default)]
    budget: OneOrMany<Budget>,
    #[serde(default)]
    grant: OneOrMany<Grant>,
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
    level: Option<BudgetLevel>,
    principal: Option<String>,
    key: Option<KeyId>,
    model: Option<ModelId>,
    agent: Option<AgentId>,
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
    condition: Option<Condition>,
}

impl Company {
    /// Reads the file's text.
    ///
    /// # Errors
    /// With the line, and for a name that nothing has, the nearest one.
    pub(super) fn read(text: &str) -> Result<Self, BoxError> {
        toml::from_str(text).map_err(|error| {
            let hint = super::names::nearest_to(error.message());
            let hint = hint.map_or_else(String::new, |near| format!("did you mean {near}?\n"));
            format!("{error}{hint}").trim_end().to_owned().into()
        })
    }

    /// What is to hold. `level` is that of budgets of which the file does not say it: the sender's own.
    pub(super) fn settings(&self, level: BudgetLevel) -> Result<Settings, BoxError> {
        let mut all = Collected { settings: Settings::new(), tenant: TenantId::steward(), level };
        all.catalog(&self.provider, &self.model)?;
        for (name, tenant) in &self.tenant {
            all.tenant = name.clone();
            tenant.collect(&mut all).map_err(|error| format!("[tenant.{name}] {error}"))?;
        }
        Ok(all.settings)
    }
}

/// Settings of the tenant that is read now.
struct Collected {
    settings: Settings,
    tenant: TenantId,
    level: BudgetLevel,
}

impl Collected {
    fn put(&mut self, kind: Kind, (id, label): (Value, String), fields: Value) -> Result<(), BoxError> {
        let setting = Setting::new(&self.tenant, kind, (id, label), fields);
        let twice = format!("{} {} stands there twice", kind.noun(), setting.label);
        match self.settings.insert(setting.name(), setting) {
            Some(_) if !matches!(kind, Kind::Account | Kind::Project) => Err(twice.into()),
            _ => Ok(()),
        }
    }

    fn catalog(
        &mut self,
        providers: &BTreeMap<String, Provider>,
        models: &BTreeMap<String, Model>,
    ) -> Result<(), BoxError> {
        for (name, Provider { kind, url, key }) in providers {
            let fields = json!({ "kind": kind, "url": url, "key": key });
            self.put(Kind::Provider, (json!({ "provider": name }), name.clone()), fields)?;
        }
        for (name, model) in models {
            self.model(name, model).map_err(|error| format!("[model.{name}] {error}"))?;
        }
        Ok(())
    }

    fn model(&mut self, name: &str, model: &Model) -> Result<(), BoxError> {
        // Of a model of the platform a tenant says the most output, and no more.
        let lowers = !self.tenant.is_steward() && model.route.is_empty();
        let output_max = json!(model.output_max.unwrap_or(OUTPUT_MAX));
        let spec = match (lowers, model.context_max) {
            (true, Some(_)) => {
                return Err("context_max is of models with a route; of others it is the platform's".into());
            }
            (true, None) if model.tokenizer.is_some() => {
                return Err("tokenizer is of models with a route; of others it is the platform's".into());
            }
            (true, None) => json!({ "output_max": output_max }),
            (false, context_max) => {
                let context_max = context_max.unwrap_or(CONTEXT_MAX);
                let Model { operations, features, ends, tokenizer, .. } = model;
                let ends = ends.as_ref().map(|at| at.to_string().parse::<Timestamp>()).transpose()?;
                json!({
                    "context_max": context_max, "output_max": output_max, "tokenizer": tokenizer,
                    "operations": operations, "features": features, "ends": ends,
                })
            }
        };
        let id = || (json!({ "model": name }), name.to_owned());
        // Who says only how answers of a model of the platform are kept, or its requests are sent, lowers nothing.
        if !(lowers && model.output_max.is_none() && (model.cache.is_some() || model.prompt.is_some())) {
            self.put(Kind::Model, id(), spec)?;
        }
        if !model.route.is_empty() {
            self.put(Kind::Route, id(), model.route.fields())?;
        }
        for price in &model.price.0 {
            let priced = price.priced()?;
            self.put(Kind::Price, priced.id(name), priced.fields())?;
        }
        if let Some(cache) = &model.cache {
            self.put(Kind::Cache, id(), cache.fields()?)?;
        }
        if let Some(prompt) = &model.prompt {
            self.put(Kind::Prompt, id(), json!(prompt))?;
        }
        Ok(())
    }

    fn account(&mut self, name: &str) -> Result<(), BoxError> {
        self.put(Kind::Account, (json!({ "name": name }), name.to_owned()), json!({}))
    }

    /// The project of a scope: what lies below it is created with nothing.
    fn project(&mut self, scope: &Scope) -> Result<(), BoxError> {
        scope.project().map_or(Ok(()), |project| self.put(Kind::Project, project_id(project), json!({})))
    }

    fn budgets(&mut self, scope: &Scope, budgets: &OneOrMany<Budget>) -> Result<(), BoxError> {
        for budget in &budgets.0 {
            let mut warn: Vec<u8> = budget.warn.iter().map(|text| percent(text)).collect::<Result<_, _>>()?;
            warn.sort_unstable();
            warn.dedup();
            let subject = budget.subject(&self.tenant)?;
            let level = budget.level.unwrap_or(self.level);
            let Budget { limit, per, hard, .. } = budget;
            let id = budget_id(scope, level, subject.as_ref(), (*limit, *per));
            self.put(Kind::Budget, id, json!({ "limit": limit, "hard": hard, "warn": warn }))?;
        }
        Ok(())
    }

    fn grants(&mut self, scope: &Scope, grants: &OneOrMany<Grant>) -> Result<(), BoxError> {
        for Grant { to: whom, role, expires, condition } in &grants.0 {
            let to = principal(&self.tenant, whom)?;
            if to.as_str() != whom && !to.is_group() {
                self.account(whom)?;
            }
            let expires = expires.as_ref().map(|at| at.to_string().parse::<Timestamp>()).transpose()?;
            // What is recorded has a zone, and what the file says is compared with that.
            let hours = condition.iter().flat_map(|condition| &condition.hours);
            if let Some(bare) = hours.into_iter().find(|hours| **hours != (*hours).clone().or_zone("UTC")) {
                return Err(format!("hours {bare} need a time zone here, e.g. {bare} Europe/Berlin").into());
            }
            let id = grant_id(&to, whom, role, scope);
            self.put(Kind::Grant, id, json!({ "expires": expires, "condition": condition }))?;
        }
        Ok(())
    }
}

/// What tells a budget from others, and its name for people.
pub(super) fn budget_id(
    scope: &Scope,
    level: BudgetLevel,
    subject: Option<&Subject>,
    (limit, per): (Limit, Window),
) -> (Value, String) {
    let whose = subject.map_or_else(String::new, |subject| format!(" for {subject}"));
    let span = if per == Window::Total { "in total".to_owned() } else { format!("a {per}") };
    let label = format!("{scope}{whose} {span} ({level})");
    (json!({ "scope": scope, "level": level, "subject": subject, "unit": limit.unit, "per": per }), label)
}

/// What tells a project from others, and its name for people.
pub(super) fn project_id(project: &str) -> (Value, String) {
    (json!({ "project": project }), project.to_owned())
}

/// What tells a grant from others, and its name for people.
pub(super) fn grant_id(to: &PrincipalId, name: &str, role: &str, on: &Scope) -> (Value, String) {
    (json!({ "to": to, "role": role, "on": on }), format!("{name} is {role} on {on}"))
}

impl Tenant {
    fn collect(&self, all: &mut Collected) -> Result<(), BoxError> {
        let name = all.tenant.clone();
        if name.is_steward() {
            return Err("steward is the platform itself: its providers and models stand at the top".into());
        }
        all.put(Kind::Tenant, (json!({ "tenant": name }), name.to_string()), json!({ "timezone": self.timezone }))?;
        all.catalog(&self.provider, &self.model)?;
        for (role, Role { permissions, inherits }) in &self.role {
            let fields = json!({ "permissions": permissions, "inherits": inherits });
            all.put(Kind::Role, (json!({ "role": role }), format!("{role} in {name}")), fields)?;
        }
        for account in &self.account {
            all.account(account)?;
        }
        let whole = Scope::tenant(&name);
        all.budgets(&whole, &self.budget)?;
        all.grants(&whole, &self.grant)?;
        for (project, at) in &self.project {
            let scope = whole.child(project)?;
            all.project(&scope)?;
            let within = |error: BoxError| format!("[project.{project}] {error}");
            all.budgets(&scope, &at.budget).map_err(within)?;
            all.grants(&scope, &at.grant).map_err(within)?;
        }
        for (agent, spec) in &self.agent {
            all.put(Kind::Agent, (json!({ "agent": agent }), format!("{agent} in {name}")), json!(spec))?;
        }
        Ok(())
    }
}

impl Budget {
    fn subject(&self, tenant: &TenantId) -> Result<Option<Subject>, BoxError> {
        let Self { principal: whom, key, model, agent, .. } = self;
        let whom = whom.as_ref().map(|name| principal(tenant, name)).transpose()?;
        let named = [
            whom.map(Subject::Principal),
            key.clone().map(Subject::Key),
            model.clone().map(Subject::Model),
            agent.clone().map(Subject::Agent),
        ];
        let mut named = named.into_iter().flatten();
        let first = named.next();
        match named.next() {
            None => Ok(first),
            Some(_) => Err("a budget counts one principal, key, model or agent, or everything".into()),
        }
    }
}

fn percent(text: &str) -> Result<u8, BoxError> {
    let number =
        text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|percent| (1..=100).contains(percent));
    number.ok_or_else(|| format!("{text:?} is not a threshold such as 80%").into())
}

#[cfg(test)]
mod tests;
