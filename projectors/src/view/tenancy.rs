//! What is set for a tenant beside its catalog: projects, feature flags, quotas and plans, from the live permissions, which know
//! them because they bind every command.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use steward_aggregates::tenant::Tenant;
use steward_authority::{AccessRequest, Authority, Context};
use steward_events::event::{BudgetLevel, QuotaKind};
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_queries::{
    FlagPage, FlagRow, Flags, ListFlags, ListPlans, ListProjects, ListQuotas, Page, Paging, PlanPage, PlanRow,
    ProjectPage, ProjectRow, ProjectState, QuotaPage, QuotaRow, ReadFlags, ShowProject, TenantDetails,
};

use crate::engine::Engine;
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};

/// The read model: the permissions themselves.
pub struct TenancyView {
    engine: Arc<Engine>,
}

impl TenancyView {
    /// Over the engine's permissions.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine) }
    }

    async fn projects(&self, query: &Query<'_>) -> Result<ProjectPage, NoAnswer> {
        let asked: ListProjects = query.read()?;
        let paging = asked.paging();
        self.engine.includes(query.shard, paging.min_position).await?;
        let rows = project_rows(&self.engine.authority.read(), query.tenant());
        let wanted = rows.into_iter().filter(|row| query.sight.covers(&row.scope));
        let wanted = wanted.filter(|row| asked.state.is_none_or(|state| state == row.state));
        Ok(self.page(query, &paging, wanted, |row| row.project.as_str()))
    }

    async fn project(&self, query: &Query<'_>) -> Result<ProjectRow, NoAnswer> {
        let asked: ShowProject = query.read()?;
        self.engine.includes(query.shard, asked.min_position).await?;
        let rows = project_rows(&self.engine.authority.read(), query.tenant());
        let found = rows.into_iter().find(|row| row.project == asked.project && query.sight.covers(&row.scope));
        Ok(found.ok_or_else(|| Rejection::not_found("project", &asked.project))?)
    }

    async fn flags(&self, query: &Query<'_>) -> Result<FlagPage, NoAnswer> {
        let asked: ListFlags = query.read()?;
        let paging = asked.paging();
        self.engine.includes(query.shard, paging.min_position).await?;
        let rows = flag_rows(&self.engine.authority.read(), query.tenant());
        Ok(self.page(query, &paging, rows, |row| row.flag.as_str()))
    }

    async fn read_flags(&self, query: &Query<'_>) -> Result<Flags, NoAnswer> {
        let ReadFlags { principal, min_position } = query.read()?;
        self.engine.includes(query.shard, min_position).await?;
        let caller = query.sight.principal();
        let principal = principal.unwrap_or_else(|| caller.clone());
        let authority = self.engine.authority.read();
        if principal != *caller && !caller.is_system() {
            authority.authorise(&who_may_list_flags(query), self.engine.ports.clock.now())?;
        }
        let flags = authority.flags_of(query.tenant(), &principal).into_iter().collect();
        Ok(Flags { principal, flags })
    }

    async fn quotas(&self, query: &Query<'_>) -> Result<QuotaPage, NoAnswer> {
        let asked: ListQuotas = query.read()?;
        let paging = asked.paging();
        self.engine.includes(query.shard, paging.min_position).await?;
        let now = self.engine.ports.clock.now();
        let rows = quota_rows(&self.engine.authority.read(), query.tenant(), now);
        Ok(self.page(query, &paging, rows, |row| row.quota.as_str()))
    }

    async fn plans(&self, query: &Query<'_>) -> Result<PlanPage, NoAnswer> {
        let asked: ListPlans = query.read()?;
        let paging = asked.paging();
        self.engine.includes(query.shard, paging.min_position).await?;
        let rows = plan_rows(&self.engine.authority.read(), query.tenant());
        Ok(self.page(query, &paging, rows, |row| row.plan.as_str()))
    }

    /// The part of `rows` that was asked for, in the order of their names.
    fn page<T>(
        &self,
        query: &Query<'_>,
        paging: &Paging,
        rows: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> Page<T> {
        let position = self.engine.authority.positions().get(usize::from(query.shard.0)).copied().unwrap_or_default();
        let mut rows: Vec<T> = rows.into_iter().collect();
        rows.sort_by(|one, other| name(one).cmp(name(other)));
        rows.retain(|row| paging.after.as_deref().is_none_or(|after| name(row) > after));
        let more = rows.len() > paging.limit;
        rows.truncate(paging.limit);
        let next = rows.last().filter(|_| more).map(|row| name(row).to_owned());
        Page { position, rows, next }
    }
}

