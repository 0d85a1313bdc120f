//! The policies of `policies.cedar` as one function: what is asked at every request.
//!
//! Each rule stands here in the words of its policy. That both say the same is proved by `judge` over questions that
//! nobody thought of, and looked at again in production (see `policies`).

use steward_events::id::ModelId;
use steward_events::permission::Permission;

use super::policy::{Asker, Circumstances, Policy, Verdict, long};

/// Whether the asker may.
pub(super) fn verdict(of: &Circumstances<'_>, asker: &Asker<'_>) -> Verdict {
    if let Some(policy) = Policy::ALL.into_iter().find(|policy| forbids(*policy, of, asker)) {
        return Verdict::Forbidden(policy);
    }
    let covers = asker.held().is_some_and(|held| held.covers(of.permission, of.scope).is_some());
    if covers { Verdict::Granted } else { Verdict::NotGranted }
}

fn forbids(policy: Policy, of: &Circumstances<'_>, asker: &Asker<'_>) -> bool {
    let key = of.key.as_ref();
    let condition = || asker.terms()?.condition.as_ref();
    match policy {
        Policy::TenantSuspended => {
            let ends_it = ["tenant:resume", "tenant:erase", "tenant:cancel-erase"].contains(&of.permission.as_str());
            of.suspended && !(of.operator && ends_it)
        }
        Policy::OperatorsOnly => {
            !of.operator && ["tenant:erase", "tenant:cancel-erase"].contains(&of.permission.as_str())
        }
        Policy::PrincipalInactive => !of.active,
        Policy::KeyOver => key.is_some_and(|key| key.over),
        Policy::KeyHours => key.is_some_and(|key| key.closed),
        Policy::KeyAddresses => key.zip(of.context.address).is_some_and(|(key, address)| {
            !key.addresses.is_empty() && !key.addresses.iter().any(|range| range.contains(address))
        }),
        Policy::KeyPermissions => key.is_some_and(|key| !key.is_for_it),
        Policy::KeyScope => key.is_some_and(|key| !key.scope.contains(of.scope)),
        Policy::KeyModels => {
            of.permission.as_str() == Permission::MODEL_INVOKE && key.is_some_and(|key| leave_out(key.models, of))
        }
        Policy::GrantOver => {
            let expires = asker.terms().and_then(|terms| terms.expires);
            expires.is_some_and(|expires| long(expires.0) <= long(of.now.0))
        }
        Policy::GrantModels => condition().is_some_and(|condition| leave_out(&condition.models, of)),
        Policy::GrantCost => {
            let within = |cost_max: u64| of.context.cost.is_some_and(|cost| long(cost.0) <= long(cost_max));
            condition().and_then(|condition| condition.cost_max).is_some_and(|cost_max| !within(cost_max.0))
        }
    }
}

/// True if `models` are named and that of the request, if it is known, is not one of them.
fn leave_out(models: &[ModelId], of: &Circumstances<'_>) -> bool {
    !models.is_empty() && !of.context.model.as_ref().is_some_and(|model| models.contains(model))
}
