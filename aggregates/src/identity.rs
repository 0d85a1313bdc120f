//! Guards who exists in a tenant and with which keys: ids, names and secrets stand for one thing each.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use steward_events::command::{CreateAccount, DisableUser, IdentityCommand, InviteUser, IssueKey, RevokeKey};
use steward_events::digest::BodyHash;
use steward_events::event::{IdentityEvent, KeyHash, QuotaKind};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId, is_token};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::{KEY_BYTES_MAX, KeyRef, OPERATORS_KEY};
use steward_events::timestamp::Timestamp;

use crate::access::PERMISSIONS_MAX;
use crate::aggregate::{Aggregate, Stamp};
use crate::limit::{self, MODELS_MAX};

mod erasure;

pub use erasure::PersonErasure;

/// The most people and service accounts of one tenant.
pub const PRINCIPALS_MAX: usize = 100_000;

/// The most keys of one tenant that are not revoked.
pub const KEYS_MAX: usize = 100_000;

/// A tenant's people, service accounts and keys.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    principals: BTreeMap<PrincipalId, Principal>,
    keys: BTreeMap<KeyId, Key>,
    by_hash: HashMap<KeyHash, KeyId>,
    keys_live: usize,
}

/// A person or a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A service account's name; people's are sealed.
    pub name: Option<String>,
    /// Digest of a person's sealed profile.
    pub profile: Option<BodyHash>,
    /// Why it may do nothing any more, if so.
    pub disabled: Option<String>,
    /// How far its erasure is.
    pub erasure: PersonErasure,
}

impl Principal {
    const fn new(name: Option<String>, profile: Option<BodyHash>) -> Self {
        Self { name, profile, disabled: None, erasure: PersonErasure::None }
    }
}

/// What a key is for that names models and no permissions: calls, and its holder's own tasks.
pub const CALLING: &[&str] = &["model:invoke", "task:submit", "task:list", "task:show"];

/// A key, as issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As whom it acts.
    pub principal: PrincipalId,
    /// BLAKE3 of the secret.
    pub hash: KeyHash,
    /// Where its calls are booked, and the most that it can reach.
    pub scope: Scope,
    /// Models that the key may use; if empty, all that the grants allow.
    pub models: Vec<ModelId>,
    /// Moment at which the key stops working.
    pub expires: Option<Timestamp>,
    /// The agent it acts for, if one.
    pub agent: Option<AgentId>,
    /// The task it was made for, if one.
    pub task: Option<TaskId>,
    /// The permissions it is for; if empty, all that the grants allow, or [`CALLING`] if it names models.
    pub permissions: Vec<PermissionPattern>,
    /// The key that ends this one when it ends.
    pub parent: Option<KeyRef>,
    /// Why it works no more, if it was revoked.
    pub revoked: Option<String>,
}

impl Key {
    /// True once it was revoked or has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.revoked.is_some() || self.expires.is_some_and(|expires| expires <= now)
    }

    /// True if it reaches less than its principal does in `tenant`, which issued it, or not for good.
    pub fn is_narrowed(&self, tenant: &TenantId) -> bool {
        let Self { scope, models, expires, agent, task, permissions, .. } = self;
        let everywhere = *scope == Scope::everything() || *scope == Scope::tenant(tenant);
        let for_everything = models.is_empty() && permissions.is_empty() && agent.is_none() && task.is_none();
        !(everywhere && for_everything && expires.is_none())
    }

    /// True if it is for calls and the holder's own tasks only.
    pub const fn is_for_calling(&self) -> bool {
        self.permissions.is_empty() && !self.models.is_empty()
    }

    /// True if it is for this.
    pub fn is_for(&self, permission: &Permission) -> bool {
        if self.is_for_calling() {
            return CALLING.contains(&permission.as_str());
        }
        self.permissions.is_empty() || self.permissions.iter().any(|pattern| pattern.covers(permission))
    }

    /// True if it is for everything that `pattern` says.
    pub fn is_for_all_of(&self, pattern: &PermissionPattern) -> bool {
        if self.is_for_calling() {
            return CALLING.contains(&pattern.as_str());
        }
        self.permissions.is_empty() || self.permissions.iter().any(|own| pattern.is_part_of(own))
    }
}

