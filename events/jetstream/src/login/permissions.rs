//! What a caller may do on the bus: speak as itself, hear its own answers, watch its tenant's log. Nothing else, and
//! never the JetStream API: it takes reply and delivery subjects from its caller.

use steward_ports::bus::BusCaller;

use crate::role::{self, Permissions};

/// A caller's permissions.
pub(super) fn of(caller: &BusCaller) -> Permissions {
    let (tenant, principal) = (&caller.tenant, &caller.principal);
    let own = |kind: &str| format!("{kind}.{tenant}.{principal}.>");
    let mut may = Permissions {
        publish: vec![own("cmd"), own("qry")],
        publish_never: Vec::new(),
        subscribe: vec![format!("{}.>", role::inbox(tenant.as_str(), principal.as_str()))],
    };
    may.subscribe.push(format!("evt.*.{tenant}.>"));
    if tenant.is_steward() && principal.as_str().starts_with("op_") {
        // An operator acts in any tenant, as itself, and sees which services there are.
        may.publish.extend([format!("cmd.*.{principal}.>"), format!("qry.*.{principal}.>"), "$SRV.>".to_owned()]);
    }
    may
}
