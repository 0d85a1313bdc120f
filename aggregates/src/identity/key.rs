//! Keys: what each is for, how one is issued, replaced and revoked.

use std::time::Duration;

use steward_events::command::{IssueKey, RevokeKey, RotateKey};
use steward_events::event::{AddressRange, IdentityEvent, KeyHash, OpenHours, QuotaKind};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::{KEY_BYTES_MAX, KeyRef};
use steward_events::timestamp::Timestamp;

use super::{Identity, KEYS_MAX, exists};
use crate::access::PERMISSIONS_MAX;
use crate::aggregate::Stamp;
use crate::limit::{self, MODELS_MAX};

/// What a key is for that names models and no permissions: calls, and its holder's own tasks.
pub const CALLING: &[&str] = &["model:invoke", "task:submit", "task:list", "task:show"];

/// The most ranges of addresses that one key names.
pub const ADDRESSES_MAX: usize = 64;

/// The most hours that one key names.
pub const HOURS_MAX: usize = 32;

/// How long a key that was replaced goes on working, if nobody says it.
pub const OVERLAP: Duration = Duration::from_hours(24);

/// The longest that it may.
pub const OVERLAP_MAX: Duration = Duration::from_hours(24 * 30);

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
    /// From where it may be used; from everywhere if empty.
    pub addresses: Vec<AddressRange>,
    /// When it may be used; always if empty.
    pub hours: Vec<OpenHours>,
    /// The first of the keys that this one replaces, if it replaces one.
    pub line: Option<KeyId>,
    /// The key that was made in its place, if one was.
    pub replaced_by: Option<KeyId>,
    /// Why it works no more, if it was revoked.
    pub revoked: Option<String>,
}

impl Key {
    /// True once it was revoked or has expired.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.revoked.is_some() || self.expires.is_some_and(|expires| expires <= now)
    }

    /// True outside of the hours in which it may be used.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        !self.hours.is_empty() && !self.hours.iter().any(|hours| hours.contain(now))
    }

    /// True if it reaches less than its principal does in `tenant`, which issued it, or not for good.
    pub fn is_narrowed(&self, tenant: &TenantId) -> bool {
        let Self { scope, models, expires, agent, task, permissions, addresses, hours, .. } = self;
        let everywhere = *scope == Scope::everything() || *scope == Scope::tenant(tenant);
        let for_everything = models.is_empty() && permissions.is_empty() && agent.is_none() && task.is_none();
        let always = expires.is_none() && addresses.is_empty() && hours.is_empty();
        !(everywhere && for_everything && always)
    }

    /// True if it was made for an agent or a task.
    pub const fn is_of_a_task(&self) -> bool {
        self.agent.is_some() || self.task.is_some() || self.parent.is_some()
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

    fn issued(self, key: KeyId) -> IdentityEvent {
        let Self { principal, hash, scope, models, expires, agent, task, permissions, parent, .. } = self;
        let Self { addresses, hours, line, .. } = self;
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
            addresses,
            hours,
            line,
        }
    }
}

