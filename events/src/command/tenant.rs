//! Commands about tenants: their life, settings, projects, flags, quotas and plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{BudgetLevel, FlagState, PlanBudget, PlanFlag, PlanQuota, PlanSpec, QuotaKind};
use crate::id::{FlagId, PlanId, PrincipalId, ProjectId, TenantId};
use crate::scope::Scope;
use crate::sealed::DestroyedKey;
use crate::timestamp::Timestamp;

commands! {
    TenantCommand of Tenant {
        "tenant" "open" => OpenTenant, System, "Open a tenant that was placed";
        "tenant" "suspend" => SuspendTenant, Callers, "Stop everything that a tenant does, until the tenant is resumed";
        "tenant" "resume" => ResumeTenant, Callers, "Let a suspended tenant act again";
        "tenant" "erase" => EraseTenant, Callers, "Erase all content of a suspended tenant, for ever; operators only";
        "tenant" "cancel-erase" => CancelErasure, Callers, "Keep a tenant after all, while its content is not yet erased";
        "tenant" "carry-out-erasure" => CarryOutErasure, System, "Erase a tenant whose waiting time is over";
        "tenant" "record-destroyed" => RecordDestroyed, System, "Record which data keys of an erased tenant are gone";
        "tenant" "set" => SetTenant, Callers, "Change settings of a tenant";
        "tenant" "revert" => RevertTenant, Callers, "Go back to the settings of an earlier revision or moment";
        "tenant" "set-plan" => SetPlan, Callers, "Put a tenant on a plan, or on none";
        "project" "create" => CreateProject, Callers, "Create a project";
        "project" "rename" => RenameProject, Callers, "Change what people call a project";
        "project" "archive" => ArchiveProject, Callers, "Refuse everything new in a project; its history stays";
        "project" "restore" => RestoreProject, Callers, "Let an archived project be used again";
        "flag" "set" => SetFlag, Callers, "Set a feature flag on, off, or on for a share of the principals";
        "flag" "remove" => RemoveFlag, Callers, "Remove a feature flag; that of the tenant's plan holds again, if there is one";
        "quota" "set" => SetQuota, Callers, "Set how many of something a tenant may have";
        "quota" "remove" => RemoveQuota, Callers, "Remove a quota; that of the tenant's plan holds again, if there is one";
        "plan" "define" => DefinePlan, Callers, "Define what tenants on a plan get; only in the tenant steward";
    }
}

/// Opens a placed tenant in its shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTenant {
    /// IANA time zone of the tenant: days, weeks and months of its budgets follow it.
    pub timezone: String,
}

impl Body for OpenTenant {
    fn needs_open_tenant(&self) -> bool {
        false
    }
}

/// Stops everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendTenant {
    /// Reason, shown to everybody whom the tenant's suspension refuses.
    pub reason: String,
}

impl Body for SuspendTenant {}

/// Lets it act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeTenant {}

impl Body for ResumeTenant {}

/// Asks for a tenant's content to be erased: its data key and those of its people are destroyed when the waiting time
/// (`workers.erasure_wait`) is over. History, ids, counts and money stay, and so does the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseTenant {
    /// Name of the tenant once more, to confirm it.
    pub confirm: TenantId,
    /// Reason, for people; it is not erased, so name nobody in it.
    #[serde(default)]
    pub reason: String,
}

impl Body for EraseTenant {}

/// Takes it back, while there is time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelErasure {}

impl Body for CancelErasure {}

/// From now on nobody may read its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarryOutErasure {}

impl Body for CarryOutErasure {}

/// Records what is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDestroyed {
    /// Data keys that are gone.
    pub keys: Vec<DestroyedKey>,
    /// How many contents beside the log were removed; said when all keys are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<u64>,
}

impl Body for RecordDestroyed {}

/// Changes settings; those that are left out stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTenant {
    /// IANA time zone of the tenant: days, weeks and months of its budgets and reports follow it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What people call the tenant; empty to take it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whom operators turn to: an address of a team, not of a person, because it is recorded for ever; empty to take it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// What the tenant is for; empty to take it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Body for SetTenant {}

/// Goes back to earlier settings, as a new change that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertTenant {
    /// Revision whose settings shall hold again, as `tenant history` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// Moment whose settings shall hold again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Body for RevertTenant {}

/// Puts the tenant on a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPlan {
    /// Name of the plan; no plan if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
}

/// A tenant does not choose what it gets: the right is needed over the whole installation.
impl Body for SetPlan {
    fn has_level(&self) -> bool {
        true
    }
}

/// Creates a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Id of the project, the segment below the tenant in its scope; it never changes.
    pub project: ProjectId,
    /// What people call it; its id if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Body for CreateProject {}

/// Where a command about this project concerns.
fn within(tenant: &TenantId, project: &ProjectId) -> Scope {
    let tenant = Scope::tenant(tenant);
    tenant.child(project.as_str()).unwrap_or(tenant)
}

/// Changes what people call a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameProject {
    /// Id of the project.
    pub project: ProjectId,
    /// What people call it from now on.
    pub name: String,
}

impl Body for RenameProject {
    fn scope(&self, tenant: &TenantId) -> Scope {
        within(tenant, &self.project)
    }
}

/// Refuses everything new in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveProject {
    /// Id of the project.
    pub project: ProjectId,
    /// Reason, shown to everybody who is refused by it.
    #[serde(default)]
    pub reason: String,
}

impl Body for ArchiveProject {}

/// Lets a project be used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreProject {
    /// Id of the project.
    pub project: ProjectId,
}

impl Body for RestoreProject {}

/// Sets a feature flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFlag {
    /// Name of the flag.
    pub flag: FlagId,
    /// For all who are not named: `on`, `off`, or on for a share of them such as `25%`.
    pub state: FlagState,
    /// On for these principals, whatever the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_for: Vec<PrincipalId>,
    /// Off for these principals, whatever the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off_for: Vec<PrincipalId>,
}

impl Body for SetFlag {}

/// Removes a feature flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFlag {
    /// Name of the flag.
    pub flag: FlagId,
}

impl Body for RemoveFlag {}

/// Sets a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// What is counted.
    pub quota: QuotaKind,
    /// How many at most.
    pub limit: u64,
    /// Level of the quota: `platform` (operators) or `tenant`. The sender's own if left out. The lower of the two binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<BudgetLevel>,
}

impl Body for SetQuota {
    fn has_level(&self) -> bool {
        true
    }
}

/// Removes a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveQuota {
    /// What is counted.
    pub quota: QuotaKind,
    /// Level of the quota, as in `quota set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<BudgetLevel>,
}

impl Body for RemoveQuota {
    fn has_level(&self) -> bool {
        true
    }
}

/// Says what tenants on a plan get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefinePlan {
    /// Name of the plan.
    pub plan: PlanId,
    /// How many a tenant may have of what, e.g. `{"quota": "agents", "limit": 5}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<PlanQuota>,
    /// Feature flags, e.g. `{"flag": "new-search", "state": "on"}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<PlanFlag>,
    /// Budgets of the platform for the whole tenant, e.g. `{"limit": "$50", "per": "month"}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<PlanBudget>,
}

impl DefinePlan {
    /// What it gives.
    pub fn spec(&self) -> PlanSpec {
        PlanSpec { quotas: self.quotas.clone(), flags: self.flags.clone(), budgets: self.budgets.clone() }
    }
}

impl Body for DefinePlan {
    fn scope(&self, _: &TenantId) -> Scope {
        Scope::everything()
    }
}
