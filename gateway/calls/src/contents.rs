//! Contents of a tenant beside the log: sealed here under a key of the tenant's that the projectors open for the gateway,
//! bound to their names, kept for a while. Whoever erases the tenant's data key makes them unreadable, backups included.
//!
//! The key is a secret of Steward's own in the tenant's catalog, made by the first gateway that needs it. This module knows
//! bytes; it must not know what they say.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use steward_aggregates::catalog::{Catalogs, RecordedSecret};
use steward_events::BoxError;
use steward_events::command::MakeSecret;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, SecretId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::provider_key::SecretValue;
use steward_events::quantity::Shard;
use steward_events::request::{Envelope, Format, Request};
use steward_events::sealed::{Content, DataKey};
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::contents::{Before, CONTENT_BYTES_MAX, ContentName, ContentStore, Revision};
use steward_ports::live::Live;
use steward_ports::trace::current_traceparent;

use crate::error::Error;
use crate::tenant_secrets::{NotOpened, TenantSecrets};

pub(crate) mod files;
mod tally;

pub(crate) use tally::{Tallies, Tally};

use tally::Counted;

/// What sealing adds to a content's bytes, and room to spare.
const SEAL_BYTES_MAX: usize = 64;

/// The most bytes of one part before it is sealed.
pub(crate) const PART_BYTES_MAX: usize = CONTENT_BYTES_MAX - SEAL_BYTES_MAX;

/// The most bytes of a content in parts.
const PARTS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The contents of all tenants.
pub(crate) struct Contents {
    pub(crate) store: Arc<dyn ContentStore>,
    pub(crate) secrets: Arc<TenantSecrets>,
    pub(crate) catalogs: Arc<Live<Catalogs>>,
    pub(crate) bus: Arc<dyn CommandBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// How much each tenant keeps.
    pub(crate) tallies: Tallies,
    /// How long to wait for a catalog that holds the key that was just made.
    pub(crate) fresh_wait_max: Duration,
}

/// The contents of one tenant, with the key that seals them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TenantContents {
    store: Arc<dyn ContentStore>,
    tenant: TenantId,
    key: DataKey,
    tally: Arc<Tally>,
}

impl Contents {
    /// Those of `tenant`, which lies in `shard`; for a request of the chain `correlation`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the key cannot be had.
    pub(crate) async fn of(
        &self,
        tenant: &TenantId,
        shard: Shard,
        correlation: &CorrelationId,
    ) -> Result<TenantContents, Error> {
        let recorded = match self.recorded(tenant) {
            Some(recorded) => recorded,
            None => self.make(tenant, shard, correlation).await.map_err(|error| unavailable(tenant, &*error))?,
        };
        let opened = self.secrets.open(&recorded, correlation).await;
        let value = opened.map_err(|NotOpened| unavailable(tenant, &"its key cannot be opened"))?;
        let key = read(&value).ok_or_else(|| unavailable(tenant, &"its key is none"))?;
        let (store, tally) = (Arc::clone(&self.store), self.tallies.of(tenant));
        Ok(TenantContents { store, tenant: tenant.clone(), key, tally })
    }

    fn recorded(&self, tenant: &TenantId) -> Option<RecordedSecret> {
        self.catalogs.read().secret(tenant, &SecretId::contents_key())
    }

    /// Makes the key, unless there is one.
    async fn make(
        &self,
        tenant: &TenantId,
        shard: Shard,
        correlation: &CorrelationId,
    ) -> Result<RecordedSecret, BoxError> {
        // Only how the catalogs of this process stand is known: they may be behind.
        self.catalogs.confirm(shard, Duration::ZERO, self.fresh_wait_max).await?;
        if let Some(recorded) = self.recorded(tenant) {
            return Ok(recorded);
        }
        let make = MakeSecret { secret: SecretId::contents_key(), value: Content::Plain(fresh()?) };
        self.bus.command(self.request(tenant, &make, correlation)?).await?.into_result()?;
        self.catalogs.confirm(shard, Duration::ZERO, self.fresh_wait_max).await?;
        self.recorded(tenant).ok_or_else(|| "its key was not recorded".into())
    }

