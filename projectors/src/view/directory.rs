//! Who is in a tenant: people, service accounts, agents, groups, and their keys, roles and grants; and when a key was
//! last used: a call or a command came by it.
//!
//! Knows what was recorded of them; must not know who may do what: that is decided by the permissions, not by rows. Who
//! a person is stays sealed here, and is opened for a caller who may list people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use steward_events::commit::Recorded;
use steward_events::event::{
    AccessEvent, AddressRange, AgentEvent, AgentSpec, Condition, GrantId, IdentityEvent, OpenHours, Profile, UsageEvent,
};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, RoleId, TaskId, TenantId};
use steward_events::permission::PermissionPattern;
use steward_events::scope::Scope;
use steward_events::sealed::Sealed;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;

use crate::engine::projector::{Projector, reads};
use crate::engine::rows::Rows;

mod groups;
mod list;
mod places;
mod show;

pub use list::DirectoryView;

use places::{
    account_key, accounts, agents, grants, grants_of, group_key, groups_of, key_key, keys, keys_of, members_of,
    owned_by, people, person_key, roles, use_key, uses,
};

/// The fold.
pub struct Directory;

/// A use of a key is written down if the last one that was is older: calls come by the thousand.
const USE_EVERY: Duration = Duration::from_mins(1);

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
    /// A group.
    Group(StoredGroup),
    /// A member of a group; under the group, and under the member.
    Member(StoredMember),
    /// What belongs to somebody, by its name: a key to its holder, a service account to its owner.
    Belongs(String),
    /// When a key was last used.
    Used(Timestamp),
}

/// A person, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPerson {
    principal: PrincipalId,
    /// None of who was erased.
    profile: Option<Sealed<Profile>>,
    disabled: Option<String>,
    invited_at: Timestamp,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAccount {
    principal: PrincipalId,
    name: String,
    disabled: Option<String>,
    owner: Option<PrincipalId>,
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
    addresses: Vec<AddressRange>,
    hours: Vec<OpenHours>,
    replaced_by: Option<KeyId>,
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

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGroup {
    group: PrincipalId,
    name: String,
    description: String,
    members: u64,
    defined_at: Timestamp,
}

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    group: PrincipalId,
    member: PrincipalId,
    joined_at: Timestamp,
}

impl Projector for Directory {
    const NAME: &'static str = "directory-v3";
    const REPLACES: &'static [&'static str] = &["directory-v2"];
    type Row = DirectoryRow;

    reads!(
        Identity => fold_identity,
        Access => fold_access,
        Agent => fold_agent,
        Usage => fold_call,
        Registry => fold_command,
        Tenant => fold_command,
        Ledger => fold_command,
        Catalog => fold_command,
        Task => fold_command,
        File => fold_command,
        Batch => fold_command,
        Checkpoint => fold_command,
    );
}

/// A call, as a use of its key. What was answered without a provider has no start.
fn fold_call(event: &UsageEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    let key = match event {
        UsageEvent::CallStarted { context, .. } => &context.scopes.key,
        UsageEvent::CallFinished { context, source, .. } if !source.is_provider() => &context.scopes.key,
        UsageEvent::CallFinished { .. } | UsageEvent::LeaseClosed { .. } => return,
    };
    note_use(&recorded.stream.tenant, key, recorded.entry.at, rows);
}

/// A command, as a use of its key. The event itself is others' business.
fn fold_command<E>(_: &E, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    if let Some(KeyRef { tenant, key }) = &recorded.entry.key {
        note_use(tenant, key, recorded.entry.at, rows);
    }
}

fn note_use(tenant: &TenantId, key: &KeyId, at: Timestamp, rows: &mut Rows<DirectoryRow>) {
    let place = use_key(tenant, key);
    match rows.keep(&place) {
        Some(DirectoryRow::Used(last)) if at < last.plus(USE_EVERY) => {}
        _ => *rows.row(&place) = Some(DirectoryRow::Used(at)),
    }
}

fn fold_identity(event: &IdentityEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    fold_command(event, recorded, rows);
    let (tenant, at) = (&recorded.stream.tenant, recorded.entry.at);
    match event {
        IdentityEvent::AccountCreated { principal, name } => {
            let key = account_key(tenant, principal);
            let (principal, name) = (principal.clone(), name.clone());
            *rows.row(&key) = Some(DirectoryRow::Account(StoredAccount {
                principal,
                name,
                disabled: None,
                owner: None,
                created_at: at,
            }));
        }
        IdentityEvent::OwnerSet { account, owner } => set_owner(tenant, account, owner, rows),
        IdentityEvent::UserInvited { principal, profile } => {
            let key = person_key(tenant, principal);
            let (principal, profile) = (principal.clone(), Some(profile.clone()));
            *rows.row(&key) =
                Some(DirectoryRow::Person(StoredPerson { principal, profile, disabled: None, invited_at: at }));
        }
        IdentityEvent::UserChanged { principal, profile } => {
            if let Some(DirectoryRow::Person(row)) = rows.row(&person_key(tenant, principal)) {
                row.profile = Some(profile.clone());
            }
        }
        IdentityEvent::UserEnabled { principal, reason: _ } => set_disabled(tenant, principal, None, rows),
        IdentityEvent::UserDisabled { principal, reason } => set_disabled(tenant, principal, Some(reason), rows),
        IdentityEvent::UserErased { principal, reason: _ } => {
            let key = person_key(tenant, principal);
            if rows.peek(&key).is_some()
                && let Some(DirectoryRow::Person(row)) = rows.row(&key)
            {
                row.profile = None;
            }
        }
        IdentityEvent::UserKeyDestroyed { .. } => {}
        IdentityEvent::KeyIssued { .. } | IdentityEvent::KeyReplaced { .. } | IdentityEvent::KeyRevoked { .. } => {
            fold_key(event, tenant, at, rows);
        }
    }
}