impl Identity {
    /// A person or service account.
    pub fn principal(&self, id: &PrincipalId) -> Option<&Principal> {
        self.principals.get(id)
    }

    /// All people and service accounts.
    pub fn principals(&self) -> impl Iterator<Item = (&PrincipalId, &Principal)> {
        self.principals.iter()
    }

    /// A key, revoked ones included.
    pub fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Which key has this hash.
    pub fn key_of_hash(&self, hash: &KeyHash) -> Option<&KeyId> {
        self.by_hash.get(hash)
    }

    /// How many people there are that are not disabled.
    pub fn users(&self) -> usize {
        self.active(|known| known.profile.is_some())
    }

    /// How many service accounts there are that are not disabled.
    pub fn accounts(&self) -> usize {
        self.active(|known| known.name.is_some())
    }

    /// How many keys work at `at`, those of tasks left out.
    pub fn keys_at(&self, at: Timestamp) -> usize {
        self.keys.values().filter(|key| key.task.is_none() && !key.is_over(at)).count()
    }

    /// Every key, revoked ones included.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    fn active(&self, is_one: impl Fn(&Principal) -> bool) -> usize {
        self.principals.values().filter(|known| known.disabled.is_none() && is_one(known)).count()
    }

    fn invite(&self, invite: &InviteUser, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        let Some(principal) = invite.principal.clone() else {
            return Err(Rejection::invalid("principal", "is missing"));
        };
        // Other prefixes mean other things: nobody can invite someone under the id of an operator or a program.
        let person = principal.as_str().starts_with("p_");
        let reserved = principal.as_str().starts_with(OPERATORS_KEY);
        let operator = stamp.tenant.is_steward() && principal.as_str().starts_with("op_") && !reserved;
        if !person && !operator {
            return Err(Rejection::invalid("principal", "must begin with p_; if left out, an id is made"));
        }
        let Some(profile) = invite.profile.sealed() else {
            return Err(Rejection::invalid("profile", "was not sealed"));
        };
        match self.principals.get(&principal) {
            Some(known) if known.disabled.is_some() => Err(disabled_for_good(&principal)),
            Some(known) if known.profile == Some(profile.digest()) => Ok(vec![]),
            Some(_) => Err(exists("principal", &principal)),
            None => {
                limit::count("principals", self.principals.len() + 1, PRINCIPALS_MAX)?;
                limit::quota(stamp, QuotaKind::Users, || self.users())?;
                Ok(vec![IdentityEvent::UserInvited { principal, profile: profile.clone() }])
            }
        }
    }

    fn create_account(&self, create: &CreateAccount, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        if !is_token(&create.name) {
            return Err(Rejection::invalid("name", "use 1 to 80 of a-z, 0-9, '_' and '-', e.g. support-bot"));
        }
        let principal = PrincipalId::service_account(&stamp.tenant, &create.name);
        match self.principals.get(&principal) {
            Some(known) if known.disabled.is_some() => Err(disabled_for_good(&principal)),
            Some(_) => Ok(vec![]),
            None => {
                limit::count("principals", self.principals.len() + 1, PRINCIPALS_MAX)?;
                limit::quota(stamp, QuotaKind::Accounts, || self.accounts())?;
                Ok(vec![IdentityEvent::AccountCreated { principal, name: create.name.clone() }])
            }
        }
    }

    fn disable(&self, disable: &DisableUser) -> Result<Vec<IdentityEvent>, Rejection> {
        limit::reason(&disable.reason)?;
        let DisableUser { principal, reason } = disable.clone();
        match self.principals.get(&principal) {
            None => Err(Rejection::not_found("principal", &principal)),
            Some(known) if known.disabled.is_some() => Ok(vec![]),
            Some(_) => Ok(vec![IdentityEvent::UserDisabled { principal, reason }]),
        }
    }

    fn issue_key(&self, issue: &IssueKey, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        let Some(id) = issue.key.clone() else {
            return Err(Rejection::invalid("key", "is missing"));
        };
        let key = requested(issue, &stamp.tenant);
        if let Some(known) = self.keys.get(&id) {
            let same = Key { revoked: known.revoked.clone(), ..key } == *known;
            return if same { Ok(vec![]) } else { Err(exists("key", &id)) };
        }
        if !id.as_str().starts_with("key_") {
            return Err(Rejection::invalid("key", "must begin with key_; if left out, an id is made"));
        }
        if id.as_str().len() > KEY_BYTES_MAX {
            return Err(Rejection::invalid(
                "key",
                format!("has at most {KEY_BYTES_MAX} characters; if left out, an id is made"),
            ));
        }
        if self.by_hash.contains_key(&key.hash) {
            return Err(Rejection::invalid("hash", "another key already has this secret"));
        }
        self.check_holder(&key, stamp)?;
        if !stamp.tenant.is_steward() && !key.scope.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scope", format!("{} is outside tenant {}", key.scope, stamp.tenant)));
        }
        limit::count("models", key.models.len(), MODELS_MAX)?;
        limit::count("permissions", key.permissions.len(), PERMISSIONS_MAX)?;
        limit::future("expires", key.expires, stamp.at)?;
        limit::count("keys", self.keys_live + 1, KEYS_MAX)?;
        if key.task.is_none() {
            limit::quota(stamp, QuotaKind::Keys, || self.keys_at(stamp.at))?;
        }
        let Key { principal, hash, scope, models, expires, agent, task, permissions, parent, revoked: _ } = key;
        let key = id;
        Ok(vec![IdentityEvent::KeyIssued {
            key,
            principal,
            hash,
            scope,
            models,
            expires,
            agent,
            task,
            permissions,
            parent,
        }])
    }

    /// A key acts as someone who is here. A task's key acts as its submitter, who may be an operator from elsewhere.
    fn check_holder(&self, key: &Key, stamp: &Stamp) -> Result<(), Rejection> {
        let of_a_task = key.agent.is_some() || key.task.is_some() || key.parent.is_some();
        if of_a_task && !stamp.actor.is_system() {
            return Err(Rejection::invalid("task", "only parts of Steward issue keys for agents and tasks"));
        }
        match self.principals.get(&key.principal) {
            Some(known) if known.disabled.is_some() => {
                Err(Rejection::invalid("principal", format!("{} is disabled", key.principal)))
            }
            None if key.task.is_none() => Err(Rejection::not_found("principal", &key.principal)),
            _ => Ok(()),
        }
    }

    fn revoke_key(&self, revoke: &RevokeKey) -> Result<Vec<IdentityEvent>, Rejection> {
        limit::reason(&revoke.reason)?;
        match self.keys.get(&revoke.key) {
            None => Err(Rejection::not_found("key", &revoke.key)),
            Some(key) if key.revoked.is_some() => Ok(vec![]),
            Some(_) => Ok(vec![IdentityEvent::KeyRevoked { key: revoke.key.clone(), reason: revoke.reason.clone() }]),
        }
    }
}

