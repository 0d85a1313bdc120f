//! Secrets of a tenant, and which of its providers may use which: what they are is never known here.

use steward_events::command::{MakeSecret, RemoveSecret, SetSecret};
use steward_events::digest::BodyHash;
use steward_events::event::CatalogEvent;
use steward_events::id::{ProviderId, SecretId};
use steward_events::provider_key::KeyPlace;
use steward_events::rejection::Rejection;

use super::{Catalog, Provider, upstream};
use crate::aggregate::Stamp;
use crate::limit;

/// The most secrets of one tenant.
pub const SECRETS_MAX: usize = 1_000;

impl Provider {
    /// The secret that is its key, if a secret is.
    pub fn secret(&self) -> Option<SecretId> {
        match KeyPlace::read(self.key.as_deref()?)? {
            KeyPlace::Secret(secret) => Some(secret),
            KeyPlace::Environment(_) | KeyPlace::File(_) => None,
        }
    }
}

impl Catalog {
    /// The digest of a secret's recorded form: another for another secret of this name.
    pub fn secret(&self, secret: &SecretId) -> Option<BodyHash> {
        self.secrets.get(secret).copied()
    }

    /// A tenant's provider takes its key from the tenant's own secrets. Other references are read from the gateway's own
    /// surroundings: a tenant that chose both the reference and the URL could have any secret of the platform sent to
    /// itself.
    pub(super) fn check_key(&self, reference: &str, stamp: &Stamp) -> Result<(), Rejection> {
        match upstream::read_key(reference)? {
            KeyPlace::Secret(secret) if secret.is_system() => Err(reserved()),
            KeyPlace::Secret(secret) if self.secret(&secret).is_none() => {
                Err(Rejection::invalid("key", "there is no such secret: set it first, with steward secret set"))
            }
            KeyPlace::Environment(_) | KeyPlace::File(_) if !stamp.tenant.is_steward() => Err(Rejection::invalid(
                "key",
                "only providers of the tenant steward may refer to env: and file:; write secret:NAME, after steward secret set NAME",
            )),
            KeyPlace::Secret(_) | KeyPlace::Environment(_) | KeyPlace::File(_) => Ok(()),
        }
    }

    pub(super) fn set_secret(&self, set: &SetSecret) -> Result<Vec<CatalogEvent>, Rejection> {
        let SetSecret { secret, value } = set;
        if secret.is_system() {
            return Err(reserved());
        }
        let Some(value) = value.sealed() else {
            return Err(Rejection::invalid("value", "was not sealed"));
        };
        match self.secret(secret) {
            Some(known) if known == value.digest() => return Ok(vec![]),
            Some(_) => {}
            None => limit::count("secrets", self.secrets.len() + 1, SECRETS_MAX)?,
        }
        Ok(vec![CatalogEvent::SecretSet { secret: secret.clone(), value: value.clone() }])
    }

    /// Of several that make one at the same time, the first does; one that is there stays.
    pub(super) fn make_secret(&self, make: &MakeSecret) -> Result<Vec<CatalogEvent>, Rejection> {
        let MakeSecret { secret, value } = make;
        if !secret.is_system() {
            return Err(Rejection::invalid("secret", "does not begin with sys_"));
        }
        let Some(value) = value.sealed() else {
            return Err(Rejection::invalid("value", "was not sealed"));
        };
        if self.secret(secret).is_some() {
            return Ok(vec![]);
        }
        Ok(vec![CatalogEvent::SecretSet { secret: secret.clone(), value: value.clone() }])
    }

    pub(super) fn remove_secret(&self, remove: &RemoveSecret) -> Result<Vec<CatalogEvent>, Rejection> {
        let RemoveSecret { secret } = remove;
        if secret.is_system() {
            return Err(reserved());
        }
        if self.secret(secret).is_none() {
            return Err(Rejection::not_found("secret", secret));
        }
        if let Some(provider) = self.user_of(secret) {
            let reason = format!("the provider {provider} uses it: set that provider without it first");
            return Err(Rejection::invalid("secret", reason));
        }
        Ok(vec![CatalogEvent::SecretRemoved { secret: secret.clone() }])
    }

    /// A provider that takes its key from this secret.
    fn user_of(&self, secret: &SecretId) -> Option<&ProviderId> {
        let mut users = self.providers.iter().filter(|(_, provider)| provider.secret().as_ref() == Some(secret));
        users.next().map(|(provider, _)| provider)
    }
}

fn reserved() -> Rejection {
    Rejection::invalid("secret", "names that begin with sys_ are of Steward's own secrets: choose another")
}
