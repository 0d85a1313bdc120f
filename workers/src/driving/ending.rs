//! What is driven ends with the key by which it was submitted: when that is revoked or expires, or its holder is disabled.
//!
//! Its calls are refused then anyway, and so is a new key for it; here a worker hears of it, so that it stops what it is
//! doing and says why.

use std::time::Duration;

use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::Shard;
use steward_events::sender::KeyRef;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::NotFresh;

use super::Keys;
use crate::wake;

/// How often to look in any case: keys expire without an event.
const EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// How long the log may take to say what it holds.
const CONFIRM_TIME_MAX: Duration = Duration::from_secs(5);

/// Who submitted something, where and with which key.
#[derive(Clone, Copy)]
pub(crate) struct Submitter<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) shard: Shard,
    pub(crate) principal: &'a PrincipalId,
    pub(crate) key: Option<&'a KeyRef>,
}

/// Waits until nothing may be done for the submitter any more, and says why.
pub(crate) async fn ended(keys: &Keys, clock: &dyn Clock, submitter: Submitter<'_>) -> String {
    loop {
        let seen = keys.positions();
        if submitter.gone(keys, clock).is_some() && confirm(keys, submitter.shard).await.is_ok() {
            // A key that is not known yet looks like one that is gone: only what is known now counts.
            if let Some(why) = submitter.gone(keys, clock) {
                return why;
            }
        }
        wake::moved(keys, &seen, EXPIRY_EVERY).await;
    }
}

impl Submitter<'_> {
    fn gone(&self, keys: &Keys, clock: &dyn Clock) -> Option<String> {
        keys.read().ended(self.key?, self.principal, self.tenant, clock.now())
    }
}

async fn confirm(keys: &Keys, shard: Shard) -> Result<(), NotFresh> {
    for shard in [shard, STEWARD_SHARD] {
        keys.confirm(shard, Duration::ZERO, CONFIRM_TIME_MAX).await?;
    }
    Ok(())
}
