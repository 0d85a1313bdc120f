//! Who may log in to the bus: the holders of API keys, as whom their key says, by the same fresh authority as over HTTP;
//! and until when that holds.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use steward_calls::{Access, AuthenticatedKey};
use steward_events::event::DenialKind;
use steward_events::id::TenantId;
use steward_events::sender::KeyRef;
use steward_ports::bus::{Authenticator, BusCaller, LoginRefused};
use steward_ports::notes::{By, Note, Notes, What};

use crate::wrong_keys::WrongKeys;

/// Tells the bus's login who holds a key.
pub(crate) struct BusLogin {
    pub(crate) access: Arc<Access>,
    pub(crate) wrong_keys: Arc<WrongKeys>,
    pub(crate) notes: Notes,
}

#[async_trait]
impl Authenticator for BusLogin {
    async fn authenticate(&self, secret: &str, address: Option<IpAddr>) -> Option<BusCaller> {
        if !self.access.has_known(secret) && address.is_some_and(|address| !self.wrong_keys.count(address)) {
            // Before anything is asked of the log, as over HTTP.
            return None;
        }
        // A connection outlives its login, so a holder that cannot be confirmed now stays out.
        let AuthenticatedKey { holder, .. } = self.access.find(secret).await.ok()?;
        if let Err(why) = self.access.admit(&holder, address) {
            tracing::info!(tenant.id = %holder.tenant, key = %holder.key, %why, "a login to the bus is refused");
            return None;
        }
        let reads_log = self.access.may_read_log(&holder.key_ref(), &holder.principal);
        Some(BusCaller {
            tenant: holder.tenant.clone(),
            principal: holder.principal.clone(),
            key: holder.key.clone(),
            expires: holder.expires,
            whole: holder.whole,
            reads_log,
        })
    }

    fn holds(&self, caller: &BusCaller) -> bool {
        let key = KeyRef { tenant: caller.tenant.clone(), key: caller.key.clone() };
        self.access.still_holds(&key, &caller.principal)
            && (!caller.reads_log || self.access.may_read_log(&key, &caller.principal))
    }

    fn version(&self) -> u64 {
        self.access.authority().positions().iter().fold(0, |sum, position| sum.wrapping_add(position.0))
    }

    fn refused(&self, refused: LoginRefused<'_>) {
        let LoginRefused { caller, address, why } = refused;
        let (tenant, by) = match (caller, address) {
            (Some(caller), _) => (caller.tenant.clone(), By::Principal(caller.principal.clone())),
            (None, Some(address)) => (TenantId::steward(), By::Address(address)),
            (None, None) => (TenantId::steward(), By::Many),
        };
        self.notes.note(Note {
            tenant,
            by,
            what: What::Denial(DenialKind::Login),
            permission: None,
            scope: None,
            text: why.to_owned(),
            correlation: None,
        });
    }
}
