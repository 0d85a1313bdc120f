//! What would be, had commands been sent: for whom rights would change, which past requests would have met another answer,
//! and which grants nobody used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Explanation;
use steward_events::event::Condition;
use steward_events::id::{CallId, KeyId, ModelId, PrincipalId, RoleId};
use steward_events::permission::Permission;
use steward_events::quantity::{NanoDollars, Position};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;

/// The most commands that are supposed at once.
pub const CHANGES_MAX: usize = 100;

/// A command that is supposed and not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The command, e.g. `grant.revoke`.
    pub command: String,
    /// Its body, as it would be sent.
    pub body: Value,
}

/// Asks what commands would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateQuery {
    /// The commands, in order.
    pub changes: Vec<Change>,
    /// One question, asked before and after them.
    pub question: Option<Question>,
    /// When they would be sent; now if left out.
    pub at: Option<Timestamp>,
    /// Go on after this principal, with a page's `next`.
    pub after: Option<PrincipalId>,
}

/// Whether somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who: a principal, or a key's id.
    pub principal: PrincipalId,
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// The model that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// The most that the call can cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoDollars>,
}

/// What the commands would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulation {
    /// The answer to the question, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Supposed>,
    /// Whose rights would change, by principal.
    pub rows: Vec<ChangedRights>,
    /// How many principals were looked at for this page.
    pub principals: u64,
    /// The commands, by their place from 0, that would change no right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_effect: Vec<u32>,
    /// Where the next page goes on; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PrincipalId>,
}

/// A question's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Supposed {
    /// Without the commands.
    pub before: Explanation,
    /// With them.
    pub after: Explanation,
}

/// How somebody's rights would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedRights {
    /// Whose.
    pub principal: PrincipalId,
    /// A service account's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they could not do before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gained: Vec<RightsAt>,
    /// What they could do before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<RightsAt>,
    /// What they could do under other conditions before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<RightsAt>,
}

/// Permissions at a scope and below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RightsAt {
    /// Where.
    pub scope: Scope,
    /// What.
    pub permissions: Vec<Permission>,
    /// Under which conditions afterwards, each of which is enough; none if under no condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Asks what would have been, had commands been sent before a time began and held ever since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearseQuery {
    /// From when on.
    pub since: Timestamp,
    /// Until when; until now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The commands, in order.
    pub changes: Vec<Change>,
    /// Go on after this position, with a page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// How full the changed budgets are there: a page's `so_far`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub so_far: Vec<BudgetSoFar>,
}

/// What would have been, in one part of the time. A report is the sum of all parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// How many calls of models were asked about.
    pub calls: u64,
    /// How many commands.
    pub commands: u64,
    /// How many refusals.
    pub refusals: u64,
    /// What would have been answered otherwise.
    pub effects: Vec<Effect>,
    /// How many more would have been, beyond the effects that one answer lists.
    pub unlisted: u64,
    /// Refusals of which the log does not say enough to ask again: summed ones, and those for want of budget.
    pub unknown: u64,
    /// The commands, by their place from 0, that changed something at some moment of this part.
    pub took_effect: Vec<u32>,
    /// This part ends here.
    pub through: Timestamp,
    /// Where the next part goes on; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Position>,
    /// How full the changed budgets are there, for the next part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub so_far: Vec<BudgetSoFar>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// A call of a model was made.
    Call,
    /// A command was accepted.
    Command,
    /// Something was refused for want of a right.
    Refusal,
}

/// What would have become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It would have been refused.
    Refused,
    /// It would have waited for calls that were running: refused only if none of them had settled below its worst case.
    Waits,
    /// It would have been let through.
    Allowed,
    /// It would have been let through if a condition had held of which the log says nothing.
    AllowedUnderConditions,
}

/// What would have been answered otherwise, of one person with one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// What happened.
    pub what: Happened,
    /// What would have become of it.
    pub outcome: Outcome,
    /// Whose it was.
    pub principal: PrincipalId,
    /// With which key, if that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// What was wanted.
    pub permission: Permission,
    /// Of which model, if it was a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// Where.
    pub scope: Scope,
    /// The changed budget, by its command's place from 0; none if rights decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
    /// Why, of the first.
    pub because: String,
    /// How often.
    pub count: u64,
    /// What these calls cost at most.
    pub money: NanoDollars,
    /// How many tokens they used at most.
    pub tokens: u64,
    /// The first of them: ids of calls and commands.
    pub first: Vec<String>,
    /// When the first was.
    pub first_at: Timestamp,
    /// When the last was.
    pub last_at: Timestamp,
}

/// How full a changed budget is at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSoFar {
    /// The command that changes it, by its place from 0.
    pub change: u32,
    /// Its windows that are not over.
    pub windows: Vec<WindowSoFar>,
    /// Calls that run.
    pub open: Vec<OpenCall>,
}

/// What one window of a budget has spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSoFar {
    /// When it began.
    pub from: Timestamp,
    /// Calls, tokens or nano-dollars.
    pub spent: u64,
}

/// A call that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenCall {
    /// Which.
    pub call: CallId,
    /// The window in which it counts.
    pub from: Timestamp,
    /// What it holds out at most.
    pub worst: u64,
}

/// Asks which grants were used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeastQuery {
    /// Since when.
    pub since: Timestamp,
    /// Of one principal alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// Go on after this position, with a page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// What was used up to there: a page's `used`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<UsedRight>,
}

/// What was used so far; on the last page what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeastPage {
    /// What was used.
    pub used: Vec<UsedRight>,
    /// Everyone who holds something, once all is read.
    pub rows: Vec<LeastRow>,
    /// This is known up to here.
    pub through: Timestamp,
    /// Where the next page goes on; none if all is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Position>,
}

/// A right that somebody used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsedRight {
    /// Who.
    pub principal: PrincipalId,
    /// What.
    pub permission: Permission,
    /// Where.
    pub scope: Scope,
    /// Of which model, if it was a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// How often.
    pub times: u64,
    /// When last.
    pub last: Timestamp,
}

/// What somebody holds, and what of it they used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeastRow {
    /// Who.
    pub principal: PrincipalId,
    /// A service account's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their grants.
    pub grants: Vec<UsedGrant>,
}

/// One grant, and the smaller one that would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsedGrant {
    /// Role.
    pub role: RoleId,
    /// At which scope and below.
    pub on: Scope,
    /// How often it was used, as far as the log tells.
    pub times: u64,
    /// When last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// The permissions that were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<Permission>,
    /// The models that were called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// Until when it is set aside, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Timestamp>,
    /// The commands that put the smaller grant in its place, the new one first; none if it is as small as it can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<Change>,
    /// What is to be known of it.
    pub because: String,
}
