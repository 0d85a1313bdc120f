//! Who is in a tenant, with which keys, roles and grants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::{AddressRange, AgentSpec, Condition, OpenHours};
use steward_events::id::{AgentId, KeyId, ModelId, PrincipalId, RoleId, TaskId};
use steward_events::permission::PermissionPattern;
use steward_events::quantity::Position;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

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
        /// Only those in this state: `active`, `disabled` or `ownerless`.
        state: PrincipalState,
        /// Only those that this person answers for.
        owner: PrincipalId,
        /// Only those that nobody who may act answers for: without an owner, or with a disabled one.
        unowned: bool,
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
        /// Only those that were issued before this moment and not used since: no call and no command came by them.
        unused_since: Timestamp,
    }
}

list_query! {
    /// Lists groups.
    ListGroups {
        /// Only those that this principal is in.
        member: PrincipalId,
    }
}

/// Asks for one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupQuery {
    /// Which.
    pub group: PrincipalId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Asks for one person or service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// Who.
    pub user: PrincipalId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// Asks for one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyQuery {
    /// Which.
    pub key: KeyId,
    /// Answer only from a state that includes this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
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
    /// Not until it is enabled.
    Disabled,
    /// A service account whose owner was disabled: not until it has another.
    Ownerless,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It works.
    Active,
    /// Its principal was disabled, or is a service account whose owner was.
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
/// Groups.
pub type GroupPage = Page<GroupRow>;
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
    /// The person who answers for it; none if nobody does.
    pub owner: Option<PrincipalId>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// One person or service account, with all that is theirs. Each list holds at most 1,000.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserDetails {
    /// The opaque id.
    pub principal: PrincipalId,
    /// Mail address of a person; none if they were erased.
    pub email: Option<String>,
    /// What people call them, or the service account's name.
    pub name: Option<String>,
    /// True if who they were can no longer be read.
    pub erased: bool,
    /// Whether they may act.
    pub state: PrincipalState,
    /// Why they were disabled, if they were.
    pub reason: Option<String>,
    /// The person who answers for it, if it is a service account that has one.
    pub owner: Option<PrincipalId>,
    /// When they were invited, or it was created.
    pub since: Timestamp,
    /// When the last of their keys was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// The groups that they are in.
    pub groups: Vec<GroupRow>,
    /// What they hold themselves.
    pub grants: Vec<GrantRow>,
    /// What they hold as members of groups.
    pub group_grants: Vec<GrantRow>,
    /// Their keys, ended ones included.
    pub keys: Vec<KeyRow>,
    /// The service accounts that they answer for.
    pub owned: Vec<AccountRow>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRow {
    /// Its opaque id, which holds its grants.
    pub group: PrincipalId,
    /// Name of the group.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// How many are in it.
    pub members: u64,
    /// When it was defined as it is now.
    pub defined_at: Timestamp,
}

/// One group with its members and grants, at most 1,000 of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDetails {
    /// The group.
    pub group: GroupRow,
    /// Who is in it.
    pub members: Vec<MemberRow>,
    /// What it holds.
    pub grants: Vec<GrantRow>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRow {
    /// Who.
    pub member: PrincipalId,
    /// The service account's name, if it is one.
    pub name: Option<String>,
    /// Whether they may act.
    pub state: PrincipalState,
    /// Since when they are in it.
    pub joined_at: Timestamp,
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
    /// From where it may be used; from everywhere if empty.
    pub addresses: Vec<AddressRange>,
    /// When it may be used; always if empty.
    pub hours: Vec<OpenHours>,
    /// The key that was made in its place, if one was.
    pub replaced_by: Option<KeyId>,
    /// When the last call or command came by it, to the minute; none if none did. What is only looked at does not count.
    pub last_used: Option<Timestamp>,
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
    /// The name of the service account or group, if one holds it.
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
