//! Key → who acts, and whether they may: from the live authority, and only while that is known to be fresh.
//!
//! Knows how fresh is fresh enough and what to tell those who try keys. It must not know what is asked for, nor decide
//! anything itself: [`Authority`] does, by the same code as the handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, header};
use steward_aggregates::authority::{AccessRequest, Authority, Context, KeyHolder};
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::{Live, NotFresh};
use steward_ports::log::{EventLog, LogError};
use steward_ports::placement::Placement;

use crate::config::Config;
use crate::error::Error;

/// The longest text that is looked at as a key.
const KEY_BYTES_MAX: usize = 200;
/// Addresses whose wrong keys are remembered; beyond that the old ones are forgotten.
const ADDRESSES_MAX: usize = 65_536;

/// Who holds which key, and what they may.
pub(crate) struct Keys {
    authority: Live<Authority>,
    placement: Placement,
    clock: Arc<dyn Clock>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
    fresh_age_max: Duration,
    fresh_wait_max: Duration,
}

/// Somebody whose key was found, and where their tenant lives.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Who, with which key.
    pub(crate) holder: KeyHolder,
    /// The shard of their tenant.
    pub(crate) shard: Shard,
}

impl Keys {
    /// Starts to follow the log.
    pub(crate) fn start(log: &Arc<dyn EventLog>, clock: &Arc<dyn Clock>, config: &Config) -> Self {
        Self {
            authority: Live::start(Arc::clone(log), Arc::clone(clock)),
            placement: Placement::new(Arc::clone(log)),
            clock: Arc::clone(clock),
            wrong: RateLimiter::keyed(Quota::per_minute(config.wrong_keys_per_minute_max)),
            fresh_age_max: config.fresh_age_max,
            fresh_wait_max: config.fresh_wait_max,
        }
    }

    /// The live fold, for what only needs to look.
    pub(crate) const fn authority(&self) -> &Live<Authority> {
        &self.authority
    }

    /// Who holds `secret`. `peer` is where it came from; the bus does not say.
    pub(crate) async fn find(&self, secret: &str, peer: Option<IpAddr>) -> Result<Known, Error> {
        if !self.authority.read().has_known(secret) {
            // Before anything is asked of the log: guessing must stay cheap for us. Keys are never held up by others
            // behind the same address, and one that was revoked is told so however often it comes.
            self.wrong_key_from(peer)?;
        }
        let Some(tenant) = tenant_of(secret) else { return Err(Error::WrongKey) };
        let Some(shard) = self.shard(&tenant).await? else { return Err(Error::WrongKey) };
        self.confirm(shard).await?;
        let holder = || self.authority.read().authenticate(secret, self.clock.now()).filter(|at| at.tenant == tenant);
        if let Some(holder) = holder() {
            return Ok(Known { holder, shard });
        }
        if !self.authority.read().has_known(secret) {
            // Fresh enough to say yes is not fresh enough to say no: it may have been issued a moment ago.
            self.confirm_now(shard).await?;
        }
        holder().map(|holder| Known { holder, shard }).ok_or(Error::WrongKey)
    }

    /// Makes sure that what is known of a tenant's keys and grants, and of the defaults all inherit, is fresh.
    pub(crate) async fn confirm(&self, shard: Shard) -> Result<(), NotFresh> {
        self.confirm_within(shard, self.fresh_age_max).await
    }

    /// Makes sure that it holds all that was recorded when this is called. Before a no: what would have allowed it may
    /// have been recorded a moment ago.
    pub(crate) async fn confirm_now(&self, shard: Shard) -> Result<(), NotFresh> {
        self.confirm_within(shard, Duration::ZERO).await
    }

    async fn confirm_within(&self, shard: Shard, age_max: Duration) -> Result<(), NotFresh> {
        let confirm = |shard| self.authority.confirm(shard, age_max, self.fresh_wait_max);
        if shard == STEWARD_SHARD {
            return confirm(shard).await;
        }
        let (own, inherited) = tokio::join!(confirm(shard), confirm(STEWARD_SHARD));
        own.and(inherited)
    }

    /// Ends with why `holder` may not, as soon as that is heard of: at once if it is known already.
    pub(crate) async fn until_withdrawn(&self, shard: Shard, may: impl Fn() -> Result<(), Rejection>) -> Rejection {
        let (Some(mut own), Some(mut inherited)) = (self.authority.moves(shard), self.authority.moves(STEWARD_SHARD))
        else {
            return std::future::pending().await;
        };
        loop {
            if let Err(why) = may() {
                return why;
            }
            tokio::select! {
                Ok(()) = own.changed() => {}
                Ok(()) = inherited.changed() => {}
                // The folds have ended with this process.
                else => return std::future::pending().await,
            }
        }
    }

    /// Whether `holder` may, as far as is known now. Confirm freshness first.
    pub(crate) fn authorise(
        &self,
        holder: &KeyHolder,
        tenant: &TenantId,
        permission: Permission,
        scope: Scope,
        context: Context,
    ) -> Result<(), Rejection> {
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: holder.principal.clone(),
            key: Some(holder.key.clone()),
            permission,
            scope,
            context,
        };
        self.authority.read().authorise_holder(holder, &request, self.clock.now()).map(|_| ())
    }

    /// Where `tenant` lives.
    pub(crate) async fn shard(&self, tenant: &TenantId) -> Result<Option<Shard>, Error> {
        let shard = tokio::time::timeout(self.fresh_wait_max, self.placement.shard(tenant)).await;
        shard
            .unwrap_or_else(|_| Err(LogError::Unavailable("no answer in time".into())))
            .map_err(|error| Error::Unavailable(error.to_string()))
    }

    fn wrong_key_from(&self, peer: Option<IpAddr>) -> Result<(), Error> {
        let Some(peer) = peer else { return Ok(()) };
        if self.wrong.len() > ADDRESSES_MAX {
            self.wrong.retain_recent();
        }
        self.wrong.check_key(&peer).map_err(|_| Error::TooManyWrongKeys)
    }
}

/// The secret of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Error::NoKey)?.to_str().map_err(|_| Error::WrongKey)?;
    let (scheme, secret) = value.split_once(' ').ok_or(Error::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::NoKey);
    }
    let secret = secret.trim();
    if secret.is_empty() { Err(Error::NoKey) } else { Ok(secret) }
}

/// The tenant that a key names: `stw_<tenant>_<secret>`, where the secret holds no `_`.
fn tenant_of(secret: &str) -> Option<TenantId> {
    if secret.len() > KEY_BYTES_MAX {
        return None;
    }
    secret.strip_prefix("stw_")?.rsplit_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_tenant() {
        assert_eq!(tenant_of("stw_acme_abc").unwrap().as_str(), "acme");
        assert_eq!(tenant_of("stw_a_b_abc").unwrap().as_str(), "a_b");
        for wrong in ["", "stw_", "stw_acme", "acme_abc", "stw_A_b", "stw_*_b", &format!("stw_a_{}", "x".repeat(300))] {
            assert!(tenant_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn only_a_bearer_is_a_key() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer  abc ").unwrap(), "abc");
        assert_eq!(read("bearer abc").unwrap(), "abc");
        for value in ["Basic abc", "abc", "Bearer ", "Bearer"] {
            assert!(matches!(read(value), Err(Error::NoKey)), "{value}");
        }
    }
}
