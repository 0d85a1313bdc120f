//! A tenant's secrets: which there are and which providers use them, for people; and one of them, opened, for the gateway.
//!
//! Knows secrets sealed. One is opened only to answer `secret.open`, and is not kept open.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::CatalogEvent;
use steward_events::id::{PrincipalId, ProviderId, SecretId, TenantId};
use steward_events::provider_key::{KeyPlace, SecretValue};
use steward_events::rejection::Rejection;
use steward_events::sealed::Sealed;
use steward_events::timestamp::Timestamp;
use steward_ports::keys::{KeyError, Keyring};
use steward_queries::{ListSecrets, OpenSecret, OpenedSecret, SecretPage, SecretRow};

use crate::engine::Engine;
use crate::engine::key::Key;
use crate::engine::opening::open;
use crate::engine::page::{ROWS_READ_MAX, after, part};
use crate::engine::projector::{Projector, reads};
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::rows::Rows;
use crate::engine::runner::Runner;
use crate::engine::view_store::Snapshot;

/// The read model.
pub struct SecretsView {
    rows: Arc<Runner<Secrets>>,
    keyring: Arc<Keyring>,
}

impl SecretsView {
    /// Over the engine's log and store.
    pub fn new(engine: &Engine) -> Self {
        Self { rows: engine.runner(), keyring: Arc::clone(&engine.ports.keyring) }
    }

    async fn list(&self, query: &Query<'_>) -> Result<SecretPage, NoAnswer> {
        let asked: ListSecrets = query.read()?;
        let (paging, prefix) = (asked.paging(), secrets(query.tenant()));
        let after = after(&prefix, &paging)?;
        let wanted = move |row| {
            let SecretsRow::Secret(row) = row else { return Ok(None) };
            let StoredSecret { secret, set_at, set_by, providers, value: _ } = row;
            let wanted = asked.provider.as_ref().is_none_or(|provider| providers.contains(provider));
            let providers = providers.into_iter().collect();
            Ok(wanted.then_some(SecretRow { secret, set_at, set_by, providers }))
        };
        let bounds = (paging.limit, ROWS_READ_MAX);
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        Ok(self.rows.read(query.shard, paging.min_position, read).await?.page())
    }

    /// A secret as it is now. One that was erased is as one that is not there.
    async fn open(&self, query: &Query<'_>) -> Result<OpenedSecret, NoAnswer> {
        let OpenSecret { secret, min_position } = query.read()?;
        let key = secret_key(query.tenant(), &secret);
        let read = move |rows: &Snapshot<'_>| rows.get::<SecretsRow>(&key);
        let Some(SecretsRow::Secret(stored)) = self.rows.read(query.shard, Some(min_position), read).await? else {
            return Err(Rejection::not_found("secret", &secret).into());
        };
        match open(&self.keyring, &stored.value).await {
            Ok(value) => Ok(OpenedSecret { value, digest: stored.value.digest() }),
            Err(KeyError::Erased(_)) => Err(Rejection::not_found("secret", &secret).into()),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl ReadModel for SecretsView {
    fn nouns(&self) -> &'static [&'static str] {
        &["secret"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.rows))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match query.verb() {
            "list" => query.write(&self.list(query).await?),
            "open" => query.write(&self.open(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// The fold.
pub struct Secrets;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretsRow {
    /// A secret.
    Secret(StoredSecret),
    /// Which secret a provider uses.
    Used(SecretId),
}

/// A secret, still sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    secret: SecretId,
    value: Sealed<SecretValue>,
    set_at: Timestamp,
    set_by: PrincipalId,
    providers: BTreeSet<ProviderId>,
}

impl Projector for Secrets {
    const NAME: &'static str = "secrets-v1";
    type Row = SecretsRow;

    reads!(Catalog => fold);
}

fn fold(event: &CatalogEvent, recorded: &Recorded<'_>, rows: &mut Rows<SecretsRow>) {
    let tenant = &recorded.stream.tenant;
    match event {
        CatalogEvent::SecretSet { secret, value } => {
            let row = rows.row(&secret_key(tenant, secret));
            let providers = match row.take() {
                Some(SecretsRow::Secret(before)) => before.providers,
                _ => BTreeSet::new(),
            };
            let (set_at, set_by) = (recorded.entry.at, recorded.entry.actor.clone());
            let (secret, value) = (secret.clone(), value.clone());
            *row = Some(SecretsRow::Secret(StoredSecret { secret, value, set_at, set_by, providers }));
        }
        CatalogEvent::SecretRemoved { secret } => *rows.row(&secret_key(tenant, secret)) = None,
        CatalogEvent::ProviderSet { provider, key, .. } => {
            let used = match key.as_deref().and_then(KeyPlace::read) {
                Some(KeyPlace::Secret(secret)) => Some(secret),
                _ => None,
            };
            use_secret(tenant, provider, used, rows);
        }
        CatalogEvent::ModelSet { .. }
        | CatalogEvent::RouteSet { .. }
        | CatalogEvent::PriceSet { .. }
        | CatalogEvent::CacheSet { .. }
        | CatalogEvent::PromptSet { .. }
        | CatalogEvent::CachePurged { .. } => {}
    }
}

/// The provider uses this secret from now on, and no other.
fn use_secret(tenant: &TenantId, provider: &ProviderId, used: Option<SecretId>, rows: &mut Rows<SecretsRow>) {
    let key = Key::of(tenant).text("used").text(provider.as_str());
    let before = match rows.keep(&key) {
        Some(SecretsRow::Used(secret)) => Some(secret.clone()),
        _ => None,
    };
    if before == used {
        return;
    }
    if let Some(before) = &before
        && let Some(SecretsRow::Secret(stored)) = rows.row(&secret_key(tenant, before))
    {
        stored.providers.remove(provider);
    }
    if let Some(secret) = &used
        && let Some(SecretsRow::Secret(stored)) = rows.row(&secret_key(tenant, secret))
    {
        stored.providers.insert(provider.clone());
    }
    *rows.row(&key) = used.map(SecretsRow::Used);
}

fn secrets(tenant: &TenantId) -> Key {
    Key::of(tenant).text("secret")
}

fn secret_key(tenant: &TenantId, secret: &SecretId) -> Key {
    secrets(tenant).text(secret.as_str())
}
