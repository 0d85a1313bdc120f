//! Queries of the read models: one table, as for commands, and one file for each view's queries and answers.
//! `qry.<tenant>.<principal>.<view>.<verb>`.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use steward_events::id::{PrincipalId, SystemPart};
use steward_events::permission::Permission;

mod access;
mod access_rules;
mod audit;
mod batch;
mod budget;
mod catalog;
mod channel;
mod cost;
mod directory;
mod file;
mod flag;
mod history;
mod metrics;
mod page;
mod project;
mod quota;
mod rehearsal;
mod secret;
mod task;
mod tenant;

pub use access::{ExplainQuery, Explanation, MayDo, WhoCan, WhoCanQuery};
pub use access_rules::{
    DataClassPage, DataClassRow, DenialPage, DenialRow, ElevationPage, ElevationQuery, ElevationRow, ElevationRulePage,
    ElevationRuleRow, ElevationState, ListDataClasses, ListDenials, ListElevationRules, ListElevations, ListReviews,
    ListSeparations, ReviewAccess, ReviewPage, ReviewRow, ReviewedGrant, ReviewedPage, RoleHolder, RoleUse,
    RoleUseQuery, SeparationPage, SeparationRow,
};
pub use audit::{
    BrokenChain, CheckedCheckpoint, Checkpoints, CheckpointsQuery, Commits, CommitsQuery, ConsistencyProof,
    ConsistencyQuery, Due, DueQuery, InclusionProof, InclusionQuery, SignedCheckpoint, StoredCommit, TileHashes,
    TileQuery, TreeQuery, TreeState, Verification, VerifyQuery,
};
pub use batch::{BatchPage, BatchQuery, BatchRow, BatchState, ListBatches};
pub use budget::{BudgetPage, BudgetRow, ListBudgets, WindowRow};
pub use catalog::{
    ExplainedTarget, ListModels, ListPrices, ListProviders, ModelPage, ModelRow, PricePage, PriceRow, ProviderPage,
    ProviderRow, RouteExplanation, RouteQuery,
};
pub use channel::{
    ChannelPage, ChannelRow, ChannelState, ListChannels, ListDeadLetters, MessagePage, MessageRow, MessageState,
    ShowChannel,
};
pub use cost::{CostBy, CostQuery, CostReport, CostRow, CostSums, ReportDay};
pub use directory::{
    AccountPage, AccountRow, AgentPage, AgentRow, GrantPage, GrantRow, GrantState, GroupDetails, GroupPage, GroupQuery,
    GroupRow, KeyPage, KeyQuery, KeyRow, KeyState, ListAccounts, ListAgents, ListGrants, ListGroups, ListKeys,
    ListRoles, ListUsers, MemberRow, PrincipalState, RolePage, RoleRow, UserDetails, UserPage, UserQuery, UserRow,
};
pub use file::{FilePage, FileQuery, FileRow, ListFiles, Order};
pub use flag::{FlagPage, FlagRow, Flags, ListFlags, ReadFlags};
pub use history::{HistoryEvent, Replay, ReplayQuery, kinds};
pub use metrics::{Metrics, MetricsQuery};
pub use page::{PAGE_ROWS, PAGE_ROWS_MAX, Page, Paging};
pub use project::{ListProjects, ProjectPage, ProjectRow, ProjectState, ShowProject};
pub use quota::{ListPlans, ListQuotas, PlanPage, PlanRow, QuotaPage, QuotaRow};
pub use rehearsal::{
    BudgetSoFar, CHANGES_MAX, Change, ChangedRights, Effect, Happened, LeastPage, LeastQuery, LeastRow, OpenCall,
    Outcome, Question, Rehearsal, RehearseQuery, RightsAt, SimulateQuery, Simulation, Supposed, UsedGrant, UsedRight,
    WindowSoFar,
};
pub use secret::{ListSecrets, OpenSecret, OpenedSecret, SecretPage, SecretRow};
pub use task::{StepView, TaskList, TaskListQuery, TaskQuery, TaskState, TaskView};
pub use tenant::{
    ErasureState, ExportBegun, ExportTenant, ListTenants, ShowTenant, TenantDetails, TenantPage, TenantRow, TenantState,
};

/// One row of the table.
#[derive(Clone, Copy)]
pub struct QuerySpec {
    /// The read model.
    pub view: &'static str,
    /// The query.
    pub verb: &'static str,
    /// One line for `--help` and the docs.
    pub help: &'static str,
    /// What the caller needs the permission for.
    pub answers: Answers,
    /// The part of Steward that alone may ask, and then it is in no API; none if all may who hold the permission.
    pub only: Option<SystemPart>,
    /// The JSON schema of the query.
    pub query: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the answer.
    pub answer: fn(&mut SchemaGenerator) -> Schema,
}

