//! Who really acts: the holder of the key that a request names; or a principal, through the key that it must be.
//!
//! On the bus a principal may send under its own name while it holds a key that is not narrowed: which one, the subject
//! does not say. While a connection may be open that was made with such a key and has outlived it, nothing is taken under
//! that name that would outlast the connection, and nothing at all if no other such key is left. A key's own name says it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use steward_events::event::IdentityEvent;
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::sender::{KeyRef, SESSION_TIME_MAX};
use steward_events::timestamp::Timestamp;

use super::words::forbidden;
use super::{AccessRequest, Authority, is_of_steward};
use steward_aggregates::identity::{Identity, Key};

/// How far a login may lie behind the log, and two clocks apart.
const SLACK: Duration = Duration::from_secs(15);

/// The longest line of keys of which each ended the next: a task's key, that of the task which submitted it, and so on.
const LINEAGE_MAX: usize = 64;

/// Who really acts.
pub(super) struct Actor<'a> {
    pub(super) principal: PrincipalId,
    /// The key, if it is known which.
    pub(super) key: Option<HeldKey<'a>>,
}

/// A key that somebody acts with.
#[derive(Clone)]
pub(super) struct HeldKey<'a> {
    pub(super) named: KeyRef,
    pub(super) key: &'a Key,
    /// It, or the key that it was made by, works no more.
    pub(super) over: bool,
}

/// Through which keys principals may speak under their own names.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeKeys(HashMap<PrincipalId, OfPrincipal>);

#[derive(Clone, Debug, Default)]
struct OfPrincipal {
    live: BTreeSet<KeyId>,
    /// When the last of the others was revoked or replaced.
    revoked_at: Option<Timestamp>,
}

impl WholeKeys {
    /// Takes in an event that `identity`, of `tenant`, holds already.
    pub(super) fn read(&mut self, event: &IdentityEvent, identity: &Identity, tenant: &TenantId, at: Timestamp) {
        match event {
            IdentityEvent::KeyIssued { key: id, principal, .. } => {
                if identity.key(id).is_some_and(|key| !key.is_narrowed(tenant)) {
                    self.0.entry(principal.clone()).or_default().live.insert(id.clone());
                }
            }
            // A key that was replaced ends by itself, so from now on it speaks under its own name alone.
            IdentityEvent::KeyRevoked { key: id, .. } | IdentityEvent::KeyReplaced { key: id, .. } => {
                let Some(key) = identity.key(id) else { return };
                if let Some(of) = self.0.get_mut(&key.principal)
                    && of.live.remove(id)
                {
                    of.revoked_at = Some(at);
                }
            }
            IdentityEvent::AccountCreated { .. }
            | IdentityEvent::OwnerSet { .. }
            | IdentityEvent::UserInvited { .. }
            | IdentityEvent::UserChanged { .. }
            | IdentityEvent::UserEnabled { .. }
            | IdentityEvent::UserDisabled { .. }
            | IdentityEvent::UserErased { .. }
            | IdentityEvent::UserKeyDestroyed { .. } => {}
        }
    }
}

impl Authority {
    /// A key, revoked ones included.
    pub(super) fn key(&self, named: &KeyRef) -> Option<&Key> {
        self.tenants.get(&named.tenant)?.identity.key(&named.key)
    }

    /// The key, the one that it was made by, and so on.
    pub(super) fn lineage<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Key> {
        let parent = |key: &&'a Key| self.key(key.parent.as_ref()?);
        std::iter::successors(Some(key), parent).take(LINEAGE_MAX)
    }

    /// True if the key works no more, or one that it was made by.
    pub(super) fn is_over(&self, key: &Key, now: Timestamp) -> bool {
        let is_orphan = |key: &Key| key.parent.as_ref().is_some_and(|parent| self.key(parent).is_none());
        let mut length = 0;
        let over = self.lineage(key).inspect(|_| length += 1).any(|key| key.is_over(now) || is_orphan(key));
        over || length == LINEAGE_MAX
    }