    fn request(&self, tenant: &TenantId, make: &MakeSecret, correlation: &CorrelationId) -> Result<Request, BoxError> {
        let format = Format::MessagePack;
        Ok(Request {
            tenant: tenant.clone(),
            principal: PrincipalId::system(SystemPart::Gateway),
            noun: "secret".to_owned(),
            verb: "make".to_owned(),
            envelope: Envelope {
                command: CommandId::new(self.ids.unique())?,
                issued_at: self.clock.now(),
                on_behalf_of: None,
                causation: None,
                correlation: correlation.clone(),
                traceparent: current_traceparent(),
            },
            format,
            body: format.write(make)?.into(),
        })
    }
}

impl TenantContents {
    /// Over a store, with this key.
    #[cfg(test)]
    pub(crate) const fn with(tenant: TenantId, store: Arc<dyn ContentStore>, key: DataKey, tally: Arc<Tally>) -> Self {
        Self { store, tenant, key, tally }
    }

    /// A name that says nothing of what it is made of, and is another for every tenant.
    pub(crate) fn id_of(&self, parts: &[&[u8]]) -> String {
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        self.key.digest(&all).to_string()
    }

    /// That the tenant may keep more.
    ///
    /// # Errors
    /// [`Error::KeepsTooMuch`]; [`Error::Unavailable`] if nobody can say.
    pub(crate) async fn check_room(&self) -> Result<(), Error> {
        self.tally.check_room(self).await
    }

    /// What is kept, opened.
    pub(crate) async fn get(&self, kind: &'static str, id: &str) -> Result<Option<(Bytes, Revision)>, Error> {
        self.read(&self.name(kind, id)?).await
    }

