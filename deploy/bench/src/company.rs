//! The company whose calls are measured, made as any company is: by commands over the ordinary API.

use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::request::Reply;
use steward_jetstream::Credentials;

use super::load::Call;
use super::system::{Gateway, InstallationFolder, Upstream};
use steward_node::client::Client;

/// What its callers call.
pub(super) const MODEL: &str = "small";

/// A key and who it acts as.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its public id.
    pub(super) id: String,
    /// What a caller shows.
    pub(super) secret: String,
    /// As whom it speaks on the bus.
    pub(super) principal: PrincipalId,
}

/// A tenant with a hard budget, and the operator who runs it.
pub(super) struct Company {
    /// The operator, at the first gateway.
    pub(super) operator: Client,
    /// The tenant.
    pub(super) tenant: TenantId,
    /// The key of the service account that calls models.
    pub(super) caller: Key,
}

impl Company {
    /// Makes the model and the tenant `name`.
    pub(super) async fn make(operator: Client, upstream: &Upstream, name: &str) -> Result<Self, BoxError> {
        let steward = TenantId::steward();
        let url = format!("http://{}/v1", upstream.address);
        let price = json!({ "input": 1_000_000, "cached": 1_000_000, "output": 1_000_000 });
        for (noun, body) in [
            ("provider", json!({ "provider": "mock", "kind": "openai", "url": url })),
            ("model", json!({ "model": MODEL, "spec": { "context_max": 8192, "output_max": 64 } })),
            ("route", json!({ "model": MODEL, "targets": [{ "provider": "mock", "upstream_model": "mock" }] })),
            ("price", json!({ "model": MODEL, "from": "2026-01-01T00:00:00Z", "price": price })),
        ] {
            command(&operator, &steward, noun, "set", &body).await?;
        }
        Self::add(operator, name).await
    }

    /// Adds the tenant `name` to the models that are there.
    pub(super) async fn add(operator: Client, name: &str) -> Result<Self, BoxError> {
        let tenant = TenantId::new(name)?;
        let body = json!({ "tenant": name, "timezone": "UTC" });
        command(&operator, &TenantId::steward(), "tenant", "create", &body).await?;
        let budget = json!({ "scope": name, "limit": "$1000000", "per": "day", "hard": true, "warn": [80] });
        command(&operator, &tenant, "budget", "set", &budget).await?;
        let project = format!("{name}/support");
        let caller = account(&operator, &tenant, "bot", "agent", &project).await?;
        Ok(Self { operator, tenant, caller })
    }

    /// Adds the tenant `name`, of which equal calls get the answer that was kept.
    pub(super) async fn keeping(operator: Client, name: &str) -> Result<Self, BoxError> {
        let company = Self::add(operator, name).await?;
        let policy = json!({ "model": MODEL, "ttl_s": 86_400 });
        command(&company.operator, &company.tenant, "cache", "set", &policy).await?;
        Ok(company)
    }

    /// A model call with its caller's key.
    pub(super) fn call(&self, gateway: &Gateway, stream: bool) -> Call {
        Call::chat(gateway.address, &self.caller.secret, MODEL, stream)
    }

    /// Calls that the cost report shows.
    pub(super) async fn calls_reported(&self) -> Result<u64, BoxError> {
        let report: Value = self.operator.query(&self.tenant, "cost", "report", &json!({ "by": [] })).await?;
        Ok(report.pointer("/total/calls").and_then(Value::as_u64).ok_or("the cost report has no total")?)
    }

    /// A service account that may do everything in the tenant, and how it gets onto the bus.
    pub(super) async fn administrator(&self, place: &InstallationFolder) -> Result<(Key, Credentials), BoxError> {
        let key = account(&self.operator, &self.tenant, "admin", "admin", self.tenant.as_str()).await?;
        let credentials = Credentials::caller(place.bus_url(), &self.tenant, &key.principal, key.secret.clone());
        Ok((key, credentials))
    }
}

/// Makes a service account with `role` at `scope`, and a key for it.
async fn account(operator: &Client, tenant: &TenantId, name: &str, role: &str, scope: &str) -> Result<Key, BoxError> {
    let principal = PrincipalId::service_account(tenant, name);
    command(operator, tenant, "account", "create", &json!({ "name": name })).await?;
    command(operator, tenant, "grant", "give", &json!({ "to": principal, "role": role, "on": scope })).await?;
    issue(operator, tenant, &principal, scope).await
}

/// Issues a key to `principal`, booked at `scope`.
pub(super) async fn issue(
    operator: &Client,
    tenant: &TenantId,
    principal: &PrincipalId,
    scope: &str,
) -> Result<Key, BoxError> {
    let reply = command(operator, tenant, "key", "issue", &json!({ "principal": principal, "scope": scope })).await?;
    let text = |name: &str| {
        let found = reply.answer.get(name).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| format!("key.issue answers without a {name}"))
    };
    let (id, secret) = (text("key")?, text("secret")?);
    // A key that reaches less than its principal speaks as itself.
    let narrowed = scope != tenant.as_str();
    let principal = if narrowed { PrincipalId::new(&id)? } else { principal.clone() };
    Ok(Key { id, secret, principal })
}

/// Sends a command, which must be accepted.
pub(super) async fn command(
    operator: &Client,
    tenant: &TenantId,
    noun: &str,
    verb: &str,
    body: &Value,
) -> Result<Reply, BoxError> {
    let said = |error: BoxError| format!("{noun} {verb}: {error}");
    let reply = operator.command(tenant, noun, verb, body).await.map_err(said)?;
    Ok(reply.into_result()?)
}
