//! What holds now, as the lists show it.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use steward_events::BoxError;
use steward_events::event::CachePolicy;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::scope::{Scope, Subject};
use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, SystemClock};
use steward_queries::{
    AccountRow, AgentRow, BudgetRow, GrantRow, GrantState, ModelRow, Page, PriceRow, PrincipalState, ProjectRow,
    ProviderRow, RoleRow, TenantRow,
};

use super::company::{budget_id, grant_id, project_id};
use super::price::price_id;
use super::route;
use super::setting::{Kind, Setting, Settings};
use crate::client::Client;
use crate::command::list::fetch;

/// What the log holds of the platform's offer and of tenants.
pub(crate) struct Recorded {
    pub(crate) settings: Settings,
    /// The names of service accounts.
    pub(crate) names: BTreeMap<PrincipalId, String>,
    /// When that was asked.
    pub(crate) now: Timestamp,
}

/// Reads what holds: what the platform offers if `platform` says so, and of each tenant all that it has. `within` names the
/// tenants; none for all. Of tenants that are not named, only that they exist.
pub(crate) async fn recorded(
    client: &Client,
    platform: bool,
    within: Option<&BTreeSet<TenantId>>,
) -> Result<Recorded, BoxError> {
    let now = SystemClock::default().now();
    let mut found = Recorded { settings: Settings::new(), names: BTreeMap::new(), now };
    let own = client.own_tenant()?;
    let tenants: Vec<TenantRow> = if own.is_steward() {
        rows(client, &own, "tenant").await?
    } else {
        vec![client.query(&own, "tenant", "show", &json!({})).await?]
    };
    if platform {
        found.catalog(client, &TenantId::steward()).await?;
    }
    for TenantRow { tenant, timezone, .. } in tenants {
        if tenant.is_steward() {
            continue;
        }
        let id = (json!({ "tenant": tenant }), tenant.to_string());
        let is_wanted = within.is_none_or(|within| within.contains(&tenant));
        found.put(&tenant, Kind::Tenant, id, json!({ "timezone": timezone }));
        if is_wanted {
            found.catalog(client, &tenant).await?;
            found.projects(client, &tenant).await?;
            found.people(client, &tenant).await?;
            found.budgets(client, &tenant).await?;
        }
    }
    Ok(found)
}

async fn rows<T: DeserializeOwned>(client: &Client, tenant: &TenantId, noun: &str) -> Result<Vec<T>, BoxError> {
    match fetch(client, tenant, noun, Map::new()).await? {
        Page { next: None, rows, .. } => Ok(rows),
        _ => Err(format!("{tenant} has more of {noun} than can be compared").into()),
    }
}

impl Recorded {
    fn put(&mut self, tenant: &TenantId, kind: Kind, id: (Value, String), fields: Value) {
        let setting = Setting::new(tenant, kind, id, fields);
        self.settings.insert(setting.name(), setting);
    }

    async fn catalog(&mut self, client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
        for ProviderRow { provider, kind, url, key, inherited } in rows(client, tenant, "provider").await? {
            if !inherited {
                let fields = json!({ "kind": kind, "url": url, "key": key });
                self.put(tenant, Kind::Provider, (json!({ "provider": provider }), provider.to_string()), fields);
            }
        }
        for ModelRow { model, spec, targets, policy, terms, inherited, lowered, own_cache, own_prompt, .. } in
            rows(client, tenant, "model").await?
        {
            let id = || (json!({ "model": model }), model.to_string());
            if let Some(CachePolicy { ttl_s, coalesce, shared, similar }) = own_cache {
                let fields = json!({ "ttl_s": ttl_s, "coalesce": coalesce, "shared": shared, "similar": similar });
                self.put(tenant, Kind::Cache, id(), fields);
            }
            if let Some(prompt) = own_prompt {
                self.put(tenant, Kind::Prompt, id(), json!(prompt));
            }
            let spec = match (inherited, lowered) {
                (false, _) if tenant.is_steward() || !targets.is_empty() => json!(spec),
                (false, _) => json!({ "output_max": spec.output_max }),
                (true, Some(lowered)) => json!({ "output_max": lowered }),
                (true, None) => continue,
            };
            self.put(tenant, Kind::Model, id(), spec);
            if !inherited && !targets.is_empty() {
                self.put(tenant, Kind::Route, id(), route::fields(&targets, policy, &terms));
            }
        }
        for PriceRow { model, from, ends, until, price, variants, source, target, inherited } in
            rows(client, tenant, "price").await?
        {
            // What is over can neither be set nor removed.
            if !inherited && until.is_none_or(|until| until > self.now) {
                let id = price_id(model.as_str(), from, target.as_ref());
                let fields = json!({ "until": ends, "price": price, "variants": variants, "source": source });
                self.put(tenant, Kind::Price, id, fields);
            }
        }
        Ok(())
    }

    /// Those that keys or grants name are there too, though nobody created them.
    async fn projects(&mut self, client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
        for ProjectRow { project, .. } in rows(client, tenant, "project").await? {
            self.put(tenant, Kind::Project, project_id(project.as_str()), json!({}));
        }
        Ok(())
    }

    /// A budget's or grant's project is there, whoever made it.
    fn named(&mut self, tenant: &TenantId, scope: &Scope) {
        if let Some(project) = scope.project() {
            self.put(tenant, Kind::Project, project_id(project), json!({}));
        }
    }

    async fn people(&mut self, client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
        for RoleRow { role, permissions, inherits, inherited } in rows(client, tenant, "role").await? {
            if !inherited {
                let fields = json!({ "permissions": permissions, "inherits": inherits });
                self.put(tenant, Kind::Role, (json!({ "role": role }), format!("{role} in {tenant}")), fields);
            }
        }
        for AccountRow { principal, name, state, .. } in rows(client, tenant, "account").await? {
            // One whose owner left is there, and waits for another.
            if state != PrincipalState::Disabled {
                self.put(tenant, Kind::Account, (json!({ "name": name }), name.clone()), json!({}));
            }
            self.names.insert(principal, name);
        }
        for GrantRow { to, name, role, on, expires, condition, state, .. } in rows(client, tenant, "grant").await? {
            if state == GrantState::Active {
                let mut name = name.unwrap_or_else(|| to.to_string());
                if to.is_group() {
                    name = format!("group:{name}");
                    self.names.insert(to.clone(), name.clone());
                }
                self.named(tenant, &on);
                let fields = json!({ "expires": expires, "condition": condition });
                self.put(tenant, Kind::Grant, grant_id(&to, &name, role.as_str(), &on), fields);
            }
        }
        for AgentRow { agent, spec, .. } in rows(client, tenant, "agent").await? {
            self.put(tenant, Kind::Agent, (json!({ "agent": agent }), format!("{agent} in {tenant}")), json!(spec));
        }
        Ok(())
    }

    async fn budgets(&mut self, client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
        for BudgetRow { scope, subject, level, per, limit, hard, warn, .. } in rows(client, tenant, "budget").await? {
            // Those of tasks come and go with them.
            if !matches!(subject, Some(Subject::Task(_))) {
                let id = budget_id(&scope, level, subject.as_ref(), (limit, per));
                self.named(tenant, &scope);
                self.put(tenant, Kind::Budget, id, json!({ "limit": limit, "hard": hard, "warn": warn }));
            }
        }
        Ok(())
    }
}
