//! Feature flags.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{Page, Paging, list_query};
use steward_events::event::FlagSpec;
use steward_events::id::{FlagId, PrincipalId};
use steward_events::quantity::Position;

list_query! {
    /// Lists feature flags as they are set.
    ListFlags {}
}

/// Feature flags.
pub type FlagPage = Page<FlagRow>;

/// One feature flag as it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlagRow {
    /// Name of the flag.
    pub flag: FlagId,
    /// For whom it is on.
    pub spec: FlagSpec,
    /// True if the tenant has it from its plan.
    pub of_plan: bool,
}

/// Reads all flags as they are for one principal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadFlags {
    /// Principal for whom; the caller if left out. For others `flag:list` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalId>,
    /// Answer only from a state that includes this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_position: Option<Position>,
}

/// The flags of one principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flags {
    /// For whom.
    pub principal: PrincipalId,
    /// Each flag, on or off. A flag that is not set is not named: take it for off.
    pub flags: BTreeMap<FlagId, bool>,
}
