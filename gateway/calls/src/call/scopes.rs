//! Which budgets a call touches.

use steward_authority::KeyHolder;
use steward_events::id::ModelId;
use steward_events::scope::ScopeSet;

use crate::access::place;

/// Those of a call of `model` with this key.
pub(super) fn scopes(holder: &KeyHolder, model: &ModelId) -> ScopeSet {
    ScopeSet {
        path: place(holder),
        principal: holder.principal.clone(),
        key: holder.key.clone(),
        model: model.clone(),
        agent: holder.agent.clone(),
        task: holder.task.clone(),
        line: holder.line.clone(),
    }
}
