//! Closes leases whose ground is gone: a key revoked, a principal disabled, a grant taken back, a tenant suspended.
//!
//! No call needs this to be refused (each asks the authority freshly); it hands back at once what was lent for calls
//! that cannot come any more. It must not know why something was revoked: it asks the authority again.

use std::sync::Arc;
use std::time::Duration;

use steward_authority::{AccessRequest, Context};
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::scope::ScopeSet;
use steward_events::sender::KeyRef;
use steward_ports::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::admission::Admission;

/// How often to look whether the authority has changed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often to look in any case, because keys and grants expire without an event.
const EXPIRY_EVERY: Duration = Duration::from_secs(5);

/// Watches until `shutdown`.
pub(crate) async fn watch(
    access: Arc<Access>,
    admission: Arc<Admission>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    let mut seen = access.authority().positions();
    let mut looked = clock.monotonic();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let (positions, now) = (access.authority().positions(), clock.monotonic());
        if positions != seen || now.saturating_sub(looked) >= EXPIRY_EVERY {
            (seen, looked) = (positions, now);
            admission.close_for("revoked", |tenant, scopes| !may_still(&access, &*clock, tenant, scopes));
        }
    }
}

fn may_still(access: &Access, clock: &dyn Clock, tenant: &TenantId, scopes: &ScopeSet) -> bool {
    let request = AccessRequest {
        tenant: tenant.clone(),
        principal: scopes.principal.clone(),
        // A call is booked in the tenant of its key.
        key: Some(KeyRef { tenant: tenant.clone(), key: scopes.key.clone() }),
        permission: Permission::model_invoke(),
        scope: scopes.path.clone(),
        // A grant may hold for cheap calls only, or for a class of data; the cheapest of any class is still a reason to keep
        // the lease.
        context: Context {
            model: Some(scopes.model.clone()),
            cost: Some(NanoDollars(0)),
            any_class: true,
            ..Context::default()
        },
    };
    access.authority().read().authorise(&request, clock.now()).is_ok()
}
