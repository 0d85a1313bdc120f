//! Who is in a tenant: people, service accounts, agents, and their keys, roles and grants.
//!
//! Knows what was recorded of them; must not know who may do what: that is decided by the permissions, not by rows. Who
//! a person is stays sealed here, and is opened for a caller who may list people.

use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{AccessEvent, AgentEvent, AgentSpec, Condition, GrantId, IdentityEvent, Profile};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, RoleId, TaskId, TenantId};
use steward_events::permission::PermissionPattern;
use steward_events::scope::Scope;
use steward_events::sealed::Sealed;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;

use crate::engine::key::Key;
use crate::engine::projector::{Projector, reads};
use crate::engine::rows::Rows;

mod list;

pub use list::DirectoryView;

/// The fold.
pub struct Directory;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryRow {
    /// A person.
    Person(StoredPerson),
    /// A service account.
    Account(StoredAccount),
    /// An agent.
    Agent(StoredAgent),
    /// A key.
    Key(Box<StoredKey>),
    /// A role.
    Role(StoredRole),
    /// A grant that was not revoked.
    Grant(StoredGrant),
}

/// A person, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPerson {
    principal: PrincipalId,
    profile: Sealed<Profile>,
    disabled: Option<String>,
    invited_at: Timestamp,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAccount {
    principal: PrincipalId,
    name: String,
    disabled: Option<String>,
    created_at: Timestamp,
}

/// An agent as it is defined now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAgent {
    agent: AgentId,
    revision: u32,
    spec: AgentSpec,
    defined_at: Timestamp,
}