fn requested(issue: &IssueKey, tenant: &TenantId) -> Key {
    Key {
        principal: issue.principal.clone(),
        hash: issue.hash.clone(),
        scope: issue.scope.clone().unwrap_or_else(|| Scope::tenant(tenant)),
        models: issue.models.clone(),
        expires: issue.expires,
        agent: issue.agent.clone(),
        task: issue.task.clone(),
        permissions: issue.permissions.clone(),
        parent: issue.parent.clone(),
        revoked: None,
    }
}

fn exists(what: &str, id: &impl ToString) -> Rejection {
    Rejection::AlreadyExists { what: what.to_owned(), id: id.to_string() }
}

fn disabled_for_good(principal: &PrincipalId) -> Rejection {
    Rejection::stale(format!("{principal} was disabled, which cannot be undone; use another name"))
}

impl Aggregate for Identity {
    type Command = IdentityCommand;
    type Event = IdentityEvent;

    fn decide(&self, command: &IdentityCommand, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        match command {
            IdentityCommand::InviteUser(invite) => self.invite(invite, stamp),
            IdentityCommand::DisableUser(disable) => self.disable(disable),
            IdentityCommand::EraseUser(erase) => self.erase(erase),
            IdentityCommand::RecordDestroyedKey(record) => self.record_destroyed(record),
            IdentityCommand::CreateAccount(create) => self.create_account(create, stamp),
            IdentityCommand::IssueKey(issue) => self.issue_key(issue, stamp),
            IdentityCommand::RevokeKey(revoke) => self.revoke_key(revoke),
        }
    }