impl Engine {
    /// Waits until the permissions include what is recorded now, if the query names a position: that is part of it then.
    pub(super) async fn includes(&self, shard: Shard, position: Option<Position>) -> Result<(), NoAnswer> {
        if position.is_none() {
            return Ok(());
        }
        for shard in [STEWARD_SHARD, shard] {
            self.authority.confirm(shard, std::time::Duration::ZERO, self.config.position_wait_max).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ReadModel for TenancyView {
    fn nouns(&self) -> &'static [&'static str] {
        &["project", "flag", "quota", "plan"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        None
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match (query.noun(), query.verb()) {
            ("project", "list") => query.write(&self.projects(query).await?),
            ("project", "show") => query.write(&self.project(query).await?),
            ("flag", "list") => query.write(&self.flags(query).await?),
            ("flag", "read") => query.write(&self.read_flags(query).await?),
            ("quota", "list") => query.write(&self.quotas(query).await?),
            ("plan", "list") => query.write(&self.plans(query).await?),
            _ => Err(query.unknown()),
        }
    }
}

/// What is shown of one tenant beside its row.
pub(super) fn details(authority: &Authority, tenant: &TenantId, now: Timestamp) -> Option<TenantDetails> {
    let life = authority.tenant(tenant)?;
    Some(TenantDetails {
        settings: life.settings()?.clone(),
        revision: life.revision(),
        plan: life.plan().cloned(),
        quotas: quota_rows(authority, tenant, now),
        flags: flag_rows(authority, tenant),
        projects: project_rows(authority, tenant),
    })
}

fn who_may_list_flags(query: &Query<'_>) -> AccessRequest {
    // A row of the table of queries; a test asks for it.
    #[allow(clippy::expect_used)]
    let permission = Permission::new("flag", "list").expect("two tokens");
    AccessRequest {
        tenant: query.tenant().clone(),
        principal: query.request.caller().clone(),
        key: None,
        permission,
        scope: Scope::tenant(query.tenant()),
        context: Context::default(),
    }
}

fn project_rows(authority: &Authority, tenant: &TenantId) -> Vec<ProjectRow> {
    let of = |project: &steward_events::id::ProjectId| {
        let whole = Scope::tenant(tenant);
        whole.child(project.as_str()).unwrap_or(whole)
    };
    let created = authority.tenant(tenant).into_iter().flat_map(Tenant::projects).map(|(id, project)| ProjectRow {
        project: id.clone(),
        name: project.name.clone(),
        scope: of(id),
        state: if project.archived.is_some() { ProjectState::Archived } else { ProjectState::Active },
        reason: project.archived.clone(),
        created_at: Some(project.created_at),
    });
    let implicit = authority.implicit_projects(tenant).into_iter().map(|id| ProjectRow {
        name: id.to_string(),
        scope: of(&id),
        project: id,
        state: ProjectState::Implicit,
        reason: None,
        created_at: None,
    });
    created.chain(implicit).collect()
}

fn flag_rows(authority: &Authority, tenant: &TenantId) -> Vec<FlagRow> {
    authority.flags(tenant).into_iter().map(|(flag, spec, of_plan)| FlagRow { flag, spec, of_plan }).collect()
}

fn quota_rows(authority: &Authority, tenant: &TenantId, now: Timestamp) -> Vec<QuotaRow> {
    let Some(life) = authority.tenant(tenant) else { return Vec::new() };
    let (binding, plan) = (authority.quotas(tenant), authority.plan_of(tenant));
    let row = |quota| QuotaRow {
        quota,
        limit: binding.limit(quota),
        taken: authority.taken(tenant, quota, now),
        platform: life.own_quota(quota, BudgetLevel::Platform),
        tenant: life.own_quota(quota, BudgetLevel::Tenant),
        plan: plan.and_then(|plan| plan.quotas.iter().find(|of| of.quota == quota)).map(|of| of.limit),
    };
    QuotaKind::ALL.into_iter().map(row).collect()
}

/// All plans for those who ask the tenant `steward`; of any other its own.
fn plan_rows(authority: &Authority, tenant: &TenantId) -> Vec<PlanRow> {
    let own = authority.tenant(tenant).and_then(Tenant::plan);
    let all = authority.tenant(&TenantId::steward()).into_iter().flat_map(Tenant::plans);
    let seen = all.filter(|(plan, ..)| tenant.is_steward() || own == Some(*plan));
    seen.map(|(plan, revision, spec)| PlanRow {
        plan: plan.clone(),
        revision,
        spec: spec.clone(),
        tenants: tenant.is_steward().then(|| u64::try_from(authority.tenants_on(plan)).unwrap_or(u64::MAX)),
    })
    .collect()
}