impl Identity {
    /// A key, revoked ones included.
    pub fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(id)
    }

    /// Which key has this hash.
    pub fn key_of_hash(&self, hash: &KeyHash) -> Option<&KeyId> {
        self.by_hash.get(hash)
    }

    /// How many keys work at `at`, those of tasks left out. A key that was replaced is one with its successor.
    pub fn keys_at(&self, at: Timestamp) -> usize {
        self.keys.values().filter(|key| key.task.is_none() && key.replaced_by.is_none() && !key.is_over(at)).count()
    }

    /// Every key, revoked ones included.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    pub(super) fn issue_key(&self, issue: &IssueKey, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        let Some(id) = issue.key.clone() else {
            return Err(Rejection::invalid("key", "is missing"));
        };
        let key = requested(issue, stamp);
        if let Some(known) = self.keys.get(&id) {
            let same = Key { revoked: known.revoked.clone(), ..key } == *known;
            return if same { Ok(vec![]) } else { Err(exists("key", &id)) };
        }
        self.check_new("key", &id, &key.hash)?;
        self.check_holder(&key, stamp)?;
        if !stamp.tenant.is_steward() && !key.scope.is_within(&stamp.tenant) {
            return Err(Rejection::invalid("scope", format!("{} is outside tenant {}", key.scope, stamp.tenant)));
        }
        limit::count("models", key.models.len(), MODELS_MAX)?;
        limit::count("permissions", key.permissions.len(), PERMISSIONS_MAX)?;
        limit::count("addresses", key.addresses.len(), ADDRESSES_MAX)?;
        limit::count("hours", key.hours.len(), HOURS_MAX)?;
        key.hours.iter().try_for_each(limit::hours)?;
        limit::future("expires", key.expires, stamp.at)?;
        limit::count("keys", self.keys_live + 1, KEYS_MAX)?;
        if key.task.is_none() {
            limit::quota(stamp, QuotaKind::Keys, || self.keys_at(stamp.at))?;
        }
        Ok(vec![key.issued(id)])
    }

    /// That a new key may have this id, which stands in the field `field`, and this secret.
    fn check_new(&self, field: &str, id: &KeyId, hash: &KeyHash) -> Result<(), Rejection> {
        if !id.as_str().starts_with("key_") {
            return Err(Rejection::invalid(field, "must begin with key_; if left out, an id is made"));
        }
        if id.as_str().len() > KEY_BYTES_MAX {
            let reason = format!("has at most {KEY_BYTES_MAX} characters; if left out, an id is made");
            return Err(Rejection::invalid(field, reason));
        }
        if self.by_hash.contains_key(hash) {
            return Err(Rejection::invalid("hash", "another key already has this secret"));
        }
        Ok(())
    }

    /// A key acts as someone who is here. A task's key acts as its submitter, who may be an operator from elsewhere.
    fn check_holder(&self, key: &Key, stamp: &Stamp) -> Result<(), Rejection> {
        if key.is_of_a_task() && !stamp.actor.is_system() {
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

    /// A new key that may what the old one may, which ends after a while. The old one's own end does not move.
    pub(super) fn rotate_key(&self, rotate: &RotateKey, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        let Some(id) = rotate.successor.clone() else {
            return Err(Rejection::invalid("successor", "is missing"));
        };
        let Some(old) = self.keys.get(&rotate.key) else { return Err(Rejection::not_found("key", &rotate.key)) };
        if let Some(by) = &old.replaced_by {
            let same = *by == id && self.keys.get(by).is_some_and(|key| key.hash == rotate.hash);
            let reason = || format!("{} was replaced by {by} already; replace that one", rotate.key);
            return if same { Ok(vec![]) } else { Err(Rejection::stale(reason())) };
        }
        if old.is_over(stamp.at) {
            return Err(Rejection::stale(format!("{} was revoked or has expired; issue a new key", rotate.key)));
        }
        if old.is_of_a_task() {
            return Err(Rejection::invalid("key", "was made for a task and ends with it; it is not replaced"));
        }
        if self.keys.contains_key(&id) {
            return Err(exists("key", &id));
        }
        self.check_new("successor", &id, &rotate.hash)?;
        self.check_holder(old, stamp)?;
        let overlap = rotate.overlap.unwrap_or(OVERLAP);
        if overlap > OVERLAP_MAX {
            let most = OVERLAP_MAX.as_secs() / 86_400;
            return Err(Rejection::invalid("overlap", format!("may last {most} days at most")));
        }
        limit::count("keys", self.keys_live + 1, KEYS_MAX)?;
        let ends = stamp.at.plus(overlap);
        let until = old.expires.map_or(ends, |expires| expires.min(ends));
        let line = Some(old.line.clone().unwrap_or_else(|| rotate.key.clone()));
        let new = Key { hash: rotate.hash.clone(), line, ..old.clone() };
        let replaced = IdentityEvent::KeyReplaced { key: rotate.key.clone(), by: id.clone(), until };
        Ok(vec![new.issued(id), replaced])
    }

    pub(super) fn revoke_key(&self, revoke: &RevokeKey) -> Result<Vec<IdentityEvent>, Rejection> {
        limit::reason(&revoke.reason)?;
        match self.keys.get(&revoke.key) {
            None => Err(Rejection::not_found("key", &revoke.key)),
            Some(key) if key.revoked.is_some() => Ok(vec![]),
            Some(_) => Ok(vec![IdentityEvent::KeyRevoked { key: revoke.key.clone(), reason: revoke.reason.clone() }]),
        }
    }

    /// Takes in what concerns keys; anything else is none of this.
    pub(super) fn apply_to_keys(&mut self, event: &IdentityEvent) {
        match event.clone() {
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
                addresses,
                hours,
                line,
            } => {
                self.by_hash.insert(hash.clone(), key.clone());
                let issued = Key {
                    principal,
                    hash,
                    scope,
                    models,
                    expires,
                    agent,
                    task,
                    permissions,
                    parent,
                    addresses,
                    hours,
                    line,
                    replaced_by: None,
                    revoked: None,
                };
                if self.keys.insert(key, issued).is_none() {
                    self.keys_live += 1;
                }
            }
            IdentityEvent::KeyReplaced { key, by, until } => {
                if let Some(known) = self.keys.get_mut(&key) {
                    known.expires = Some(known.expires.map_or(until, |expires| expires.min(until)));
                    known.replaced_by = Some(by);
                }
            }
            IdentityEvent::KeyRevoked { key, reason } => {
                if let Some(known) = self.keys.get_mut(&key)
                    && known.revoked.replace(reason).is_none()
                {
                    self.keys_live = self.keys_live.saturating_sub(1);
                }
            }
            // What is about people is taken in elsewhere.
            _ => {}
        }
    }
}

fn requested(issue: &IssueKey, stamp: &Stamp) -> Key {
    Key {
        principal: issue.principal.clone(),
        hash: issue.hash.clone(),
        scope: issue.scope.clone().unwrap_or_else(|| Scope::tenant(&stamp.tenant)),
        models: issue.models.clone(),
        expires: issue.expires,
        agent: issue.agent.clone(),
        task: issue.task.clone(),
        permissions: issue.permissions.clone(),
        parent: issue.parent.clone(),
        addresses: issue.addresses.clone(),
        hours: issue.hours.iter().cloned().map(|hours| hours.or_zone(&stamp.timezone)).collect(),
        line: None,
        replaced_by: None,
        revoked: None,
    }
}
