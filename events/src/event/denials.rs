//! Refusals worth keeping.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::GrantId;
use crate::id::PrincipalId;
use crate::permission::Permission;
use crate::quantity::SchemaVersion;
use crate::rejection::Rejection;
use crate::scope::Scope;

/// What kind of no it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialKind {
    /// No key, or none that is good: 401.
    WrongKey,
    /// A right is missing: 403.
    Forbidden,
    /// The tenant is suspended: 403.
    Suspended,
    /// A budget is spent: 402.
    BudgetExhausted,
    /// What was asked for does not exist: 404.
    NotFound,
    /// Too much at once: 429.
    TooMuch,
    /// Somebody was not let in to the bus.
    Login,
    /// Somebody tried on the bus what nobody may.
    Violation,
}

impl DenialKind {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::WrongKey,
        Self::Forbidden,
        Self::Suspended,
        Self::BudgetExhausted,
        Self::NotFound,
        Self::TooMuch,
        Self::Login,
        Self::Violation,
    ];

    /// As it is recorded and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongKey => "wrong_key",
            Self::Forbidden => "forbidden",
            Self::Suspended => "suspended",
            Self::BudgetExhausted => "budget_exhausted",
            Self::NotFound => "not_found",
            Self::TooMuch => "too_much",
            Self::Login => "login",
            Self::Violation => "violation",
        }
    }

    /// The kind of no that `rejection` is; none for what is wrong in the request itself.
    pub const fn of(rejection: &Rejection) -> Option<Self> {
        match rejection {
            Rejection::Forbidden { .. } => Some(Self::Forbidden),
            Rejection::Suspended { .. } => Some(Self::Suspended),
            Rejection::UnknownTenant { .. } | Rejection::NotFound { .. } => Some(Self::NotFound),
            Rejection::BudgetExhausted { .. } => Some(Self::BudgetExhausted),
            Rejection::Busy { .. } | Rejection::QuotaExceeded { .. } => Some(Self::TooMuch),
            Rejection::AlreadyExists { .. }
            | Rejection::Invalid { .. }
            | Rejection::Reused { .. }
            | Rejection::Stale { .. }
            | Rejection::Expired => None,
        }
    }
}

/// Events of refusals. One writer a journal, at a bounded rate: each is there, by itself or in a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum DenialEvent {
    /// Somebody was told no.
    Denied {
        /// What kind of no.
        kind: DenialKind,
        /// Who, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<PrincipalId>,
        /// From where, if it is not known who.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// What they wanted, if it was a permission that they lack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
        /// Why not.
        reason: String,
    },
    /// So many more were told no within a second, and are not kept one by one.
    LeftOut {
        /// Who; neither this nor an address if it was many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<PrincipalId>,
        /// From where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// How many, by kind.
        kinds: BTreeMap<DenialKind, u64>,
        /// Some of what they wanted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        permissions: Vec<Permission>,
        /// Some of where.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<Scope>,
    },
    /// Somebody was told yes by a grant that is set aside for a trial, and would have been told no without it.
    Spared {
        /// Who.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<PrincipalId>,
        /// The grant.
        grant: GrantId,
        /// What they wanted, if it is told apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission: Option<Permission>,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
    },
}

impl DenialEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(3);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name() {
        for kind in DenialKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!(DenialKind::ALL.is_sorted());
    }
}