    /// True outside of the key's hours, or of those of one that it was made by.
    pub(super) fn is_closed(&self, key: &Key, now: Timestamp) -> bool {
        self.lineage(key).any(|key| key.is_closed(now))
    }

    /// True if the key is for this, and so is each that it was made by.
    pub(super) fn is_for(&self, key: &Key, permission: &Permission) -> bool {
        self.lineage(key).all(|key| key.is_for(permission))
    }

    /// Who acts, and the key that narrows them.
    pub(super) fn actor(&self, request: &AccessRequest, now: Timestamp) -> Result<Actor<'_>, Rejection> {
        let AccessRequest { tenant, principal, key, .. } = request;
        let spoken = KeyRef::spoken(principal, tenant);
        let Some(named) = key.clone().or_else(|| spoken.clone()) else { return self.under_own_name(request, now) };
        let found = self.key(&named).filter(|key| spoken.is_some() || key.principal == *principal);
        // Ids of people may be the same in two tenants: of steward's, only operators are somebody elsewhere.
        let here = |key: &&Key| named.tenant == *tenant || is_of_steward(&key.principal);
        let Some(key) = found.filter(here) else {
            let reason = format!("{principal} has no key {} in tenant {tenant}", named.key);
            return Err(forbidden(request, reason, format!("steward key issue {principal}")));
        };
        let over = self.is_over(key, now);
        Ok(Actor { principal: key.principal.clone(), key: Some(HeldKey { named, key, over }) })
    }

    /// The only key that the principal can be speaking through; none if there are several, or if there is none at all.
    fn under_own_name(&self, request: &AccessRequest, now: Timestamp) -> Result<Actor<'_>, Rejection> {
        let AccessRequest { tenant, principal, .. } = request;
        let holder = if is_of_steward(principal) { TenantId::steward() } else { tenant.clone() };
        let unknown = Actor { principal: principal.clone(), key: None };
        let of = self.tenants.get(&holder).and_then(|rules| rules.whole_keys.0.get(principal));
        let Some(OfPrincipal { live, revoked_at }) = of else { return Ok(unknown) };
        let doubtful = revoked_at.is_some_and(|at| now < at.plus(SESSION_TIME_MAX + SLACK));
        if doubtful && live.is_empty() {
            let reason = format!("the key of {principal} was revoked, and this may come by it");
            return Err(forbidden(request, reason, "another key".to_owned()));
        }
        if doubtful {
            return Ok(unknown);
        }
        let mut keys = live.iter();
        let (Some(only), None) = (keys.next(), keys.next()) else { return Ok(unknown) };
        let named = KeyRef { tenant: holder, key: only.clone() };
        let held = self.key(&named).map(|key| HeldKey { named, over: self.is_over(key, now), key });
        Ok(Actor { key: held, ..unknown })
    }

    /// Why a principal that speaks under its own name must say with which key, for what would outlast that; none if it
    /// need not.
    pub(super) fn must_name_key(&self, request: &AccessRequest, now: Timestamp) -> Option<MustNameKey> {
        let AccessRequest { tenant, principal, .. } = request;
        let holder = if is_of_steward(principal) { TenantId::steward() } else { tenant.clone() };
        let OfPrincipal { live, revoked_at } = self.tenants.get(&holder)?.whole_keys.0.get(principal)?;
        let doubtful = revoked_at.is_some_and(|at| now < at.plus(SESSION_TIME_MAX + SLACK));
        let named = KeyRef { tenant: holder, key: live.first()?.clone() };
        let send_as = format!("send it as your key, e.g. cmd.<tenant>.{}.<noun>.<verb>", named.speaks_as());
        (doubtful || live.len() > 1).then_some(MustNameKey { doubtful, send_as })
    }
}

/// What is asked of a principal that speaks under its own name.
pub(super) struct MustNameKey {
    /// A key was revoked so short a time ago that a connection by it may be open.
    pub(super) doubtful: bool,
    /// What would help.
    pub(super) send_as: String,
}
