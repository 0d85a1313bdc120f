//! Tenants: where each was placed, which the tenant `steward` knows, and its life, which its own rows tell.

use std::collections::BTreeMap;

use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::shard::STEWARD_SHARD;
use steward_queries::{
    ErasureState, ExportBegun, ExportTenant, ListTenants, Page, ShowTenant, TenantPage, TenantRow, TenantState,
};

use super::{SettingsRow, SettingsView, StoredLife, StoredPlace, life_key, places};
use crate::engine::page::{after, part};
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;
use crate::view::tenancy::details;

impl SettingsView {
    /// All tenants for those who ask the tenant `steward`; of any other only itself, for it knows no other.
    pub(super) async fn tenants(&self, query: &Query<'_>) -> Result<TenantPage, NoAnswer> {
        let asked: ListTenants = query.read()?;
        let paging = asked.paging();
        let is_wanted = |row: &TenantRow| asked.state.is_none_or(|state| state == row.state);
        if !query.tenant().is_steward() {
            let (position, row) = self.show(query.tenant(), query.shard, paging.min_position).await?;
            let rows = row.into_iter().filter(|_| paging.after.is_none()).filter(is_wanted).collect();
            return Ok(Page { position, rows, next: None });
        }
        let prefix = places(query.tenant());
        let (after, bounds) = (after(&prefix, &paging)?, (paging.limit, usize::MAX));
        let wanted = |row: SettingsRow| match row {
            SettingsRow::Placed(place) => Ok(Some(place)),
            _ => Ok(None),
        };
        let read = move |rows: &Snapshot<'_>| part(rows, &prefix, None, after.as_ref(), bounds, wanted);
        let Page { position, rows, next } = self.rows.read(STEWARD_SHARD, paging.min_position, read).await?.page();
        let mut lives = self.lives(&rows).await?;
        let rows = rows.into_iter().map(|place| {
            let life = lives.remove(&place.tenant);
            tenant_row(place, life)
        });
        Ok(Page { position, rows: rows.filter(is_wanted).collect(), next })
    }

    pub(super) async fn tenant(&self, query: &Query<'_>) -> Result<TenantRow, NoAnswer> {
        let ShowTenant { min_position } = query.read()?;
        let (_, row) = self.show(query.tenant(), query.shard, min_position).await?;
        self.engine.includes(query.shard, min_position).await?;
        let now = self.engine.ports.clock.now();
        let row = row.map(|row| {
            let details = details(&self.engine.authority.read(), query.tenant(), now);
            TenantRow { details, ..row }
        });
        Ok(row.ok_or_else(|| Rejection::UnknownTenant { tenant: query.tenant().clone() })?)
    }

    /// That the caller may export all that the tenant has; each look at it is on record.
    pub(super) async fn export(&self, query: &Query<'_>) -> Result<ExportBegun, NoAnswer> {
        let ExportTenant {} = query.read()?;
        let (position, row) = self.show(query.tenant(), query.shard, None).await?;
        let tenant = row.ok_or_else(|| Rejection::UnknownTenant { tenant: query.tenant().clone() })?;
        Ok(ExportBegun { tenant, position })
    }

    /// One tenant by its own rows.
    async fn show(
        &self,
        tenant: &TenantId,
        shard: Shard,
        min_position: Option<Position>,
    ) -> Result<(Position, Option<TenantRow>), NoAnswer> {
        let of = tenant.clone();
        let read = move |rows: &Snapshot<'_>| Ok((rows.position(), life(rows, &of)?));
        let (position, life) = self.rows.read(shard, min_position, read).await?;
        Ok((position, life.map(|life| open_row(tenant.clone(), shard, life))))
    }

    /// The lives of these tenants, asked for shard by shard.
    async fn lives(&self, of: &[StoredPlace]) -> Result<BTreeMap<TenantId, StoredLife>, NoAnswer> {
        let mut by_shard: BTreeMap<Shard, Vec<TenantId>> = BTreeMap::new();
        for place in of {
            by_shard.entry(place.shard).or_default().push(place.tenant.clone());
        }
        let mut lives = BTreeMap::new();
        for (shard, tenants) in by_shard {
            let read = move |rows: &Snapshot<'_>| {
                let one = |tenant: TenantId| Ok(life(rows, &tenant)?.map(|life| (tenant, life)));
                tenants.into_iter().filter_map(|tenant| one(tenant).transpose()).collect::<Result<Vec<_>, BoxError>>()
            };
            lives.extend(self.rows.read(shard, None, read).await?);
        }
        Ok(lives)
    }
}

fn life(rows: &Snapshot<'_>, tenant: &TenantId) -> Result<Option<StoredLife>, BoxError> {
    Ok(match rows.get(&life_key(tenant))? {
        Some(SettingsRow::Life(life)) => Some(life),
        _ => None,
    })
}

fn tenant_row(place: StoredPlace, life: Option<StoredLife>) -> TenantRow {
    let StoredPlace { tenant, shard, timezone, placed_at } = place;
    if let Some(life) = life {
        return open_row(tenant, shard, life);
    }
    let state = TenantState::Placed;
    TenantRow { tenant, shard, timezone, state, reason: None, created_at: placed_at, erasure: None, details: None }
}

fn open_row(tenant: TenantId, shard: Shard, life: StoredLife) -> TenantRow {
    let StoredLife { timezone, suspended: reason, created_at, erasure } = life;
    let state = match &erasure {
        Some(ErasureState { erased_at: Some(_), .. }) => TenantState::Erased,
        Some(_) => TenantState::Erasing,
        None if reason.is_some() => TenantState::Suspended,
        None => TenantState::Open,
    };
    TenantRow { tenant, shard, timezone, state, reason, created_at, erasure, details: None }
}
