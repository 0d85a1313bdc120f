//! Which right a recorded event tells that somebody used. Reads are not recorded, and tell nothing.

use std::collections::HashMap;

use steward_authority::Authority;
use steward_events::commit::{Entry, Recorded};
use steward_events::event::{
    AccessEvent, AgentEvent, AggregateKind, BatchEvent, CatalogEvent, CheckpointEvent, Event, FileEvent, IdentityEvent,
    LedgerEvent, TaskEvent, TenantEvent,
};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;

/// The kinds of events that tell of commands. Calls are told by their journals.
pub(super) const COMMANDED: &[AggregateKind] = &[
    AggregateKind::Tenant,
    AggregateKind::Identity,
    AggregateKind::Access,
    AggregateKind::Ledger,
    AggregateKind::Catalog,
    AggregateKind::Agent,
    AggregateKind::Task,
    AggregateKind::Batch,
    AggregateKind::File,
    AggregateKind::Checkpoint,
];

/// The most tasks, batches and files whose scopes are remembered.
const PLACES_MAX: usize = 100_000;

/// A right that somebody used by a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) principal: PrincipalId,
    /// With which key, if that is recorded.
    pub(super) key: Option<KeyRef>,
    pub(super) permission: Permission,
    pub(super) scope: Scope,
}

/// Where tasks, batches and files belong: what ends them does not say it.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<String, Scope>);

impl Places {
    fn keep(&mut self, id: &str, scope: &Scope) -> Scope {
        if self.0.len() < PLACES_MAX {
            self.0.insert(id.to_owned(), scope.clone());
        }
        scope.clone()
    }

    /// What the sender of this entry needed, by the first of its events; none if no caller sent it or that is not told.
    pub(super) fn wanted(&mut self, entry: &Entry, recorded: &Recorded<'_>, authority: &Authority) -> Option<Wanted> {
        let tenant = &recorded.stream.tenant;
        let stream = recorded.stream.id.as_str();
        let mut principal = entry.actor.clone();
        let mut key = None;
        let (permission, scope) = match entry.events.first()? {
            Event::Task(TaskEvent::Submitted { scope, submitted_by, submitted_with, .. }) => {
                (principal, key) = (submitted_by.clone(), submitted_with.clone());
                ("task:submit", Some(self.keep(stream, scope)))
            }
            Event::Task(TaskEvent::Cancelled { .. }) => ("task:cancel", self.0.get(stream).cloned()),
            Event::Batch(BatchEvent::Submitted { scope, submitted_by, submitted_with, .. }) => {
                (principal, key) = (submitted_by.clone(), submitted_with.clone());
                ("batch:submit", Some(self.keep(stream, scope)))
            }
            Event::Batch(BatchEvent::CancelAsked { .. }) => ("batch:cancel", self.0.get(stream).cloned()),
            Event::File(FileEvent::Kept { file, scope, kept_by, kept_with, .. }) => {
                (principal, key) = (kept_by.clone(), Some(kept_with.clone()));
                ("file:create", Some(self.keep(file.as_str(), scope)))
            }
            Event::File(FileEvent::Removed { file, .. }) => ("file:remove", self.0.get(file.as_str()).cloned()),
            other => commanded(other, tenant, authority)?,
        };
        if principal.is_system() {
            return None;
        }
        Some(Wanted { principal, key, permission: permission.parse().ok()?, scope: scope? })
    }
}

