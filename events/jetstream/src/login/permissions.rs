//! What a caller may do on the bus: speak as itself, hear its own answers, watch its tenant's log if it may read that.
//! Nothing else, and never the JetStream API: it takes reply and delivery subjects from its caller.

use steward_events::id::PrincipalId;
use steward_events::sender::KeyRef;
use steward_ports::bus::BusCaller;

use crate::role::{self, Permissions};

/// A caller's permissions.
pub(super) fn of(caller: &BusCaller) -> Permissions {
    let tenant = &caller.tenant;
    let is_operator = tenant.is_steward() && caller.principal.as_str().starts_with("op_");
    let mut may = Permissions::default();
    for name in names(caller) {
        // An operator acts in any tenant, as itself.
        let about = if is_operator { "*" } else { tenant.as_str() };
        may.publish.extend(["cmd", "qry"].map(|kind| format!("{kind}.{about}.{name}.>")));
        may.subscribe.push(format!("{}.>", role::inbox(tenant.as_str(), name.as_str())));
    }
    if caller.reads_log {
        may.subscribe.push(format!("evt.*.{tenant}.>"));
    }
    if is_operator {
        // And sees which services there are.
        may.publish.push("$SRV.>".to_owned());
    }
    may
}

/// As whom it may speak: as its key; and as its principal, if the key is no less.
fn names(caller: &BusCaller) -> Vec<PrincipalId> {
    let key = KeyRef { tenant: caller.tenant.clone(), key: caller.key.clone() };
    let principal = caller.whole.then(|| caller.principal.clone());
    std::iter::once(key.speaks_as()).chain(principal).collect()
}