    fn apply(&mut self, event: &IdentityEvent, _: Timestamp) {
        match event.clone() {
            IdentityEvent::AccountCreated { principal, name } => {
                self.principals.insert(principal, Principal::new(Some(name), None));
            }
            IdentityEvent::UserInvited { principal, profile } => {
                let profile = Some(profile.digest());
                self.principals.insert(principal, Principal::new(None, profile));
            }
            IdentityEvent::UserDisabled { principal, reason } => {
                if let Some(known) = self.principals.get_mut(&principal) {
                    known.disabled = Some(reason);
                }
            }
            IdentityEvent::UserErased { principal, reason: _ } => self.erasure(&principal, PersonErasure::Erased),
            IdentityEvent::UserKeyDestroyed { principal, wrapped: _ } => {
                self.erasure(&principal, PersonErasure::KeyDestroyed);
            }
            IdentityEvent::KeyIssued {
                key,
                principal,
                hash,
                scope,
                models,
                expires,
                agent,
                task,
                permissions,
                parent,
            } => {
                self.by_hash.insert(hash.clone(), key.clone());
                let issued =
                    Key { principal, hash, scope, models, expires, agent, task, permissions, parent, revoked: None };
                if self.keys.insert(key, issued).is_none() {
                    self.keys_live += 1;
                }
            }
            IdentityEvent::KeyRevoked { key, reason } => {
                if let Some(known) = self.keys.get_mut(&key)
                    && known.revoked.replace(reason).is_none()
                {
                    self.keys_live = self.keys_live.saturating_sub(1);
                }
            }
        }
    }

    fn answer(&self, command: &IdentityCommand) -> serde_json::Value {
        match command {
            IdentityCommand::InviteUser(invite) => json!({ "principal": invite.principal }),
            IdentityCommand::DisableUser(disable) => json!({ "principal": disable.principal }),
            IdentityCommand::EraseUser(erase) => json!({ "principal": erase.principal }),
            IdentityCommand::RecordDestroyedKey(record) => json!({ "principal": record.principal }),
            IdentityCommand::CreateAccount(create) => {
                let named = self.principals.iter().find(|(_, known)| known.name.as_ref() == Some(&create.name));
                json!({ "principal": named.map(|(id, _)| id), "name": create.name })
            }
            IdentityCommand::IssueKey(issue) => {
                let scope = issue.key.as_ref().and_then(|key| self.keys.get(key)).map(|key| &key.scope);
                json!({ "key": issue.key, "principal": issue.principal, "scope": scope, "expires": issue.expires })
            }
            IdentityCommand::RevokeKey(revoke) => json!({ "key": revoke.key }),
        }
    }
}

#[cfg(test)]
mod tests;