    /// Keeps `plain`, at most [`PART_BYTES_MAX`], for so long. None if something else than `before` is there.
    pub(crate) async fn put(
        &self,
        (kind, id): (&'static str, &str),
        plain: &[u8],
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, Error> {
        let written = self.put_uncounted((kind, id), plain, kept_for, before).await?;
        // What takes the place of a known writing was counted with that.
        if written.is_some() && !matches!(before, Before::Exactly(_)) {
            self.tally.add(self.tally.counted(plain.len(), kept_for));
        }
        Ok(written)
    }

    async fn put_uncounted(
        &self,
        (kind, id): (&'static str, &str),
        plain: &[u8],
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, Error> {
        self.write(&self.name(kind, id)?, plain, kept_for, before).await
    }

    /// Keeps `plain` in parts. Each such content has an id of its own: what was written is not written again.
    pub(crate) async fn put_parts(
        &self,
        (kind, id): (&'static str, &str),
        plain: &[u8],
        kept_for: Duration,
    ) -> Result<(), Error> {
        if plain.len() > PARTS_BYTES_MAX {
            return Err(self.unavailable(&"it is too large"));
        }
        let name = self.name(kind, id)?;
        let counted = self.tally.counted(plain.len(), kept_for);
        self.tally.add(counted);
        let mut count = 0_u32;
        for part in plain.chunks(PART_BYTES_MAX) {
            count += 1;
            self.write(&name.part(count), part, kept_for, Before::Anything).await?;
        }
        // Last, so that whoever finds this finds all of them.
        self.write(&name, &Parts { count, counted }.write(), kept_for, Before::Anything).await.map(|_| ())
    }

    /// What [`Self::put_parts`] kept; none if it has ended.
    pub(crate) async fn get_parts(&self, kind: &'static str, id: &str) -> Result<Option<Bytes>, Error> {
        let name = self.name(kind, id)?;
        let Some((parts, _)) = self.read(&name).await? else { return Ok(None) };
        let mut plain = BytesMut::new();
        for number in 1..=Parts::read(&parts).count {
            let Some((part, _)) = self.read(&name.part(number)).await? else { return Ok(None) };
            plain.extend_from_slice(&part);
        }
        Ok(Some(plain.freeze()))
    }

    /// Removes what is kept.
    pub(crate) async fn remove(&self, kind: &'static str, id: &str) -> Result<(), Error> {
        self.store.remove(&self.name(kind, id)?).await.map_err(|error| self.unavailable(&error))
    }

    /// Removes what [`Self::put_parts`] kept.
    pub(crate) async fn remove_parts(&self, kind: &'static str, id: &str) -> Result<(), Error> {
        let name = self.name(kind, id)?;
        let Some((parts, _)) = self.read(&name).await? else { return Ok(()) };
        let Parts { count, counted } = Parts::read(&parts);
        for number in 0..=count {
            self.store.remove(&name.part(number)).await.map_err(|error| self.unavailable(&error))?;
        }
        self.tally.take_off(counted);
        Ok(())
    }

    async fn read(&self, name: &ContentName) -> Result<Option<(Bytes, Revision)>, Error> {
        let Some(content) = self.store.get(name).await.map_err(|error| self.unavailable(&error))? else {
            return Ok(None);
        };
        let plain = self.key.decrypt(&content.bytes, context(name).as_bytes());
        let plain = plain.map_err(|error| self.unavailable(&error))?;
        Ok(Some((Bytes::copy_from_slice(&plain), content.revision)))
    }

    async fn write(
        &self,
        name: &ContentName,
        plain: &[u8],
        kept_for: Duration,
        before: Before,
    ) -> Result<Option<Revision>, Error> {
        let sealed = self.key.encrypt(plain, context(name).as_bytes()).map_err(|error| self.unavailable(&error))?;
        self.store.put(name, sealed.into(), kept_for, before).await.map_err(|error| self.unavailable(&error))
    }

    fn name(&self, kind: &'static str, id: &str) -> Result<ContentName, Error> {
        ContentName::new(&self.tenant, kind, id).ok_or_else(|| self.unavailable(&"its name is none"))
    }

    fn unavailable(&self, why: &dyn std::fmt::Display) -> Error {
        unavailable(&self.tenant, why)
    }
}

/// What is said of a content in parts.
struct Parts {
    count: u32,
    counted: Counted,
}

impl Parts {
    fn write(&self) -> Vec<u8> {
        let Counted { ends, bytes } = self.counted;
        [&self.count.to_be_bytes()[..], &ends.to_be_bytes(), &bytes.to_be_bytes()].concat()
    }

    /// Reads the form above, and that of old, which had only the first number.
    fn read(bytes: &[u8]) -> Self {
        let (count, rest) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let (ends, rest) = rest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let bytes = rest.first_chunk().unwrap_or(&[0; 8]);
        let counted = Counted { ends: u64::from_be_bytes(*ends), bytes: i64::from_be_bytes(*bytes) };
        Self { count: u32::from_be_bytes(*count), counted }
    }
}

/// What a content is bound to: under another name it does not open.
fn context(name: &ContentName) -> String {
    format!("steward contents {name}")
}

/// Why is in the log of this process: it is the operators' matter, not the callers'.
fn unavailable(tenant: &TenantId, why: &dyn std::fmt::Display) -> Error {
    tracing::error!(tenant.id = %tenant, %why, "contents beside the log cannot be had");
    Error::Unavailable("what Steward keeps beside its log cannot be had now; try again".to_owned())
}

/// A new key, as text.
fn fresh() -> Result<SecretValue, BoxError> {
    let key = DataKey::random()?;
    Ok(blake3::Hash::from_bytes(*key.as_bytes()).to_hex().parse()?)
}

fn read(value: &SecretValue) -> Option<DataKey> {
    blake3::Hash::from_hex(value.expose()).ok().map(|bytes| DataKey::from_bytes(bytes.into()))
}
