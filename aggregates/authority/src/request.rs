//! What is asked of the authority, and by whom.

use std::net::IpAddr;

use steward_events::id::{AgentId, DataClass, KeyId, ModelId, PrincipalId, TaskId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;

/// Somebody wants to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// In whose data.
    pub tenant: TenantId,
    /// Who: a principal, or the holder of a key by the key's name (see [`steward_events::sender`]).
    pub principal: PrincipalId,
    /// With which key, if that is known otherwise than by the name.
    pub key: Option<KeyRef>,
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
    /// From which address it comes, where that is known: at the door, which asks before anybody else.
    pub address: Option<IpAddr>,
    /// The class of the data that it says it is about; if it says none, that of its scope counts.
    pub data_class: Option<DataClass>,
    /// True if it stands for requests of any class: what depends on the class is then not held against it.
    pub any_class: bool,
    /// The tool it runs.
    pub tool: Option<String>,
    /// The tool's arguments.
    pub arguments: Option<serde_json::Value>,
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
    /// The first of the keys that this one replaces, if it replaces one.
    pub line: Option<KeyId>,
    /// True if the key reaches all that its principal does, for good.
    pub whole: bool,
}

impl KeyHolder {
    /// The key, by its name and tenant.
    pub fn key_ref(&self) -> KeyRef {
        KeyRef { tenant: self.tenant.clone(), key: self.key.clone() }
    }

    /// As whom this key's holder sends requests: as the key itself, so that what it is never gets lost on the way.
    pub fn speaks_as(&self) -> PrincipalId {
        self.key_ref().speaks_as()
    }
}
