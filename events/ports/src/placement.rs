//! Which shard holds a tenant: recorded once, in the registry, and never changed.

use std::sync::Arc;

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use steward_events::commit::Commit;
use steward_events::event::{AggregateKind, Event, RegistryEvent};
use steward_events::id::{StreamId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::shard::{STEWARD_SHARD, registry_stream};
use steward_events::stream::StreamName;

use crate::log::{EventLog, LogError};

/// The most tenants whose place is remembered; others are looked up again.
const KNOWN_MAX: u64 = 100_000;

/// For how many memory is taken at first.
const KNOWN_EXPECTED: usize = 256;

/// Looks tenants up in the registry and remembers them.
pub struct Placement {
    log: Arc<dyn EventLog>,
    known: Cache<TenantId, Shard>,
}

impl Placement {
    /// Over `log`.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, known: Cache::with_weighter(KNOWN_EXPECTED, KNOWN_MAX, UnitWeighter) }
    }

    /// The shard of `tenant`, or none if it was never placed.
    ///
    /// # Errors
    /// [`LogError`] if the registry cannot be read.
    pub async fn shard(&self, tenant: &TenantId) -> Result<Option<Shard>, LogError> {
        if tenant.is_steward() {
            return Ok(Some(STEWARD_SHARD));
        }
        if let Some(shard) = self.known.get(tenant) {
            return Ok(Some(shard));
        }
        let stream = registry_stream(tenant);
        let Some(stored) = self.log.slot(&stream, Position(0)).await? else { return Ok(None) };
        let commit = Commit::decode(&stream, &stored.bytes)?;
        let placed = commit.recorded(stored.position).find_map(|recorded| match recorded.event {
            Event::Registry(RegistryEvent::TenantPlaced { shard, .. }) => Some(*shard),
            _ => None,
        });
        if let Some(shard) = placed {
            self.known.insert(tenant.clone(), shard);
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
