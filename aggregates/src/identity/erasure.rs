//! How a person is erased: decided first, then their data key is destroyed, and that is recorded.

use steward_events::command::{EraseUser, RecordDestroyedKey};
use steward_events::event::IdentityEvent;
use steward_events::id::PrincipalId;
use steward_events::rejection::Rejection;

use super::Identity;
use crate::limit;

/// How far a person's erasure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PersonErasure {
    /// Nobody asked for it.
    #[default]
    None,
    /// Nobody may read who they are.
    Erased,
    /// Their data key is gone.
    KeyDestroyed,
}

impl Identity {
    /// True once nobody may read who this person is.
    pub fn is_erased(&self, person: &PrincipalId) -> bool {
        self.principals.get(person).is_some_and(|known| known.erasure > PersonErasure::None)
    }

    pub(super) fn erasure(&mut self, person: &PrincipalId, erasure: PersonErasure) {
        if let Some(known) = self.principals.get_mut(person) {
            known.erasure = erasure;
        }
    }

    pub(super) fn erase(&self, erase: &EraseUser) -> Result<Vec<IdentityEvent>, Rejection> {
        limit::reason(&erase.reason)?;
        let EraseUser { principal, reason } = erase.clone();
        let Some(known) = self.principals.get(&principal) else {
            return Err(Rejection::not_found("principal", &principal));
        };
        if known.profile.is_none() {
            let refused = format!("{principal} is no person, so there is no profile to erase; disable it instead");
            return Err(Rejection::invalid("principal", refused));
        }
        if known.erasure > PersonErasure::None {
            return Ok(vec![]);
        }
        let disabled = || IdentityEvent::UserDisabled { principal: principal.clone(), reason: reason.clone() };
        let mut events: Vec<IdentityEvent> = known.disabled.is_none().then(disabled).into_iter().collect();
        events.push(IdentityEvent::UserErased { principal, reason });
        Ok(events)
    }

    pub(super) fn record_destroyed(&self, record: &RecordDestroyedKey) -> Result<Vec<IdentityEvent>, Rejection> {
        let RecordDestroyedKey { principal, wrapped } = record.clone();
        match self.principals.get(&principal).map(|known| known.erasure) {
            None => Err(Rejection::not_found("principal", &principal)),
            Some(PersonErasure::None) => Err(Rejection::stale(format!("{principal} was not erased"))),
            Some(PersonErasure::Erased) => Ok(vec![IdentityEvent::UserKeyDestroyed { principal, wrapped }]),
            Some(PersonErasure::KeyDestroyed) => Ok(vec![]),
        }
    }
}
