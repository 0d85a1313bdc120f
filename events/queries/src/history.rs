//! The history of a tenant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use steward_events::event::{AggregateKind, UnknownKind};
use steward_events::id::PrincipalId;
use steward_events::quantity::{Position, Version};
use steward_events::timestamp::Timestamp;

/// Asks for history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayQuery {
    /// Events recorded from this moment on.
    pub from: Option<Timestamp>,
    /// Events recorded before this moment.
    pub to: Option<Timestamp>,
    /// Only of these aggregates.
    pub kinds: Vec<String>,
    /// After this position: to page on.
    pub after: Position,
    /// Only the last so many.
    pub last: Option<u32>,
    /// At most so many in one answer (1000 at most).
    pub count_max: Option<u32>,
}

/// A page of history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    /// The events, in order.
    #[serde(rename = "facts")]
    pub events: Vec<HistoryEvent>,
    /// Ask again with `after` set to this; none at the end.
    pub next: Option<Position>,
}

/// One event as people and machines read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEvent {
    /// Its commit's place in the shard.
    pub position: Position,
    /// Its stream: `<aggregate>/<id>`.
    pub stream: String,
    /// Its commit's number in the stream.
    pub version: Version,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: PrincipalId,
    /// For whom, if not for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PrincipalId>,
    /// What, e.g. `ledger.budget_set`.
    pub name: String,
    /// The details.
    pub data: serde_json::Value,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// The command that was decided.
    pub command: String,
    /// The chain it belongs to.
    pub correlation: String,
    /// BLAKE3 of its commit.
    pub hash: String,
}

/// Which aggregates a replay reads: all if none is named.
///
/// # Errors
/// The first word that names no aggregate.
pub fn kinds(words: &[String]) -> Result<Vec<AggregateKind>, UnknownKind> {
    words.iter().map(|word| word.parse()).collect()
}
