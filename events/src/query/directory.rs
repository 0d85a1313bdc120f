//! Who is in a tenant, with which keys, roles and grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use crate::event::{AgentSpec, Condition};
use crate::id::{AgentId, KeyId, ModelId, PrincipalId, RoleId, TaskId};
use crate::permission::PermissionPattern;
use crate::quantity::Position;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

list_query! {
    /// Lists people.
    ListUsers {
        /// Only those in this state: `active` or `disabled`.
        state: PrincipalState,
    }
}

list_query! {
    /// Lists service accounts.
    ListAccounts {
        /// Only those in this state: `active` or `disabled`.
        state: PrincipalState,
    }
}

list_query! {
    /// Lists agents.
    ListAgents {
        /// Only those that think with this model.
        model: ModelId,
    }
}

list_query! {
    /// Lists keys.
    ListKeys {
        /// Only those that act as this principal.
        principal: PrincipalId,
        /// Only those that act for this agent.
        agent: AgentId,
        /// Only those made for this task.
        task: TaskId,
        /// Only those whose calls are booked at this scope or below.
        scope: Scope,
        /// Only those in this state: `active`, `disabled`, `expired` or `revoked`.
        state: KeyState,
    }
}

list_query! {
    /// Lists roles.
    ListRoles {}
}

list_query! {
    /// Lists grants.
    ListGrants {
        /// Only those that this principal holds.
        principal: PrincipalId,
        /// Only those of this role.
        role: RoleId,
        /// Only those at this scope or below.
        scope: Scope,
        /// Only those in this state: `active` or `expired`.
        state: GrantState,
    }
}

/// Whether a person or service account may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalState {
    /// As far as grants go.
    Active,
    /// Never again.
    Disabled,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It works.
    Active,
    /// Its principal was disabled.
    Disabled,
    /// Its end has come.
    Expired,
    /// It was revoked.
    Revoked,
}

/// Whether a grant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It counts.
    Active,
    /// Its end has come.
    Expired,
}

/// People.
pub type UserPage = Page<UserRow>;
/// Service accounts.
pub type AccountPage = Page<AccountRow>;
/// Agents.
pub type AgentPage = Page<AgentRow>;
/// Keys.
pub type KeyPage = Page<KeyRow>;
/// Roles.
pub type RolePage = Page<RoleRow>;
/// Grants.
pub type GrantPage = Page<GrantRow>;

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRow {
    /// Their opaque id.
    pub principal: PrincipalId,
    /// Mail address; none if the person was erased.
    pub email: Option<String>,
    /// What people call them; none if the person was erased or no name was given.
    pub name: Option<String>,
    /// True if who they were can no longer be read.
    pub erased: bool,
    /// Whether they may act.
    pub state: PrincipalState,
    /// Why they were disabled, if they were.
    pub reason: Option<String>,
    /// When they were invited.
    pub invited_at: Timestamp,
}

/// One service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRow {
    /// Its opaque id.
    pub principal: PrincipalId,
    /// Name of the account.
    pub name: String,
    /// Whether it may act.
    pub state: PrincipalState,
    /// Why it was disabled, if it was.
    pub reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentRow {
    /// Name of the agent.
    pub agent: AgentId,
    /// 1 for the first definition, one more for each change.
    pub revision: u32,
    /// What it is.
    pub spec: AgentSpec,
    /// When it was defined as it is now.
    pub defined_at: Timestamp,
}

/// One key; neither its secret nor the hash of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRow {
    /// Its public id.
    pub key: KeyId,
    /// As whom it acts.
    pub principal: PrincipalId,
    /// The service account's name, if it acts as one.
    pub name: Option<String>,
    /// Where its calls are booked, and the most that it can reach.
    pub scope: Scope,
    /// Models that the key may use; if empty, all that the grants allow.
    pub models: Vec<ModelId>,
    /// Moment at which the key stops working.
    pub expires: Option<Timestamp>,
    /// The agent it acts for, if one.
    pub agent: Option<AgentId>,
    /// The task it was made for, if one.
    pub task: Option<TaskId>,
    /// The permissions it is for; if empty, all that the grants allow, or only calls if it names models.
    pub permissions: Vec<PermissionPattern>,
    /// The key that ends this one when it ends, if there is one.
    pub parent: Option<KeyId>,
    /// Whether it works.
    pub state: KeyState,
    /// Why it was revoked, if it was.
    pub reason: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleRow {
    /// Name of the role.
    pub role: RoleId,
    /// Permissions of the role itself, e.g. `task:*`.
    pub permissions: Vec<PermissionPattern>,
    /// Roles whose permissions this role inherits.
    pub inherits: Vec<RoleId>,
    /// True if the tenant has it from the platform.
    pub inherited: bool,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantRow {
    /// Who holds it.
    pub to: PrincipalId,
    /// The service account's name, if one holds it.
    pub name: Option<String>,
    /// Role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
    /// Until when; none is until revoked.
    pub expires: Option<Timestamp>,
    /// The grant counts only for calls that meet this condition.
    pub condition: Option<Condition>,
    /// Whether it counts.
    pub state: GrantState,
    /// When it was given as it is now.
    pub given_at: Timestamp,
    /// Until when it is set aside for a trial, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Timestamp>,
}
