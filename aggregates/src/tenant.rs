//! Guards a tenant's life and what is set for it: opened once, suspended and resumed by those who may, erased in two steps;
//! settings, projects, flags, quotas and its plan. In the tenant `steward` also what plans there are.

use std::collections::BTreeMap;

use serde_json::json;
use steward_events::command::TenantCommand;
use steward_events::event::{FlagSpec, PlanSpec, TenantEvent, TenantSettings};
use steward_events::id::{FlagId, PlanId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

mod erasure;
mod flags;
mod plans;
mod projects;
mod quotas;
mod settings;

pub use erasure::DESTROYED_MAX;
pub use flags::FLAGS_MAX;
pub use plans::PLANS_MAX;
pub use projects::{PROJECTS_MAX, Project};
pub use settings::{REVISIONS_KEPT, Revision};

use erasure::{ERASED, Erasure};
use plans::Plan;
use projects::Projects;
use quotas::OwnQuotas;
use settings::History;

/// One tenant's life and settings.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    open: Option<TenantId>,
    suspended: Option<String>,
    erasure: Erasure,
    history: History,
    projects: Projects,
    flags: BTreeMap<FlagId, FlagSpec>,
    quotas: OwnQuotas,
    plan: Option<PlanId>,
    /// Only the tenant `steward` has any.
    plans: BTreeMap<PlanId, Plan>,
}

impl Tenant {
    /// True once the tenant may be used.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Why it is suspended, if it is: an erased tenant is, for good.
    pub fn suspended(&self) -> Option<&str> {
        self.suspended.as_deref()
    }

    /// True once nobody may read its content.
    pub const fn is_erased(&self) -> bool {
        self.erasure.is_done()
    }

    /// IANA name of its time zone; `UTC` before it is open.
    pub fn timezone(&self) -> &str {
        self.settings().map_or("UTC", |settings| &settings.timezone)
    }

    /// Its settings, once it is open.
    pub fn settings(&self) -> Option<&TenantSettings> {
        self.history.last().map(|revision| &revision.settings)
    }

    /// Which revision of its settings that is; 0 before it is open.
    pub fn revision(&self) -> u32 {
        self.history.last().map_or(0, |revision| revision.number)
    }

    /// The plan that it is on, if one.
    pub const fn plan(&self) -> Option<&PlanId> {
        self.plan.as_ref()
    }

    /// What a plan gives; only the tenant `steward` knows any.
    pub fn plan_spec(&self, plan: &PlanId) -> Option<&PlanSpec> {
        self.plans.get(plan).map(|plan| &plan.spec)
    }

    fn must_be_open(&self, stamp: &Stamp) -> Result<(), Rejection> {
        if self.is_open() { Ok(()) } else { Err(Rejection::UnknownTenant { tenant: stamp.tenant.clone() }) }
    }

    fn suspend(&self, reason: &str, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        limit::reason(reason)?;
        if stamp.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "steward cannot be suspended, because nobody could resume it"));
        }
        if self.suspended.is_some() {
            return Ok(vec![]);
        }
        Ok(vec![TenantEvent::Suspended { reason: reason.to_owned() }])
    }
}

impl Aggregate for Tenant {
    type Command = TenantCommand;
    type Event = TenantEvent;

    fn decide(&self, command: &TenantCommand, stamp: &Stamp) -> Result<Vec<TenantEvent>, Rejection> {
        if !matches!(command, TenantCommand::OpenTenant(_)) {
            self.must_be_open(stamp)?;
        }
        match command {
            TenantCommand::OpenTenant(_) if self.is_open() => Ok(vec![]),
            TenantCommand::OpenTenant(open) => {
                limit::time_zone(&open.timezone)?;
                Ok(vec![TenantEvent::Created { tenant: stamp.tenant.clone(), timezone: open.timezone.clone() }])
            }
            TenantCommand::SuspendTenant(suspend) => self.suspend(&suspend.reason, stamp),
            TenantCommand::ResumeTenant(_) => {
                self.erasure.lets_resume(stamp)?;
                Ok(if self.suspended.is_some() { vec![TenantEvent::Resumed] } else { vec![] })
            }
            TenantCommand::EraseTenant(erase) => self.erasure.ask(erase, self.suspended.is_some(), stamp),
            TenantCommand::CancelErasure(_) => self.erasure.cancel(stamp),
            TenantCommand::CarryOutErasure(_) => self.erasure.carry_out(),
            TenantCommand::RecordDestroyed(record) => self.erasure.record_destroyed(record),
            TenantCommand::SetTenant(set) => self.history.set(set),
            TenantCommand::RevertTenant(revert) => self.history.revert(revert),
            TenantCommand::SetPlan(set) => self.set_plan(set, stamp),
            TenantCommand::CreateProject(create) => self.projects.create(create),
            TenantCommand::RenameProject(rename) => self.projects.rename(rename),
            TenantCommand::ArchiveProject(archive) => self.projects.archive(archive),
            TenantCommand::RestoreProject(restore) => self.projects.restore(restore),
            TenantCommand::SetFlag(set) => self.set_flag(set),
            TenantCommand::RemoveFlag(remove) => self.remove_flag(remove),
            TenantCommand::SetQuota(set) => self.quotas.set(set, stamp),
            TenantCommand::RemoveQuota(remove) => self.quotas.remove(remove, stamp),
            TenantCommand::DefinePlan(define) => self.define_plan(define, stamp),
        }
    }