fn fold_key(event: &IdentityEvent, tenant: &TenantId, at: Timestamp, rows: &mut Rows<DirectoryRow>) {
    match event {
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
            addresses,
            hours,
            line: _,
        } => {
            // A task's key is its holder's for as long as the task lasts, and there are many.
            if task.is_none() {
                let place = keys_of(tenant, principal).text(key.as_str());
                *rows.row(&place) = Some(DirectoryRow::Belongs(key.to_string()));
            }
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
                addresses: addresses.clone(),
                hours: hours.clone(),
                replaced_by: None,
                revoked: None,
                issued_at: at,
            };
            *rows.row(&key_key(tenant, key)) = Some(DirectoryRow::Key(Box::new(stored)));
        }
        IdentityEvent::KeyReplaced { key, by, until } => {
            if let Some(DirectoryRow::Key(stored)) = rows.row(&key_key(tenant, key)) {
                stored.expires = Some(stored.expires.map_or(*until, |expires| expires.min(*until)));
                stored.replaced_by = Some(by.clone());
            }
        }
        IdentityEvent::KeyRevoked { key, reason } => {
            if let Some(DirectoryRow::Key(stored)) = rows.row(&key_key(tenant, key)) {
                stored.revoked = Some(reason.clone());
            }
        }
        // What is about people was taken in before.
        _ => {}
    }
}

fn set_owner(tenant: &TenantId, account: &PrincipalId, owner: &PrincipalId, rows: &mut Rows<DirectoryRow>) {
    let Some(DirectoryRow::Account(row)) = rows.row(&account_key(tenant, account)) else { return };
    if let Some(before) = row.owner.replace(owner.clone()) {
        *rows.row(&owned_by(tenant, &before).text(account.as_str())) = None;
    }
    *rows.row(&owned_by(tenant, owner).text(account.as_str())) = Some(DirectoryRow::Belongs(account.to_string()));
}

/// Disables or enables a person or a service account: looked at first, so that no row is made where there is none.
fn set_disabled(tenant: &TenantId, principal: &PrincipalId, reason: Option<&String>, rows: &mut Rows<DirectoryRow>) {
    for key in [person_key(tenant, principal), account_key(tenant, principal)] {
        if rows.peek(&key).is_some() {
            match rows.row(&key) {
                Some(DirectoryRow::Person(row)) => row.disabled = reason.cloned(),
                Some(DirectoryRow::Account(row)) => row.disabled = reason.cloned(),
                _ => {}
            }
        }
    }
}

fn fold_access(event: &AccessEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    fold_command(event, recorded, rows);
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
        AccessEvent::GroupDefined { .. }
        | AccessEvent::GroupJoined { .. }
        | AccessEvent::GroupLeft { .. }
        | AccessEvent::GroupRemoved { .. } => groups::fold(event, tenant, recorded.entry.at, rows),
        AccessEvent::RoleRemoved { role, reason: _ } => *rows.row(&roles(tenant).text(role.as_str())) = None,
        AccessEvent::DenialSet { .. }
        | AccessEvent::DenialRemoved { .. }
        | AccessEvent::SeparationSet { .. }
        | AccessEvent::SeparationRemoved { .. }
        | AccessEvent::ElevationAllowed { .. }
        | AccessEvent::ElevationDisallowed { .. }
        | AccessEvent::ElevationRequested { .. }
        | AccessEvent::ElevationApproved { .. }
        | AccessEvent::ElevationRefused { .. }
        | AccessEvent::ElevationEnded { .. }
        | AccessEvent::ReviewStarted { .. }
        | AccessEvent::GrantsConfirmed { .. }
        | AccessEvent::ReviewClosed { .. }
        | AccessEvent::DataClassSet { .. } => {}
    }
}

fn set_trial(tenant: &TenantId, grant: &GrantId, until: Option<Timestamp>, rows: &mut Rows<DirectoryRow>) {
    let key = grants_of(tenant, &grant.to).text(grant.role.as_str()).text(grant.on.as_str());
    if let Some(DirectoryRow::Grant(row)) = rows.row(&key) {
        row.trial = until;
    }
}

fn fold_agent(event: &AgentEvent, recorded: &Recorded<'_>, rows: &mut Rows<DirectoryRow>) {
    fold_command(event, recorded, rows);
    let AgentEvent::Defined { agent, revision, spec } = event;
    let (spec, defined_at) = (spec.clone(), recorded.entry.at);
    *rows.row(&agents(&recorded.stream.tenant).text(agent.as_str())) =
        Some(DirectoryRow::Agent(StoredAgent { agent: agent.clone(), revision: *revision, spec, defined_at }));
}
