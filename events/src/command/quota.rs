//! Commands about the places that a tenant's quotas give.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::QuotaKind;
use crate::id::StreamId;

commands! {
    QuotaCommand of Quota {
        "quota" "take" => TakePlace, System, "Take a place of a quota for a thing that is about to be made";
        "quota" "return" => ReturnPlace, System, "Give a place of a quota back";
    }
}

/// Takes a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakePlace {
    /// Of which quota.
    pub quota: QuotaKind,
    /// For which thing: its stream.
    pub id: StreamId,
    /// How many places there are; none: the thing is there already, and counts whatever the quota says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Body for TakePlace {}

/// Gives a place back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnPlace {
    /// Of which quota.
    pub quota: QuotaKind,
    /// Of which thing.
    pub id: StreamId,
}

impl Body for ReturnPlace {}
