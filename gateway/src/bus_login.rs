//! Who may log in to the bus: the holders of API keys, as whom their key says, by the same fresh authority as over HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use steward_calls::{Access, AuthenticatedKey};
use steward_ports::bus::{Authenticator, BusCaller};

/// Tells the bus's login who holds a key.
pub(crate) struct BusLogin(pub(crate) Arc<Access>);

#[async_trait]
impl Authenticator for BusLogin {
    async fn authenticate(&self, secret: &str) -> Option<BusCaller> {
        // A connection outlives its login, so a holder that cannot be confirmed now stays out.
        let AuthenticatedKey { holder, .. } = self.0.find(secret).await.ok()?;
        // On the bus a subject says who sends, not with which key.
        let principal = holder.speaks_as();
        Some(BusCaller { tenant: holder.tenant, principal, key: holder.key, expires: holder.expires })
    }
}
