//! The policies of `policies.cedar` as one function: what is asked at every request.
//!
//! Each rule stands here in the words of its policy. That both say the same is proved by `judge` over questions that
//! nobody thought of, and looked at again in production (see `policies`).

use steward_events::id::ModelId;
use steward_events::permission::Permission;

use super::conditions::{self, long};
use super::policy::{Asker, Circumstances, Policy, Verdict};

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
    let facts = of.facts();
    let unmet = |part: conditions::Part| {
        let condition = asker.terms().and_then(|terms| terms.condition.as_ref());
        condition.is_some_and(|condition| !part(condition, &facts))
    };
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
        Policy::Denied => of.denial.is_some_and(|denial| conditions::denies(denial, of.permission, of.scope, &facts)),
        Policy::GrantOver => {
            let ends = asker.terms().and_then(steward_aggregates::access::Terms::ends);
            ends.is_some_and(|end| long(end.0) <= long(of.now.0))
        }
        Policy::GrantModels => unmet(conditions::models),
        Policy::GrantCost => unmet(conditions::cost),
        Policy::GrantHours => unmet(conditions::hours),
        Policy::GrantDataClasses => unmet(conditions::data_classes),
        Policy::GrantTools => unmet(conditions::tools),
        Policy::GrantArguments => unmet(conditions::arguments),
    }
}

/// True if `models` are named and that of the request, if it is known, is not one of them.
fn leave_out(models: &[ModelId], of: &Circumstances<'_>) -> bool {
    !models.is_empty() && !of.context.model.as_ref().is_some_and(|model| models.contains(model))
}
