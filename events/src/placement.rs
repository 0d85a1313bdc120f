//! Which shard holds a tenant: recorded once, in the registry, and never changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::commit::Commit;
use crate::event::{AggregateKind, Event, RegistryEvent};
use crate::id::{StreamId, TenantId};
use crate::log::{EventLog, LogError, StreamName};
use crate::quantity::{Position, Shard};

/// The shard of the reserved tenant `steward`.
pub const STEWARD_SHARD: Shard = Shard(0);

/// The registry stream of the tenant name `tenant`.
pub fn registry_stream(tenant: &TenantId) -> StreamName {
    // A tenant's name obeys the same rule as a stream's id.
    #[allow(clippy::expect_used)]
    let id = StreamId::new(tenant.as_str()).expect("a tenant's name is a token");
    StreamName { shard: STEWARD_SHARD, tenant: TenantId::steward(), kind: AggregateKind::Registry, id }
}

/// The shard a new tenant gets: by a hash of its name, so that pooled tenants spread evenly.
pub fn choose_shard(tenant: &TenantId, shards: u16) -> Shard {
    let hash = blake3::hash(tenant.as_str().as_bytes());
    let first = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default());
    Shard(u16::try_from(first % u64::from(shards.max(1))).unwrap_or(0))
}

/// Looks tenants up in the registry and remembers them.
pub struct Placement {
    log: Arc<dyn EventLog>,
    known: RwLock<HashMap<TenantId, Shard>>,
}

impl Placement {
    /// Over `log`.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        let known = HashMap::from([(TenantId::steward(), STEWARD_SHARD)]);
        Self { log, known: RwLock::new(known) }
    }

    /// The shard of `tenant`, or none if it was never placed.
    ///
    /// # Errors
    /// [`LogError`] if the registry cannot be read.
    pub async fn shard(&self, tenant: &TenantId) -> Result<Option<Shard>, LogError> {
        if let Some(shard) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Ok(Some(*shard));
        }
        let stream = registry_stream(tenant);
        let Some(stored) = self.log.slot(&stream, Position(0)).await? else { return Ok(None) };
        let commit = Commit::decode(&stream, &stored.bytes)?;
        let placed = commit.recorded(stored.position).find_map(|recorded| match recorded.event {
            Event::Registry(RegistryEvent::TenantPlaced { shard, .. }) => Some(*shard),
            _ => None,
        });
        if let Some(shard) = placed {
            self.known.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), shard);
        }
        Ok(placed)
    }

    /// The stream `kind`/`id` of `tenant`, or none if the tenant was never placed.
    ///
    /// # Errors
    /// [`LogError`] if the registry cannot be read.
    pub async fn stream(
        &self,
        tenant: &TenantId,
        kind: AggregateKind,
        id: StreamId,
    ) -> Result<Option<StreamName>, LogError> {
        Ok(self.shard(tenant).await?.map(|shard| StreamName { shard, tenant: tenant.clone(), kind, id }))
    }
}