/// A key without the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    key: KeyId,
    principal: PrincipalId,
    scope: Scope,
    models: Vec<ModelId>,
    expires: Option<Timestamp>,
    agent: Option<AgentId>,
    task: Option<TaskId>,
    permissions: Vec<PermissionPattern>,
    parent: Option<KeyRef>,
    revoked: Option<String>,
    issued_at: Timestamp,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRole {
    role: RoleId,
    permissions: Vec<PermissionPattern>,
    inherits: Vec<RoleId>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGrant {
    to: PrincipalId,
    role: RoleId,
    on: Scope,
    expires: Option<Timestamp>,
    condition: Option<Condition>,
    given_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Timestamp>,
}

impl Projector for Directory {
    const NAME: &'static str = "directory-v2";
    type Row = DirectoryRow;

    reads!(Identity => fold_identity, Access => fold_access, Agent => fold_agent);
}

fn fold_identity(event: &IdentityEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    let (tenant, at) = (&recorded.stream.tenant, recorded.entry.at);
    match event {
        IdentityEvent::AccountCreated { principal, name } => {
            let key = account_key(tenant, principal);
            let (principal, name) = (principal.clone(), name.clone());
            *rows.row(&key) =
                Some(DirectoryRow::Account(StoredAccount { principal, name, disabled: None, created_at: at }));
        }
        IdentityEvent::UserInvited { principal, profile } => {
            let key = person_key(tenant, principal);
            let (principal, profile) = (principal.clone(), profile.clone());
            *rows.row(&key) =
                Some(DirectoryRow::Person(StoredPerson { principal, profile, disabled: None, invited_at: at }));
        }
        IdentityEvent::UserDisabled { principal, reason } => disable(tenant, principal, reason, rows),
        IdentityEvent::KeyIssued {
            key,
            principal,
            hash: _,
            scope,
            models,
            expires,
            agent,
            task,
            permissions,
            parent,
        } => {
            let stored = StoredKey {
                key: key.clone(),
                principal: principal.clone(),
                scope: scope.clone(),
                models: models.clone(),
                expires: *expires,
                agent: agent.clone(),
                task: task.clone(),
                permissions: permissions.clone(),
                parent: parent.clone(),
                revoked: None,
                issued_at: at,
            };
            *rows.row(&key_key(tenant, key)) = Some(DirectoryRow::Key(Box::new(stored)));
        }
        IdentityEvent::KeyRevoked { key, reason } => {
            if let Some(DirectoryRow::Key(stored)) = rows.row(&key_key(tenant, key)) {
                stored.revoked = Some(reason.clone());
            }
        }
    }
}

/// Disables a person or a service account: looked at first, so that no row is made where there is none.
fn disable(tenant: &TenantId, principal: &PrincipalId, reason: &str, rows: &mut Rows<DirectoryRow>) {
    for key in [person_key(tenant, principal), account_key(tenant, principal)] {
        if rows.peek(&key).is_some() {
            match rows.row(&key) {
                Some(DirectoryRow::Person(row)) => row.disabled = Some(reason.to_owned()),
                Some(DirectoryRow::Account(row)) => row.disabled = Some(reason.to_owned()),
                _ => {}
            }
        }
    }
}

fn fold_access(event: &AccessEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    let tenant = &recorded.stream.tenant;
    match event {
        AccessEvent::RoleDefined { role, permissions, inherits } => {
            let (permissions, inherits) = (permissions.clone(), inherits.clone());
            *rows.row(&roles(tenant).text(role.as_str())) =
                Some(DirectoryRow::Role(StoredRole { role: role.clone(), permissions, inherits }));
        }
        AccessEvent::RoleGranted { grant, expires, condition } => {
            let key = grants_of(tenant, &grant.to).text(grant.role.as_str()).text(grant.on.as_str());
            *rows.row(&key) = Some(DirectoryRow::Grant(StoredGrant {
                to: grant.to.clone(),
                role: grant.role.clone(),
                on: grant.on.clone(),
                expires: *expires,
                condition: condition.clone(),
                given_at: recorded.entry.at,
                trial: None,
            }));
        }
        AccessEvent::TrialStarted { grant, until } => set_trial(tenant, grant, Some(*until), rows),
        AccessEvent::TrialEnded { grant, .. } => set_trial(tenant, grant, None, rows),
        AccessEvent::GrantRevoked { grant, reason: _ } => {
            *rows.row(&grants_of(tenant, &grant.to).text(grant.role.as_str()).text(grant.on.as_str())) = None;
        }
    }
}

fn set_trial(tenant: &TenantId, grant: &GrantId, until: Option<Timestamp>, rows: &mut Rows<DirectoryRow>) {
    let key = grants_of(tenant, &grant.to).text(grant.role.as_str()).text(grant.on.as_str());
    if let Some(DirectoryRow::Grant(row)) = rows.row(&key) {
        row.trial = until;
    }
}

fn fold_agent(event: &AgentEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    let AgentEvent::Defined { agent, revision, spec } = event;
    let (spec, defined_at) = (spec.clone(), recorded.entry.at);
    *rows.row(&agents(&recorded.stream.tenant).text(agent.as_str())) =
        Some(DirectoryRow::Agent(StoredAgent { agent: agent.clone(), revision: *revision, spec, defined_at }));
}

fn people(tenant: &TenantId) -> Key {
    Key::of(tenant).text("person")
}

fn person_key(tenant: &TenantId, principal: &PrincipalId) -> Key {
    people(tenant).text(principal.as_str())
}

fn accounts(tenant: &TenantId) -> Key {
    Key::of(tenant).text("account")
}

fn account_key(tenant: &TenantId, principal: &PrincipalId) -> Key {
    accounts(tenant).text(principal.as_str())
}

fn agents(tenant: &TenantId) -> Key {
    Key::of(tenant).text("agent")
}

fn keys(tenant: &TenantId) -> Key {
    Key::of(tenant).text("key")
}

fn key_key(tenant: &TenantId, key: &KeyId) -> Key {
    keys(tenant).text(key.as_str())
}

fn roles(tenant: &TenantId) -> Key {
    Key::of(tenant).text("role")
}

fn grants(tenant: &TenantId) -> Key {
    Key::of(tenant).text("grant")
}

fn grants_of(tenant: &TenantId, to: &PrincipalId) -> Key {
    grants(tenant).text(to.as_str())
}
