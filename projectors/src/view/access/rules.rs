//! The rules of access as lists, from the live permissions.

use bytes::Bytes;

use steward_aggregates::access::Access;
use steward_aggregates::access::elevation::{Elevation, State};
use steward_aggregates::access::separation::Pair;
use steward_authority::Authority;
use steward_events::event::DenialSpec;
use steward_events::id::{ElevationId, PrincipalId, RuleId, TenantId};
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{
    DataClassRow, DenialRow, ElevationQuery, ElevationRow, ElevationRuleRow, ElevationState, ListDataClasses,
    ListDenials, ListElevationRules, ListElevations, ListReviews, ListSeparations, Page, Paging, ReviewRow, RoleHolder,
    RoleUse, RoleUseQuery, SeparationRow,
};

use super::AccessView;
use crate::engine::read_model::{NoAnswer, Query};

/// So many principals or holders are named in one answer.
const BROKEN_BY_MAX: usize = 100;
const HOLDERS_MAX: usize = 1_000;

/// Of `rows`, which are in the order of their names, the page that was asked for.
fn page<T>(rows: impl Iterator<Item = (String, T)>, paging: &Paging) -> Page<T> {
    let mut rest = rows.filter(|(name, _)| paging.after.as_ref().is_none_or(|after| name > after)).peekable();
    let (mut rows, mut last) = (Vec::new(), None);
    while rows.len() < paging.limit
        && let Some((name, row)) = rest.next()
    {
        rows.push(row);
        last = Some(name);
    }
    Page { position: Position(0), rows, next: last.filter(|_| rest.peek().is_some()) }
}

fn is_in(wanted: Option<&Scope>, scope: &Scope) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(scope))
}

impl AccessView {
    /// The tenant's rules as they are now; from a state that includes the position asked for.
    async fn list<T>(
        &self,
        query: &Query<'_>,
        paging: &Paging,
        rows: impl FnOnce(&Authority, &Access, Timestamp) -> Page<T>,
    ) -> Result<Page<T>, NoAnswer> {
        self.reach(query, paging).await?;
        let now = self.engine.ports.clock.now();
        let authority = self.engine.authority.read();
        let nothing = Access::default();
        let access = authority.access(query.tenant()).unwrap_or(&nothing);
        Ok(Page { position: self.position(query), ..rows(&authority, access, now) })
    }

    /// What is asked of the rules.
    pub(super) async fn rules(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match (query.noun(), query.verb()) {
            ("deny", "list") => self.denials(query).await,
            ("separation", "list") => self.separations(query).await,
            ("elevation-rule", "list") => self.elevation_rules(query).await,
            ("elevation", "list") => self.elevations(query).await,
            ("elevation", "show") => self.elevation(query),
            ("review", "list") => self.reviews(query).await,
            ("data-class", "list") => self.data_classes(query).await,
            _ => Err(query.unknown()),
        }
    }

    async fn denials(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListDenials = query.read()?;
        let (paging, own, steward) = (asked.paging(), Scope::tenant(query.tenant()), TenantId::steward());
        let found = self.list(query, &paging, |authority, access, _| {
            let platform = authority.access(&steward).filter(|_| !query.tenant().is_steward());
            let of_platform = platform.into_iter().flat_map(Access::denials);
            let reaches = |spec: &DenialSpec| spec.on.contains(&own) || own.contains(&spec.on);
            let of_platform = of_platform.filter(|(_, spec)| reaches(spec)).map(|(name, spec)| (name, spec, true));
            let all = access.denials().map(|(name, spec)| (name, spec, false)).chain(of_platform);
            // What the platform denies everywhere is shown to whoever sees anything here.
            let seen = |spec: &DenialSpec| query.sight.covers(&spec.on) || spec.on.contains(&own);
            let wanted = all.filter(|(_, spec, _)| seen(spec) && is_in(asked.scope.as_ref(), &spec.on));
            let mut rows: Vec<_> = wanted.map(|(name, spec, platform)| denial_row(name, spec, platform)).collect();
            rows.sort_by(|(one, _), (other, _)| one.cmp(other));
            page(rows.into_iter(), &paging)
        });
        query.write(&found.await?)
    }

    async fn separations(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListSeparations = query.read()?;
        let paging = asked.paging();
        let found = self.list(query, &paging, |_, access, now| {
            let wanted = access.separations().filter(|(_, spec)| {
                query.sight.covers(&spec.on) && asked.role.as_ref().is_none_or(|role| spec.roles.contains(role))
            });
            let rows = wanted.map(|(name, spec)| {
                let broken_by = access.who_breaks(spec, now).into_iter().take(BROKEN_BY_MAX);
                let broken_by = broken_by.map(|(who, _): (PrincipalId, Pair)| who).collect();
                let (separation, roles) = (name.clone(), spec.roles.clone());
                let (on, reason) = (spec.on.clone(), spec.reason.clone());
                (name.to_string(), SeparationRow { separation, roles, on, reason, broken_by })
            });
            page(rows, &paging)
        });
        query.write(&found.await?)
    }