    fn apply(&mut self, event: &TenantEvent, at: Timestamp) {
        match event {
            TenantEvent::Created { tenant, timezone } => {
                self.open = Some(tenant.clone());
                self.history.begin(timezone, at);
            }
            TenantEvent::Suspended { reason } => self.suspended = Some(reason.clone()),
            TenantEvent::Resumed => self.suspended = None,
            TenantEvent::Erased => {
                self.suspended = Some(ERASED.to_owned());
                self.erasure.apply(event);
            }
            TenantEvent::ErasureAsked { .. } | TenantEvent::ErasureCancelled | TenantEvent::Destroyed { .. } => {
                self.erasure.apply(event);
            }
            TenantEvent::SettingsChanged { revision, settings, back_to: _ } => {
                self.history.take_in(*revision, settings, at);
            }
            TenantEvent::ProjectCreated { .. }
            | TenantEvent::ProjectRenamed { .. }
            | TenantEvent::ProjectArchived { .. }
            | TenantEvent::ProjectRestored { .. } => self.projects.apply(event, at),
            TenantEvent::FlagSet { flag, spec } => _ = self.flags.insert(flag.clone(), spec.clone()),
            TenantEvent::FlagRemoved { flag } => _ = self.flags.remove(flag),
            TenantEvent::QuotaSet { quota, level, limit } => self.quotas.apply(*quota, *level, Some(*limit)),
            TenantEvent::QuotaRemoved { quota, level } => self.quotas.apply(*quota, *level, None),
            TenantEvent::PlanSet { plan } => self.plan.clone_from(plan),
            TenantEvent::PlanDefined { plan, revision, spec } => {
                self.plans.insert(plan.clone(), Plan { revision: *revision, spec: spec.clone() });
            }
        }
    }

    fn answer(&self, command: &TenantCommand) -> serde_json::Value {
        let Some(tenant) = &self.open else { return serde_json::Value::Null };
        match command {
            TenantCommand::OpenTenant(_)
            | TenantCommand::SuspendTenant(_)
            | TenantCommand::ResumeTenant(_)
            | TenantCommand::EraseTenant(_)
            | TenantCommand::CancelErasure(_)
            | TenantCommand::CarryOutErasure(_)
            | TenantCommand::RecordDestroyed(_) => {
                json!({ "tenant": tenant, "suspended": self.suspended })
            }
            TenantCommand::SetTenant(_) | TenantCommand::RevertTenant(_) => {
                let revision = self.history.last();
                json!({ "tenant": tenant, "revision": revision.map(|last| last.number), "settings": self.settings() })
            }
            TenantCommand::SetPlan(_) => json!({ "tenant": tenant, "plan": self.plan }),
            TenantCommand::CreateProject(body) => json!({ "project": body.project }),
            TenantCommand::RenameProject(body) => json!({ "project": body.project, "name": body.name }),
            TenantCommand::ArchiveProject(body) => json!({ "project": body.project, "state": "archived" }),
            TenantCommand::RestoreProject(body) => json!({ "project": body.project, "state": "active" }),
            TenantCommand::SetFlag(body) => json!({ "flag": body.flag, "state": body.state }),
            TenantCommand::RemoveFlag(body) => json!({ "flag": body.flag }),
            TenantCommand::SetQuota(body) => json!({ "quota": body.quota, "limit": body.limit }),
            TenantCommand::RemoveQuota(body) => json!({ "quota": body.quota }),
            TenantCommand::DefinePlan(body) => {
                json!({ "plan": body.plan, "revision": self.plans.get(&body.plan).map(|plan| plan.revision) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::{OpenTenant, ResumeTenant, SuspendTenant};

    use super::*;
    use crate::spec::given;

    fn open() -> TenantCommand {
        TenantCommand::OpenTenant(OpenTenant { timezone: "Europe/Berlin".to_owned() })
    }

    fn suspend(reason: &str) -> TenantCommand {
        TenantCommand::SuspendTenant(SuspendTenant { reason: reason.to_owned() })
    }

    fn resume() -> TenantCommand {
        TenantCommand::ResumeTenant(ResumeTenant {})
    }

    fn created() -> TenantEvent {
        let tenant = "acme".parse().unwrap();
        TenantEvent::Created { tenant, timezone: "Europe/Berlin".to_owned() }
    }

    fn suspended() -> TenantEvent {
        TenantEvent::Suspended { reason: "unpaid".to_owned() }
    }

    #[test]
    fn it_is_opened_once() {
        given::<Tenant>([]).when(open()).then([created()]);
        given::<Tenant>([created()]).when(open()).then([]);
    }

    #[test]
    fn it_is_suspended_and_resumed() {
        given::<Tenant>([created()]).when(suspend("unpaid")).then([suspended()]);
        given::<Tenant>([created(), suspended()]).when(suspend("again")).then([]);
        given::<Tenant>([created(), suspended()]).when(resume()).then([TenantEvent::Resumed]);
        given::<Tenant>([created()]).when(resume()).then([]);
    }

    #[test]
    fn a_tenant_that_was_never_opened_cannot_be_suspended() {
        let unknown = Rejection::UnknownTenant { tenant: "acme".parse().unwrap() };
        given::<Tenant>([]).when(suspend("unpaid")).then_rejected(&unknown);
    }

    #[test]
    fn a_reason_has_a_bound() {
        let long = "a".repeat(limit::REASON_BYTES_MAX + 1);
        let refused = Rejection::invalid("reason", "is 1001 bytes long; at most 1000 are allowed");
        given::<Tenant>([created()]).when(suspend(&long)).then_rejected(&refused);
    }
}
