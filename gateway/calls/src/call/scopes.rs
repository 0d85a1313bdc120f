//! Which budgets a call touches.

use steward_aggregates::authority::KeyHolder;
use steward_events::id::ModelId;
use steward_events::scope::{Scope, ScopeSet};

/// Those of a call of `model` with this key.
pub(super) fn scopes(holder: &KeyHolder, model: &ModelId) -> ScopeSet {
    // An operator's key reaches everything, but its calls are booked on its own tenant.
    let path =
        if holder.scope.is_within(&holder.tenant) { holder.scope.clone() } else { Scope::tenant(&holder.tenant) };
    ScopeSet {
        path,
        principal: holder.principal.clone(),
        key: holder.key.clone(),
        model: model.clone(),
        agent: holder.agent.clone(),
        task: holder.task.clone(),
    }
}