/// Where a caller needs a query's permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// At the tenant: what is shown belongs to no part of it.
    OfTheTenant,
    /// Anywhere in the tenant: what is shown is what belongs there, and nothing else.
    ByScope,
}

impl QuerySpec {
    /// `view:verb`: who asks needs this.
    pub fn permission(&self) -> Permission {
        // The table's words are tokens; a test says so.
        #[allow(clippy::expect_used)]
        Permission::new(self.view, self.verb).expect("the table holds tokens")
    }

    /// Whether this sender may ask at all, whatever it holds.
    pub fn may_be_asked_by(&self, sender: &PrincipalId) -> bool {
        self.only.is_none_or(|part| sender.as_str() == part.principal())
    }
}

macro_rules! query_table {
    (@only) => { None };
    (@only $part:ident) => { Some(SystemPart::$part) };
    ($($view:literal $verb:literal => $query:ident, $answer:ident, $answers:ident, $help:literal $(, only $part:ident)?;)+) => {
        /// The table.
        pub const QUERIES: &[QuerySpec] = &[$(QuerySpec {
            view: $view,
            verb: $verb,
            help: $help,
            answers: Answers::$answers,
            only: query_table!(@only $($part)?),
            query: <$query as JsonSchema>::json_schema,
            answer: <$answer as JsonSchema>::json_schema,
        },)+];
    };
}