    async fn elevation_rules(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListElevationRules = query.read()?;
        let paging = asked.paging();
        let found = self.list(query, &paging, |_, access, _| {
            let seen = |on: &Scope| query.sight.covers(on) && is_in(asked.scope.as_ref(), on);
            let wanted = access.elevation_rules().filter(|(_, spec)| seen(&spec.on));
            let rows = wanted
                .map(|(rule, spec)| (rule.to_string(), ElevationRuleRow { rule: rule.clone(), spec: spec.clone() }));
            page(rows, &paging)
        });
        query.write(&found.await?)
    }

    async fn elevations(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListElevations = query.read()?;
        let paging = asked.paging();
        let found = self.list(query, &paging, |_, access, now| {
            let seen = access.elevations().filter(|(_, found)| query.sight.covers(&found.request.on));
            let rows = seen.map(|(id, found)| (id.to_string(), elevation_row(id, found, now)));
            let wanted = rows.filter(|(_, row)| {
                asked.principal.as_ref().is_none_or(|principal| *principal == row.by)
                    && asked.state.is_none_or(|state| state == row.state)
            });
            page(wanted, &paging)
        });
        query.write(&found.await?)
    }

    fn elevation(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let ElevationQuery { elevation } = query.read()?;
        let now = self.engine.ports.clock.now();
        let authority = self.engine.authority.read();
        let found = authority.access(query.tenant()).and_then(|access| access.elevation(&elevation));
        let found = found.ok_or_else(|| Rejection::not_found("elevation", &elevation))?;
        query.found(query.sight.covers(&found.request.on))?;
        query.write(&elevation_row(&elevation, found, now))
    }

    async fn reviews(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListReviews = query.read()?;
        let paging = asked.paging();
        let found = self.list(query, &paging, |_, access, now| {
            let seen = |on: &Scope| query.sight.covers(on) && is_in(asked.scope.as_ref(), on);
            let rows = access.reviews().filter(|(_, review)| seen(&review.spec.on)).map(|(name, review)| {
                let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let row = ReviewRow {
                    review: name.clone(),
                    spec: review.spec.clone(),
                    started_at: review.started_at,
                    confirmed: count(review.confirmed.len()),
                    unreviewed: count(access.unreviewed(review).count()),
                    overdue: review.spec.due <= now,
                };
                (name.to_string(), row)
            });
            page(rows, &paging)
        });
        query.write(&found.await?)
    }

    async fn data_classes(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        let asked: ListDataClasses = query.read()?;
        let paging = asked.paging();
        let found = self.list(query, &paging, |_, access, _| {
            let seen = |scope: &Scope| query.sight.covers(scope) && is_in(asked.scope.as_ref(), scope);
            let rows = access.data_classes().filter(|(scope, _)| seen(scope));
            let rows = rows
                .map(|(scope, class)| (scope.to_string(), DataClassRow { scope: scope.clone(), class: class.clone() }));
            page(rows, &paging)
        });
        query.write(&found.await?)
    }

    /// Who holds a role, and what hangs on it.
    pub(super) fn role_use(&self, query: &Query<'_>) -> Result<RoleUse, NoAnswer> {
        let RoleUseQuery { role } = query.read()?;
        let now = self.engine.ports.clock.now();
        let (authority, tenant) = (self.engine.authority.read(), query.tenant());
        let Some(access) = authority.access(tenant) else { return Ok(RoleUse::default()) };
        let holders = access.grants_by_role(&role).take(HOLDERS_MAX).map(|(grant, terms)| RoleHolder {
            name: authority.name(tenant, &grant.to),
            loses: if terms.is_over(now) { Vec::new() } else { authority.loss(tenant, &grant) },
            expires: terms.ends(),
            to: grant.to,
            on: grant.on,
        });
        Ok(RoleUse {
            holders: holders.collect(),
            holders_count: u32::try_from(access.grants_by_role(&role).count()).unwrap_or(u32::MAX),
            heirs: access.heirs(&role).cloned().collect(),
            rules: access.rules_about(&role).cloned().collect(),
            obstacle: access.obstacle_to_removal(&role, now),
        })
    }
}

fn denial_row(name: &RuleId, spec: &DenialSpec, platform: bool) -> (String, DenialRow) {
    let DenialSpec { permissions, on, whom, condition, unless, until, reason } = spec.clone();
    let denial = name.clone();
    // A tenant and the platform may use one name.
    let at = format!("{name}~{}", if platform { "platform" } else { "own" });
    (at, DenialRow { denial, permissions, on, whom, condition, unless, until, reason, platform })
}

fn elevation_row(id: &ElevationId, found: &Elevation, now: Timestamp) -> ElevationRow {
    let request = found.request.clone();
    let (state, approved_by, until) = match &found.state {
        State::Requested if found.is_over(now) => (ElevationState::Lapsed, None, request.lapses),
        State::Requested => (ElevationState::Requested, None, request.lapses),
        State::Approved { by, until } if *until <= now => (ElevationState::Ended, Some(by.clone()), *until),
        State::Approved { by, until } => (ElevationState::Active, Some(by.clone()), *until),
        State::Refused(at) => (ElevationState::Refused, None, *at),
        State::Withdrawn(at) => (ElevationState::Ended, None, *at),
    };
    ElevationRow {
        elevation: id.clone(),
        rule: request.rule,
        by: request.by,
        role: request.role,
        on: request.on,
        duration_s: request.duration_s,
        reason: request.reason,
        state,
        requested_at: found.requested_at,
        approved_by,
        until,
    }
}
