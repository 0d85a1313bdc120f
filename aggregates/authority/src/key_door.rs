//! A key where it comes in: whether it may be used from there and now, before it is known for what.

use std::net::IpAddr;

use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;

use super::policy::Policy;
use super::words::forbidden;
use super::{AccessRequest, Authority, Context, KeyHolder};
use steward_aggregates::identity::Key;

impl Authority {
    /// Whether a key that was found may be used by somebody at `address` now; none if where they are cannot be known. This
    /// is asked once, at the door: who decides later what came in does not know the address.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] with the address or the hours that would do.
    pub fn admit(&self, holder: &KeyHolder, address: Option<IpAddr>, now: Timestamp) -> Result<(), Rejection> {
        let Some(key) = self.key(&holder.key_ref()) else { return Ok(()) };
        let policy = if self.is_closed(key, now) {
            Policy::KeyHours
        } else if !key.addresses.is_empty() && !address.is_some_and(|at| key.addresses.iter().any(|of| of.contains(at)))
        {
            Policy::KeyAddresses
        } else {
            return Ok(());
        };
        let request = Self::use_of(holder.key_ref(), holder, Context { address, ..Context::default() });
        let (reason, would_allow) = self.of_the_door(policy, key, address, now);
        Err(forbidden(&request, reason, would_allow))
    }

    /// True outside of the hours of a key: then what it opened is closed.
    pub fn is_out_of_hours(&self, key: &KeyRef, now: Timestamp) -> bool {
        self.key(key).is_some_and(|key| self.is_closed(key, now))
    }

    /// Why `secret` opens nothing, where it is a good key of a service account whose owner may not act.
    pub fn ownerless(&self, secret: &str, now: Timestamp) -> Option<Rejection> {
        let (tenant, id, key) = self.key_of(secret)?;
        if self.is_over(key, now) || !self.is_ownerless(&tenant, &key.principal) {
            return None;
        }
        let named = KeyRef { tenant: tenant.clone(), key: id.clone() };
        let request = AccessRequest {
            principal: key.principal.clone(),
            key: Some(named),
            permission: Permission::key_use(),
            scope: key.scope.clone(),
            context: Context::default(),
            tenant,
        };
        let reason = self.inactive(&request.tenant, &key.principal)?;
        Some(forbidden(&request, reason, set_owner(&key.principal)))
    }

    fn use_of(key: KeyRef, holder: &KeyHolder, context: Context) -> AccessRequest {
        AccessRequest {
            tenant: holder.tenant.clone(),
            principal: holder.principal.clone(),
            key: Some(key),
            permission: Permission::key_use(),
            scope: Scope::tenant(&holder.tenant),
            context,
        }
    }

    /// What is said of a key that may not be used from there, or now.
    pub(super) fn of_the_door(
        &self,
        policy: Policy,
        key: &Key,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> (String, String) {
        if policy == Policy::KeyHours {
            let closed = self.lineage(key).find(|key| key.is_closed(now)).unwrap_or(key);
            let hours: Vec<String> = closed.hours.iter().map(ToString::to_string).collect();
            let reason = format!("the key may be used only {}, and it is {now}", hours.join(" and "));
            return (reason, "the same within those hours, or a key that has others".to_owned());
        }
        let ranges: Vec<String> = key.addresses.iter().map(ToString::to_string).collect();
        let from = address.map_or_else(
            || "and from where this comes is not known: the proxy in front must say it in x-forwarded-for".to_owned(),
            |address| format!("and this comes from {address}"),
        );
        let reason = format!("the key may be used only from {}, {from}", ranges.join(" and "));
        (reason, "the same from there, or a key that has other --addresses".to_owned())
    }
}

/// What lets an account act again whose owner may not.
pub(super) fn set_owner(account: &steward_events::id::PrincipalId) -> String {
    format!("steward account set-owner {account} PERSON")
}
