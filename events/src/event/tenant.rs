//! A tenant's life, settings, projects, flags, quotas and plan; in the tenant `steward` also what plans there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flag::FlagSpec;
use super::ledger::BudgetLevel;
use super::plan::PlanSpec;
use super::quota::QuotaKind;
use crate::id::{FlagId, PlanId, ProjectId, TenantId};
use crate::quantity::SchemaVersion;
use crate::sealed::DestroyedKey;

/// Events of a tenant's life and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum TenantEvent {
    /// The tenant may be used.
    Created {
        /// Name of the tenant.
        tenant: TenantId,
        /// IANA name of the time zone its budget windows turn in.
        timezone: String,
    },
    /// Nothing of it may act until it is resumed.
    Suspended {
        /// Reason, shown to everybody whom the tenant's suspension refuses.
        reason: String,
    },
    /// It may act again.
    Resumed,
    /// An operator asked for its content to be erased, which can be cancelled for a while.
    ErasureAsked {
        /// Reason, for people.
        reason: String,
    },
    /// It is not erased after all.
    ErasureCancelled,
    /// Nobody may read its content from now on, for good.
    Erased,
    /// Data keys of it that are gone, and what was kept beside the log: the proof, in one event or several.
    Destroyed {
        /// Keys, each in one event only.
        keys: Vec<DestroyedKey>,
        /// Contents beside the log that were removed; said when all keys are gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contents: Option<u64>,
    },
    /// Its settings are these from now on.
    SettingsChanged {
        /// 1 is what the tenant was created with; one more with each change.
        revision: u32,
        /// All of them.
        settings: TenantSettings,
        /// The revision whose settings these are again: all changes after it are undone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back_to: Option<u32>,
    },
    /// The project exists.
    ProjectCreated {
        /// The project: `tenant/project` is its scope.
        project: ProjectId,
        /// What people call it.
        name: String,
    },
    /// People call it something else.
    ProjectRenamed {
        /// Which.
        project: ProjectId,
        /// What they call it now.
        name: String,
    },
    /// Nothing new begins there until it is restored.
    ProjectArchived {
        /// Which.
        project: ProjectId,
        /// Reason, shown to everybody who is refused by it.
        reason: String,
    },
    /// It may be used again.
    ProjectRestored {
        /// Which.
        project: ProjectId,
    },
    /// The flag is on for these.
    FlagSet {
        /// Which.
        flag: FlagId,
        /// For whom it is on.
        spec: FlagSpec,
    },
    /// The flag is not set here any more; the plan's holds, if it has one.
    FlagRemoved {
        /// Which.
        flag: FlagId,
    },
    /// The tenant may have so many.
    QuotaSet {
        /// Of what.
        quota: QuotaKind,
        /// Who says so: operators, or the tenant itself. The lower of the two binds.
        level: BudgetLevel,
        /// How many at most.
        limit: u64,
    },
    /// This level says nothing of it any more.
    QuotaRemoved {
        /// Of what.
        quota: QuotaKind,
        /// Which level.
        level: BudgetLevel,
    },
    /// The tenant is on this plan, or on none.
    PlanSet {
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<PlanId>,
    },
    /// What a plan gives to all tenants on it; recorded in the tenant `steward`.
    PlanDefined {
        /// Which.
        plan: PlanId,
        /// 1 for the first definition, one more for each change.
        revision: u32,
        /// What it gives.
        spec: PlanSpec,
    },
}

impl TenantEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}

/// What a tenant has set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    /// IANA name of the time zone its budget windows turn in.
    pub timezone: String,
    /// What people call the tenant; empty if nothing else than its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Whom operators turn to: an address of a team, not of a person; empty if nobody was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    /// What the tenant is for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl TenantSettings {
    /// What a tenant starts with.
    pub fn of_new(timezone: &str) -> Self {
        Self {
            timezone: timezone.to_owned(),
            display_name: String::new(),
            contact: String::new(),
            description: String::new(),
        }
    }
}
