//! How many connections callers have at once: of one principal, of one tenant, in all. The server itself knows no such bound,
//! and each connection may let much wait for it.
//!
//! Counted by the process that let them in; the server says when one has closed. An entry that was never taken back (the
//! server died) is forgotten when its login would have ended anyway.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steward_events::id::{PrincipalId, TenantId};
use steward_ports::bus::BusCaller;

use super::sessions::ClientId;

/// Connections of callers to the bus at once, as far as one gateway let them in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logins {
    /// Of all tenants.
    pub connections_max: usize,
    /// Of one tenant.
    pub connections_per_tenant_max: usize,
    /// Of one principal, whatever their keys.
    pub connections_per_principal_max: usize,
}

impl Default for Logins {
    fn default() -> Self {
        Self { connections_max: 4_096, connections_per_tenant_max: 256, connections_per_principal_max: 32 }
    }
}

/// Those that are open.
pub(super) struct Connections {
    bounds: Logins,
    time_max: Duration,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    clients: HashMap<ClientId, Client>,
    tenants: HashMap<TenantId, usize>,
    principals: HashMap<(TenantId, PrincipalId), usize>,
}

struct Client {
    tenant: TenantId,
    principal: PrincipalId,
    since: Duration,
}

impl Connections {
    /// With these bounds; no login lasts longer than `time_max`.
    pub(super) fn new(bounds: Logins, time_max: Duration) -> Self {
        Self { bounds, time_max, open: Mutex::default() }
    }

    /// Counts `client`, as of a moment of the monotonic clock.
    ///
    /// # Errors
    /// Whose connections are too many.
    pub(super) fn begin(&self, client: ClientId, caller: &BusCaller, now: Duration) -> Result<(), &'static str> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = self.full(&open, caller);
        if refused.is_some() {
            open.forget(|of| now.saturating_sub(of.since) >= self.time_max);
            refused = self.full(&open, caller);
        }
        if let Some(why) = refused {
            return Err(why);
        }
        let BusCaller { tenant, principal, .. } = caller;
        *open.tenants.entry(tenant.clone()).or_default() += 1;
        *open.principals.entry((tenant.clone(), principal.clone())).or_default() += 1;
        let counted = Client { tenant: tenant.clone(), principal: principal.clone(), since: now };
        if let Some(before) = open.clients.insert(client, counted) {
            open.take_back(&before);
        }
        drop(open);
        Ok(())
    }

    /// Takes back `client`, which has closed.
    pub(super) fn end(&self, client: &ClientId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = open.clients.remove(client) {
            open.take_back(&of);
        }
    }

    fn full(&self, open: &Open, BusCaller { tenant, principal, .. }: &BusCaller) -> Option<&'static str> {
        let of_principal = open.principals.get(&(tenant.clone(), principal.clone())).copied().unwrap_or_default();
        let of_tenant = open.tenants.get(tenant).copied().unwrap_or_default();
        if of_principal >= self.bounds.connections_per_principal_max {
            Some("this principal has as many connections as it may: close one first")
        } else if of_tenant >= self.bounds.connections_per_tenant_max {
            Some("this tenant has as many connections as it may: close one first")
        } else if open.clients.len() >= self.bounds.connections_max {
            Some("there are as many connections as there may be: come back later")
        } else {
            None
        }
    }
}

impl Open {
    fn take_back(&mut self, Client { tenant, principal, .. }: &Client) {
        one_less(&mut self.tenants, tenant);
        one_less(&mut self.principals, &(tenant.clone(), principal.clone()));
    }

    fn forget(&mut self, is_over: impl Fn(&Client) -> bool) {
        let over: Vec<Client> = self.clients.extract_if(|_, of| is_over(of)).map(|(_, of)| of).collect();
        for of in &over {
            self.take_back(of);
        }
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(of);
        }
    }
}
