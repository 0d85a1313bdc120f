//! Which shard a tenant gets, and where that is recorded.

use crate::event::AggregateKind;
use crate::id::{StreamId, TenantId};
use crate::quantity::Shard;
use crate::stream::StreamName;

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
