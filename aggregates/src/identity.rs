//! Guards who exists in a tenant and with which keys: ids, names and secrets stand for one thing each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use steward_events::command::{CreateAccount, DisableUser, EnableUser, IdentityCommand, InviteUser, SetOwner, SetUser};
use steward_events::digest::BodyHash;
use steward_events::event::{IdentityEvent, KeyHash, QuotaKind};
use steward_events::id::{KeyId, PrincipalId, is_token};
use steward_events::rejection::Rejection;
use steward_events::sender::OPERATORS_KEY;
use steward_events::timestamp::Timestamp;

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

mod erasure;
mod key;

pub use erasure::PersonErasure;
pub use key::{ADDRESSES_MAX, CALLING, HOURS_MAX, Key, OVERLAP, OVERLAP_MAX};

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
    owned: BTreeMap<PrincipalId, BTreeSet<PrincipalId>>,
}

/// A person or a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// A service account's name; people's are sealed.
    pub name: Option<String>,
    /// Digest of a person's sealed profile.
    pub profile: Option<BodyHash>,
    /// Why it may do nothing, if so.
    pub disabled: Option<String>,
    /// The person who answers for it, if it is a service account that has one.
    pub owner: Option<PrincipalId>,
    /// How far its erasure is.
    pub erasure: PersonErasure,
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

    /// The service accounts that `owner` answers for.
    pub fn owned_by<'a>(&'a self, owner: &'a PrincipalId) -> impl Iterator<Item = &'a PrincipalId> {
        self.owned.get(owner).into_iter().flatten()
    }

    /// How many people there are that are not disabled.
    pub fn users(&self) -> usize {
        self.active(|known| known.profile.is_some())
    }

    /// How many service accounts there are that are not disabled.
    pub fn accounts(&self) -> usize {
        self.active(|known| known.name.is_some())
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
            Some(known) if known.disabled.is_some() => Err(is_disabled(&principal)),
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
            Some(known) if known.disabled.is_some() => Err(is_disabled(&principal)),
            Some(known) if create.owner.is_some() && create.owner != known.owner => {
                let reason =
                    format!("{principal} exists and has another owner; change that with: steward account set-owner");
                Err(Rejection::invalid("owner", reason))
            }
            Some(_) => Ok(vec![]),
            None => {
                limit::count("principals", self.principals.len() + 1, PRINCIPALS_MAX)?;
                limit::quota(stamp, QuotaKind::Accounts, || self.accounts())?;
                let owner = match &create.owner {
                    Some(owner) => Some(self.owner(owner)?),
                    // Who makes an account answers for it, if they are a person of this tenant.
                    None => self.owner(&stamp.actor).ok(),
                };
                let created = IdentityEvent::AccountCreated { principal: principal.clone(), name: create.name.clone() };
                let owned = owner.map(|owner| IdentityEvent::OwnerSet { account: principal, owner });
                Ok(std::iter::once(created).chain(owned).collect())
            }
        }
    }

    fn set_owner(&self, set: &SetOwner) -> Result<Vec<IdentityEvent>, Rejection> {
        let SetOwner { account, owner } = set;
        match self.principals.get(account) {
            None => Err(Rejection::not_found("account", account)),
            Some(_) if !account.is_account() => {
                Err(Rejection::invalid("account", "must be a service account, svc_…: nobody owns a person"))
            }
            Some(known) if known.owner.as_ref() == Some(owner) => Ok(vec![]),
            Some(_) => Ok(vec![IdentityEvent::OwnerSet { account: account.clone(), owner: self.owner(owner)? }]),
        }
    }

    /// The one who is to answer for an account: a person of this tenant who may act.
    fn owner(&self, owner: &PrincipalId) -> Result<PrincipalId, Rejection> {
        match self.principals.get(owner) {
            None => Err(Rejection::not_found("principal", owner)),
            Some(_) if owner.is_account() => {
                Err(Rejection::invalid("owner", format!("{owner} is a service account; a person must answer for one")))
            }
            Some(known) if known.disabled.is_some() => {
                Err(Rejection::invalid("owner", format!("{owner} is disabled; name somebody who may act")))
            }
            Some(_) => Ok(owner.clone()),
        }
    }

    fn set_user(&self, set: &SetUser) -> Result<Vec<IdentityEvent>, Rejection> {
        let Some(profile) = set.profile.sealed() else {
            return Err(Rejection::invalid("profile", "was not sealed"));
        };
        match self.principals.get(&set.principal) {
            None => Err(Rejection::not_found("person", &set.principal)),
            Some(known) if known.profile.is_none() => {
                Err(Rejection::invalid("principal", format!("{} has no profile: it is no person", set.principal)))
            }
            Some(known) if known.profile == Some(profile.digest()) => Ok(vec![]),
            Some(_) => {
                let (principal, profile) = (set.principal.clone(), profile.clone());
                Ok(vec![IdentityEvent::UserChanged { principal, profile }])
            }
        }
    }

    /// Whoever acts again counts again.
    fn enabling(&self, known: &Principal, stamp: &Stamp) -> Result<(), Rejection> {
        if known.profile.is_some() {
            limit::quota(stamp, QuotaKind::Users, || self.users())
        } else {
            limit::quota(stamp, QuotaKind::Accounts, || self.accounts())
        }
    }

    fn enable(&self, enable: &EnableUser, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        limit::reason(&enable.reason)?;
        let EnableUser { principal, reason } = enable.clone();
        match self.principals.get(&principal) {
            None => Err(Rejection::not_found("principal", &principal)),
            Some(known) if known.disabled.is_none() => Ok(vec![]),
            Some(_) if self.is_erased(&principal) => {
                Err(Rejection::stale(format!("{principal} was erased, which cannot be undone; invite them anew")))
            }
            Some(known) => {
                self.enabling(known, stamp)?;
                Ok(vec![IdentityEvent::UserEnabled { principal, reason }])
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
}

fn exists(what: &str, id: &impl ToString) -> Rejection {
    Rejection::AlreadyExists { what: what.to_owned(), id: id.to_string() }
}

fn is_disabled(principal: &PrincipalId) -> Rejection {
    Rejection::stale(format!("{principal} was disabled; let it act again with: steward user enable {principal}"))
}

impl Aggregate for Identity {
    type Command = IdentityCommand;
    type Event = IdentityEvent;

    fn decide(&self, command: &IdentityCommand, stamp: &Stamp) -> Result<Vec<IdentityEvent>, Rejection> {
        match command {
            IdentityCommand::InviteUser(invite) => self.invite(invite, stamp),
            IdentityCommand::SetUser(set) => self.set_user(set),
            IdentityCommand::DisableUser(disable) => self.disable(disable),
            IdentityCommand::EnableUser(enable) => self.enable(enable, stamp),
            IdentityCommand::EraseUser(erase) => self.erase(erase),
            IdentityCommand::RecordDestroyedKey(record) => self.record_destroyed(record),
            IdentityCommand::CreateAccount(create) => self.create_account(create, stamp),
            IdentityCommand::SetOwner(set) => self.set_owner(set),
            IdentityCommand::IssueKey(issue) => self.issue_key(issue, stamp),
            IdentityCommand::RotateKey(rotate) => self.rotate_key(rotate, stamp),
            IdentityCommand::RevokeKey(revoke) => self.revoke_key(revoke),
        }
    }

    fn apply(&mut self, event: &IdentityEvent, _: Timestamp) {
        let nobody = Principal { name: None, profile: None, disabled: None, owner: None, erasure: PersonErasure::None };
        match event.clone() {
            IdentityEvent::AccountCreated { principal, name } => {
                self.principals.insert(principal, Principal { name: Some(name), ..nobody });
            }
            IdentityEvent::OwnerSet { account, owner } => {
                let Some(known) = self.principals.get_mut(&account) else { return };
                if let Some(owned) = known.owner.replace(owner.clone()).and_then(|before| self.owned.get_mut(&before)) {
                    owned.remove(&account);
                }
                self.owned.entry(owner).or_default().insert(account);
            }
            IdentityEvent::UserInvited { principal, profile } => {
                self.principals.insert(principal, Principal { profile: Some(profile.digest()), ..nobody });
            }
            IdentityEvent::UserChanged { principal, profile } => {
                if let Some(known) = self.principals.get_mut(&principal) {
                    known.profile = Some(profile.digest());
                }
            }
            IdentityEvent::UserEnabled { principal, reason: _ } => {
                if let Some(known) = self.principals.get_mut(&principal) {
                    known.disabled = None;
                }
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
            IdentityEvent::KeyIssued { .. } | IdentityEvent::KeyReplaced { .. } | IdentityEvent::KeyRevoked { .. } => {
                self.apply_to_keys(event);
            }
        }
    }

    fn answer(&self, command: &IdentityCommand) -> serde_json::Value {
        match command {
            IdentityCommand::InviteUser(invite) => json!({ "principal": invite.principal }),
            IdentityCommand::SetUser(set) => json!({ "principal": set.principal }),
            IdentityCommand::DisableUser(disable) => json!({ "principal": disable.principal }),
            IdentityCommand::EnableUser(enable) => json!({ "principal": enable.principal }),
            IdentityCommand::EraseUser(erase) => json!({ "principal": erase.principal }),
            IdentityCommand::RecordDestroyedKey(record) => json!({ "principal": record.principal }),
            IdentityCommand::CreateAccount(create) => {
                let named = self.principals.iter().find(|(_, known)| known.name.as_ref() == Some(&create.name));
                let owner = named.and_then(|(_, known)| known.owner.as_ref());
                json!({ "principal": named.map(|(id, _)| id), "name": create.name, "owner": owner })
            }
            IdentityCommand::SetOwner(set) => json!({ "account": set.account, "owner": set.owner }),
            IdentityCommand::IssueKey(issue) => {
                let scope = issue.key.as_ref().and_then(|key| self.keys.get(key)).map(|key| &key.scope);
                json!({ "key": issue.key, "principal": issue.principal, "scope": scope, "expires": issue.expires })
            }
            IdentityCommand::RotateKey(rotate) => {
                let ends = self.keys.get(&rotate.key).and_then(|old| old.expires);
                json!({ "key": rotate.successor, "replaces": rotate.key, "ends": ends })
            }
            IdentityCommand::RevokeKey(revoke) => json!({ "key": revoke.key }),
        }
    }
}

#[cfg(test)]
mod tests;