query_table! {
    "cost" "report" => CostQuery, CostReport, ByScope, "What was spent, by tenant, project, principal, key, model, task or day";
    "history" "replay" => ReplayQuery, Replay, OfTheTenant, "The events of a tenant in order: who, what, when and why";
    "access" "explain" => ExplainQuery, Explanation, ByScope, "Whether a principal may do something, why, and what would allow it";
    "access" "who-can" => WhoCanQuery, WhoCan, ByScope, "Who may do something at a scope, now or at a moment in the past";
    "access" "review" => ReviewAccess, ReviewedPage, ByScope, "Who holds what, since when, from whom, and used when";
    "access" "role-use" => RoleUseQuery, RoleUse, OfTheTenant, "Who holds a role, and what each would lose without it";
    "deny" "list" => ListDenials, DenialPage, ByScope, "What is denied whatever is granted, by the tenant or the platform";
    "separation" "list" => ListSeparations, SeparationPage, ByScope, "The roles that nobody may hold together";
    "elevation-rule" "list" => ListElevationRules, ElevationRulePage, ByScope, "The roles that may be asked for, by whom and approved by whom";
    "elevation" "list" => ListElevations, ElevationPage, ByScope, "The elevations that are open or running, and the last before them";
    "elevation" "show" => ElevationQuery, ElevationRow, ByScope, "One elevation";
    "review" "list" => ListReviews, ReviewPage, ByScope, "The reviews that are not closed, and how far each is";
    "data-class" "list" => ListDataClasses, DataClassPage, ByScope, "The scopes that have a class of data of their own";
    "access" "simulate" => SimulateQuery, Simulation, OfTheTenant, "What commands about roles, grants, people and keys would change for whom, without sending them";
    "access" "rehearse" => RehearseQuery, Rehearsal, OfTheTenant, "Which past calls and commands would have been refused or let through, had commands been sent before";
    "access" "least" => LeastQuery, LeastPage, OfTheTenant, "Which grants were used and for what, and the smaller ones that would have done";
    "task" "list" => TaskListQuery, TaskList, ByScope, "The tasks of a tenant, newest first";
    "task" "show" => TaskQuery, TaskView, ByScope, "One task with its steps";
    "file" "list" => ListFiles, FilePage, ByScope, "The files that are kept, newest first";
    "file" "show" => FileQuery, FileRow, ByScope, "One file that is kept, without what it holds";
    "batch" "list" => ListBatches, BatchPage, ByScope, "The batches of model calls, newest first";
    "batch" "show" => BatchQuery, BatchRow, ByScope, "One batch of model calls, and how far it is";
    "audit" "verify" => VerifyQuery, Verification, OfTheTenant, "Whether every hash chain of a tenant is whole";
    "audit" "checkpoints" => CheckpointsQuery, Checkpoints, OfTheTenant, "The signed checkpoints of a tenant's history";
    "audit" "tree" => TreeQuery, TreeState, OfTheTenant, "A tenant's tree of commits now, with the proof that it continues an earlier size";
    "audit" "tile" => TileQuery, TileHashes, OfTheTenant, "One tile of a tenant's tree";
    "audit" "inclusion" => InclusionQuery, InclusionProof, OfTheTenant, "The proof that a commit is in a tenant's tree";
    "audit" "consistency" => ConsistencyQuery, ConsistencyProof, OfTheTenant, "The proof that a tenant's tree only grew";
    "audit" "commits" => CommitsQuery, Commits, OfTheTenant, "A tenant's commits as they are stored, for an export";
    "audit" "due" => DueQuery, Due, OfTheTenant, "Tenants whose tree has grown since the last signature; only in the tenant steward";
    "metrics" "read" => MetricsQuery, Metrics, OfTheTenant, "The metrics of a tenant";
    "user" "list" => ListUsers, UserPage, OfTheTenant, "A tenant's people";
    "user" "show" => UserQuery, UserDetails, OfTheTenant, "One person or service account with groups, grants, keys and owned accounts";
    "account" "list" => ListAccounts, AccountPage, OfTheTenant, "A tenant's service accounts";
    "agent" "list" => ListAgents, AgentPage, OfTheTenant, "A tenant's agents as they are defined now";
    "key" "list" => ListKeys, KeyPage, ByScope, "A tenant's API keys, revoked and expired ones included";
    "key" "show" => KeyQuery, KeyRow, ByScope, "One API key: for what it is, and when it was last used";
    "role" "list" => ListRoles, RolePage, OfTheTenant, "The roles that mean something in a tenant, inherited ones included";
    "grant" "list" => ListGrants, GrantPage, ByScope, "Who holds which role where, expired grants included";
    "group" "list" => ListGroups, GroupPage, OfTheTenant, "A tenant's groups";
    "group" "show" => GroupQuery, GroupDetails, OfTheTenant, "One group with its members and grants";
    "budget" "list" => ListBudgets, BudgetPage, ByScope, "A tenant's budgets, and what is spent, held and free of each";
    "provider" "list" => ListProviders, ProviderPage, OfTheTenant, "The upstreams that a tenant's calls can go to, inherited ones included";
    "model" "list" => ListModels, ModelPage, OfTheTenant, "The models that a tenant can name, inherited ones included";
    "route" "explain" => RouteQuery, RouteExplanation, OfTheTenant, "Where a call of a model would go, and why";
    "price" "list" => ListPrices, PricePage, OfTheTenant, "The prices of models and from when until when each applies";
    "secret" "list" => ListSecrets, SecretPage, OfTheTenant, "The names of a tenant's secrets, and which providers use them";
    "secret" "open" => OpenSecret, OpenedSecret, OfTheTenant, "A secret, for a call to the provider that uses it", only Gateway;
    "channel" "list" => ListChannels, ChannelPage, OfTheTenant, "A tenant's channels, and how the last message of each went";
    "channel" "show" => ShowChannel, ChannelRow, OfTheTenant, "One channel with its last messages";
    "channel" "dead-letters" => ListDeadLetters, MessagePage, OfTheTenant, "Messages that no attempt could deliver";
    "tenant" "list" => ListTenants, TenantPage, OfTheTenant, "All tenants, if asked of the tenant steward; of any other only itself";
    "tenant" "show" => ShowTenant, TenantRow, OfTheTenant, "A tenant's settings and state, its plan, quotas, flags and projects";
    "tenant" "export" => ExportTenant, ExportBegun, OfTheTenant, "That an export of all that a tenant has begins, on record";
    "project" "list" => ListProjects, ProjectPage, ByScope, "A tenant's projects, archived ones included";
    "project" "show" => ShowProject, ProjectRow, ByScope, "One project";
    "flag" "list" => ListFlags, FlagPage, OfTheTenant, "A tenant's feature flags as they are set";
    "flag" "read" => ReadFlags, Flags, ByScope, "All feature flags, on or off for the caller or another principal";
    "quota" "list" => ListQuotas, QuotaPage, OfTheTenant, "How many a tenant may have of what, and has";
    "plan" "list" => ListPlans, PlanPage, OfTheTenant, "All plans, if asked of the tenant steward; of any other its own";
}

/// The rows that callers may ask.
pub fn for_callers() -> impl Iterator<Item = &'static QuerySpec> {
    QUERIES.iter().filter(|spec| spec.only.is_none())
}

/// The row of `view.verb`, if there is one.
pub fn find(view: &str, verb: &str) -> Option<&'static QuerySpec> {
    QUERIES.iter().find(|spec| spec.view == view && spec.verb == verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_token_pair_and_stands_once() {
        for (at, spec) in QUERIES.iter().enumerate() {
            assert!(Permission::new(spec.view, spec.verb).is_ok());
            assert!(!QUERIES[..at].iter().any(|s| (s.view, s.verb) == (spec.view, spec.verb)));
        }
    }
}