/// The command that this event follows from, and where it needed its permission.
fn commanded(event: &Event, tenant: &TenantId, authority: &Authority) -> Option<(&'static str, Option<Scope>)> {
    let whole = Some(Scope::tenant(tenant));
    Some(match event {
        Event::Access(event) => match event {
            AccessEvent::RoleDefined { .. } => ("role:define", whole),
            AccessEvent::RoleGranted { grant, .. } => ("grant:give", Some(grant.on.clone())),
            AccessEvent::GrantRevoked { grant, .. } => ("grant:revoke", Some(grant.on.clone())),
            AccessEvent::TrialStarted { grant, .. } => ("trial:start", Some(grant.on.clone())),
            AccessEvent::TrialEnded { grant, .. } => ("trial:stop", Some(grant.on.clone())),
            AccessEvent::RoleRemoved { .. } => ("role:remove", whole),
            AccessEvent::GroupDefined { .. } => ("group:define", whole),
            AccessEvent::GroupJoined { .. } => ("group:join", whole),
            AccessEvent::GroupLeft { .. } => ("group:leave", whole),
            AccessEvent::GroupRemoved { .. } => ("group:remove", whole),
            AccessEvent::DenialSet { spec, .. } => ("deny:set", Some(spec.on.clone())),
            AccessEvent::SeparationSet { spec, .. } => ("separation:set", Some(spec.on.clone())),
            AccessEvent::ElevationAllowed { rule: _, spec } => ("elevation:allow", Some(spec.on.clone())),
            AccessEvent::ReviewStarted { spec, .. } => ("review:start", Some(spec.on.clone())),
            AccessEvent::DataClassSet { scope, .. } => ("data-class:set", Some(scope.clone())),
            // Where these belong is not in them.
            AccessEvent::DenialRemoved { .. }
            | AccessEvent::SeparationRemoved { .. }
            | AccessEvent::ElevationDisallowed { .. }
            | AccessEvent::ElevationRequested { .. }
            | AccessEvent::ElevationApproved { .. }
            | AccessEvent::ElevationRefused { .. }
            | AccessEvent::ElevationEnded { .. }
            | AccessEvent::GrantsConfirmed { .. }
            | AccessEvent::ReviewClosed { .. } => return None,
        },
        Event::Identity(event) => match event {
            IdentityEvent::AccountCreated { .. } => ("account:create", whole),
            IdentityEvent::UserInvited { .. } => ("user:invite", whole),
            IdentityEvent::OwnerSet { .. } => ("account:set-owner", whole),
            IdentityEvent::UserChanged { .. } => ("user:set", whole),
            IdentityEvent::UserEnabled { .. } => ("user:enable", whole),
            IdentityEvent::UserDisabled { .. } => ("user:disable", whole),
            IdentityEvent::UserErased { .. } => ("user:erase", whole),
            IdentityEvent::UserKeyDestroyed { .. } => return None,
            IdentityEvent::KeyReplaced { key, .. } => {
                let known = authority.identity(tenant).and_then(|identity| identity.key(key));
                ("key:rotate", known.map(|key| key.scope.clone()))
            }
            IdentityEvent::KeyIssued { scope, .. } => ("key:issue", Some(scope.clone())),
            IdentityEvent::KeyRevoked { key, .. } => {
                let known = authority.identity(tenant).and_then(|identity| identity.key(key));
                ("key:revoke", known.map(|key| key.scope.clone()))
            }
        },
        Event::Tenant(event) => (of_tenant(event)?, whole),
        Event::Ledger(LedgerEvent::BudgetSet { key, .. }) => ("budget:set", Some(key.scope.clone())),
        Event::Agent(AgentEvent::Defined { .. }) => ("agent:define", whole),
        Event::Checkpoint(CheckpointEvent::Requested) => ("checkpoint:request", whole),
        Event::Catalog(event) => (of_catalog(event), whole),
        _ => return None,
    })
}

const fn of_catalog(event: &CatalogEvent) -> &'static str {
    match event {
        CatalogEvent::ProviderSet { .. } => "provider:set",
        CatalogEvent::ModelSet { .. } => "model:set",
        CatalogEvent::RouteSet { .. } => "route:set",
        CatalogEvent::PriceSet { .. } => "price:set",
        CatalogEvent::CacheSet { .. } => "cache:set",
        CatalogEvent::CachePurged { .. } => "cache:purge",
        CatalogEvent::PromptSet { .. } => "prompt:set",
        CatalogEvent::SecretSet { .. } => "secret:set",
        CatalogEvent::SecretRemoved { .. } => "secret:remove",
    }
}

const fn of_tenant(event: &TenantEvent) -> Option<&'static str> {
    Some(match event {
        TenantEvent::Suspended { .. } => "tenant:suspend",
        TenantEvent::Resumed => "tenant:resume",
        TenantEvent::SettingsChanged { .. } => "tenant:set",
        TenantEvent::ProjectCreated { .. } => "project:create",
        TenantEvent::ProjectRenamed { .. } => "project:rename",
        TenantEvent::ProjectArchived { .. } => "project:archive",
        TenantEvent::ProjectRestored { .. } => "project:restore",
        TenantEvent::FlagSet { .. } => "flag:set",
        TenantEvent::FlagRemoved { .. } => "flag:remove",
        TenantEvent::QuotaSet { .. } => "quota:set",
        TenantEvent::QuotaRemoved { .. } => "quota:remove",
        TenantEvent::PlanSet { .. } => "tenant:set-plan",
        TenantEvent::PlanDefined { .. } => "plan:define",
        TenantEvent::ErasureAsked { .. } => "tenant:erase",
        TenantEvent::ErasureCancelled => "tenant:cancel-erase",
        TenantEvent::Created { .. } | TenantEvent::Erased | TenantEvent::Destroyed { .. } => return None,
    })
}
