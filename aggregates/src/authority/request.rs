//! What is asked of the authority, and what it answers.

use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

/// Somebody wants to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// In whose data.
    pub tenant: TenantId,
    /// Who. The id of a key (`key_…`) means its principal, narrowed to that key.
    pub principal: PrincipalId,
    /// With which key, if with one.
    pub key: Option<KeyId>,
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// With what.
    pub context: Context,
}

/// What a request is about. A condition on what is not known here does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The model it calls.
    pub model: Option<ModelId>,
    /// The most it can cost.
    pub cost: Option<NanoDollars>,
}

/// They may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The grant and the path of roles.
    pub reason: String,
}

/// Whose key a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The tenant that issued it; `steward` for operators.
    pub tenant: TenantId,
    /// The key.
    pub key: KeyId,
    /// As whom it acts.
    pub principal: PrincipalId,
    /// Where its calls are booked, and the most that it can reach.
    pub scope: Scope,
    /// Models that the key may use; if empty, all that the grants allow.
    pub models: Vec<ModelId>,
    /// The agent it acts for, if one.
    pub agent: Option<AgentId>,
    /// The task it was made for, if one.
    pub task: Option<TaskId>,
    /// Moment at which the key stops working.
    pub expires: Option<Timestamp>,
}

impl KeyHolder {
    /// True if the key reaches less than its principal does.
    pub fn is_narrowed(&self) -> bool {
        let whole = self.scope == Scope::everything() || self.scope == Scope::tenant(&self.tenant);
        !whole || !self.models.is_empty() || self.agent.is_some() || self.task.is_some()
    }

    /// As whom this key speaks where a request says only who sends it: a narrowed key as itself, so that what it can
    /// reach is not forgotten on the way; any other as its principal.
    pub fn speaks_as(&self) -> PrincipalId {
        if self.is_narrowed() {
            // A key's id is a token, as every id.
            PrincipalId::new(self.key.as_str()).unwrap_or_else(|_| self.principal.clone())
        } else {
            self.principal.clone()
        }
    }
}
