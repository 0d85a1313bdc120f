//! Quotas: how many of its things a tenant may have; and which places are taken of those whose things have streams of their
//! own.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::StreamId;
use crate::quantity::SchemaVersion;

/// Events of the places that a tenant's quotas give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum QuotaEvent {
    /// A thing that is about to be made has a place, or one that was there before is counted.
    PlaceTaken {
        /// Of which quota.
        quota: QuotaKind,
        /// Whose: the stream of the thing.
        id: StreamId,
    },
    /// The thing is over, or was never made.
    PlaceReturned {
        /// Of which quota.
        quota: QuotaKind,
        /// Whose it was.
        id: StreamId,
    },
}

impl QuotaEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(1);
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// People who are not disabled.
    Users,
    /// Service accounts that are not disabled.
    Accounts,
    /// API keys that work, those of tasks left out.
    Keys,
    /// Agents.
    Agents,
    /// Tasks that have not ended.
    Tasks,
    /// Commands of the tenant's people and programs in a minute, in each process that decides.
    CommandsPerMinute,
    /// Queries of the tenant's people and programs in a minute, in each process that answers.
    QueriesPerMinute,
    /// Bytes of the files that are kept.
    ContentBytes,
}

impl QuotaKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Users,
        Self::Accounts,
        Self::Keys,
        Self::Agents,
        Self::Tasks,
        Self::CommandsPerMinute,
        Self::QueriesPerMinute,
        Self::ContentBytes,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Accounts => "accounts",
            Self::Keys => "keys",
            Self::Agents => "agents",
            Self::Tasks => "tasks",
            Self::CommandsPerMinute => "commands_per_minute",
            Self::QueriesPerMinute => "queries_per_minute",
            Self::ContentBytes => "content_bytes",
        }
    }

    /// True if places are taken of it, because each of its things has a stream of its own.
    pub const fn has_places(self) -> bool {
        matches!(self, Self::Agents | Self::Tasks)
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The quotas that bind a tenant now: its own, the platform's and its plan's taken together. What is not named is bounded by
/// Steward's own limits only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas(BTreeMap<QuotaKind, u64>);

impl Quotas {
    /// How many at most, if that is said.
    pub fn limit(&self, quota: QuotaKind) -> Option<u64> {
        self.0.get(&quota).copied()
    }

    /// Says how many at most; a lower number that was said before stays.
    pub fn lower(&mut self, quota: QuotaKind, limit: u64) {
        let known = self.0.entry(quota).or_insert(limit);
        *known = limit.min(*known);
    }
}

impl FromIterator<(QuotaKind, u64)> for Quotas {
    fn from_iter<T: IntoIterator<Item = (QuotaKind, u64)>>(limits: T) -> Self {
        let mut quotas = Self::default();
        for (quota, limit) in limits {
            quotas.lower(quota, limit);
        }
        quotas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_written_as_it_is_recorded() {
        for quota in QuotaKind::ALL {
            assert_eq!(serde_json::to_value(quota).unwrap(), quota.as_str());
        }
    }

    #[test]
    fn the_lowest_limit_binds() {
        let quotas: Quotas = [(QuotaKind::Keys, 5), (QuotaKind::Keys, 3), (QuotaKind::Keys, 9)].into_iter().collect();
        assert_eq!((quotas.limit(QuotaKind::Keys), quotas.limit(QuotaKind::Users)), (Some(3), None));
    }
}
