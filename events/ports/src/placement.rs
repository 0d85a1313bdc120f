//! Which shard holds a tenant: recorded once, in the registry, and never changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::log::{EventLog, LogError};
use steward_events::commit::Commit;
use steward_events::event::{AggregateKind, Event, RegistryEvent};
use steward_events::id::{StreamId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::shard::{STEWARD_SHARD, registry_stream};
use steward_events::stream::StreamName;

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
