//! Who holds what, for those who review it: the live permissions, with who gave each grant and when it was used.

use std::collections::BTreeMap;

use steward_aggregates::access::{Access, Terms};
use steward_authority::{Authority, RolePermissions};
use steward_events::BoxError;
use steward_events::event::GrantId;
use steward_events::id::{PrincipalId, RoleId, RuleId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{GrantState, Page, Paging, ReviewAccess, ReviewedGrant, ReviewedPage};

use super::AccessView;
use super::usage::{AccessUseRow, DAY, Days, given_key, used_key};
use crate::engine::read_model::{NoAnswer, Query};
use crate::engine::view_store::Snapshot;

/// Between the parts of a row's name.
const SEPARATOR: &str = "~";

/// What one page shows, before the rows of uses are asked.
#[derive(Default)]
struct Found {
    rows: Vec<ReviewedGrant>,
    meanings: BTreeMap<RoleId, RolePermissions>,
    next: Option<String>,
}

fn name_of(grant: &GrantId, terms: &Terms) -> String {
    let elevation = terms.elevation.as_ref().map_or("", AsRef::as_ref);
    [grant.to.as_str(), grant.role.as_str(), grant.on.as_str(), elevation].join(SEPARATOR)
}

fn matches(asked: &ReviewAccess, access: &Access, grant: &GrantId, terms: &Terms) -> bool {
    let of_review =
        |name| access.review(name).is_some_and(|of| of.is_of(grant, terms) && !of.confirmed.contains(grant));
    asked.role.as_ref().is_none_or(|role| *role == grant.role)
        && asked.scope.as_ref().is_none_or(|scope| scope.contains(&grant.on))
        && asked.review.as_ref().is_none_or(of_review)
}

/// The grants of the page that was asked for.
fn find(authority: &Authority, query: &Query<'_>, asked: &ReviewAccess, now: Timestamp) -> Found {
    let (tenant, paging) = (query.tenant(), asked.paging());
    let (mut found, mut last) = (Found::default(), None);
    let Some(access) = authority.access(tenant) else { return found };
    let first = paging.after.as_deref().and_then(|after| after.split(SEPARATOR).next()).unwrap_or("");
    let holders = authority.holders(tenant).into_iter().skip_while(|holder| holder.as_str() < first);
    for holder in holders.filter(|holder| asked.principal.as_ref().is_none_or(|principal| principal == *holder)) {
        let mut held: Vec<(String, GrantId, &Terms)> =
            access.grants_of(holder).map(|(grant, terms)| (name_of(&grant, terms), grant, terms)).collect();
        held.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut breaks: Option<Vec<RuleId>> = None;
        for (name, grant, terms) in held {
            let before = paging.after.as_ref().is_some_and(|after| name <= *after);
            if before || !query.sight.covers(&grant.on) || !matches(asked, access, &grant, terms) {
                continue;
            }
            if found.rows.len() == paging.limit {
                found.next = last;
                return found;
            }
            let meaning = || authority.meaning(tenant, &grant.role);
            found.meanings.entry(grant.role.clone()).or_insert_with(meaning);
            let broken = breaks.get_or_insert_with(|| authority.broken_by(tenant, holder, now));
            // Of a rule that is about another part of the tenant not even the name is told.
            let concerns = |on: &Scope| on.contains(&grant.on) || query.sight.covers(on);
            let told = access.separations().filter(|(name, spec)| broken.contains(name) && concerns(&spec.on));
            let breaks = told.map(|(name, _)| name.clone()).collect();
            found.rows.push(row(authority, access, (tenant, now), (grant, terms), breaks));
            last = Some(name);
        }
    }
    found
}

fn row(
    authority: &Authority,
    access: &Access,
    (tenant, now): (&TenantId, Timestamp),
    (grant, terms): (GrantId, &Terms),
    breaks: Vec<RuleId>,
) -> ReviewedGrant {
    ReviewedGrant {
        name: authority.name(tenant, &grant.to),
        expires: terms.ends(),
        condition: terms.condition.clone(),
        state: if terms.is_over(now) { GrantState::Expired } else { GrantState::Active },
        elevation: terms.elevation.clone(),
        since: terms.given_at,
        given_by: None,
        last_used: None,
        unreviewed: access.unreviewed_in(&grant, terms).cloned(),
        breaks,
        to: grant.to,
        role: grant.role,
        on: grant.on,
    }
}

/// Adds what the rows tell of who gave the grants and when they were used.
fn fill(rows: &Snapshot<'_>, tenant: &TenantId, found: &mut Found) -> Result<(), BoxError> {
    let mut used: Option<(PrincipalId, BTreeMap<Permission, Days>)> = None;
    for grant in &mut found.rows {
        if used.as_ref().is_none_or(|(of, _)| *of != grant.to) {
            let row = rows.get(&used_key(tenant, &grant.to))?;
            let days = if let Some(AccessUseRow::Used(days)) = row { days } else { BTreeMap::new() };
            used = Some((grant.to.clone(), days));
        }
        let meaning = found.meanings.get(&grant.role);
        let covered = |permission: &Permission| meaning.is_some_and(|role| role.covering(permission).is_some());
        let days = used.iter().flat_map(|(_, days)| days).filter(|(permission, _)| covered(permission));
        // A day before the grant was given was another grant's.
        let last = days.map(|(_, days)| days.last).max().filter(|day| (u64::from(*day) + 1) * DAY > grant.since.0);
        grant.last_used = last.map(|day| Timestamp(u64::from(day) * DAY));
        if grant.elevation.is_none()
            && let Some(AccessUseRow::Given { by }) = rows.get(&given_key(tenant, &grant.id()))?
        {
            grant.given_by = Some(by);
        }
    }
    Ok(())
}

impl AccessView {
    /// Waits until the permissions include the position asked for, if one was.
    pub(super) async fn reach(&self, query: &Query<'_>, paging: &Paging) -> Result<(), NoAnswer> {
        if let Some(position) = paging.min_position {
            let time_max = self.engine.config.position_wait_max;
            self.engine.authority.reached(query.shard, position, time_max).await?;
        }
        Ok(())
    }

    /// How far the permissions have read.
    pub(super) fn position(&self, query: &Query<'_>) -> Position {
        self.engine.authority.positions().get(usize::from(query.shard.0)).copied().unwrap_or(Position(0))
    }

    pub(super) async fn review(&self, query: &Query<'_>) -> Result<ReviewedPage, NoAnswer> {
        let asked: ReviewAccess = query.read()?;
        let paging = asked.paging();
        self.reach(query, &paging).await?;
        let now = self.engine.ports.clock.now();
        let position = self.position(query);
        let mut found = find(&self.engine.authority.read(), query, &asked, now);
        let tenant = query.tenant().clone();
        let filled = self.uses.read(query.shard, paging.min_position, move |rows| {
            fill(rows, &tenant, &mut found)?;
            Ok(found)
        });
        let Found { mut rows, next, .. } = filled.await?;
        if let Some(days) = asked.unused_days {
            let since = Timestamp(now.0.saturating_sub(u64::from(days) * DAY));
            rows.retain(|grant| grant.last_used.is_none_or(|used| used < since));
        }
        Ok(Page { position, rows, next })
    }
}
