//! Every reason for which a command is refused: an expected "no", part of the language.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{PrincipalId, TenantId};
use crate::permission::Permission;
use crate::scope::Scope;

/// Why not. Never retried as it is; one HTTP status each (the gateway's table).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Rejection {
    /// The principal does not hold the permission there.
    #[error("denied: {reason}")]
    Forbidden {
        /// Who asked.
        principal: PrincipalId,
        /// What they need.
        permission: Permission,
        /// Where they need it.
        scope: Scope,
        /// Which check failed and why.
        reason: String,
        /// What would have allowed it, as a command.
        would_allow: String,
    },
    /// Nobody created it, or it was erased.
    #[error("there is no tenant {tenant}")]
    UnknownTenant {
        /// The name asked for.
        tenant: TenantId,
    },
    /// The tenant is suspended.
    #[error("tenant {tenant} is suspended: {reason}")]
    Suspended {
        /// The tenant.
        tenant: TenantId,
        /// The reason recorded.
        reason: String,
    },
    /// What the command is about does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// Kind of thing.
        what: String,
        /// Its name.
        id: String,
    },
    /// The name is taken by something else.
    #[error("{what} {id} exists already")]
    AlreadyExists {
        /// Kind of thing.
        what: String,
        /// Its name.
        id: String,
    },
    /// A field's value cannot be right.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// It does not fit, and would not fit if all that is open came back unused.
    #[error("budget {budget} is exhausted: {requested} requested, {available} left of {limit}")]
    BudgetExhausted {
        /// Which budget, as people write it.
        budget: String,
        /// What was asked for.
        requested: String,
        /// What is left.
        available: String,
        /// The limit.
        limit: String,
        /// When its window turns and there is room again; none for a total.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resets_at: Option<Timestamp>,
    },
    /// A later claim, turn or state made it pointless.
    #[error("out of date: {reason}")]
    Stale {
        /// What happened in the meantime.
        reason: String,
    },
    /// The command was issued too long ago to know whether it was decided before.
    #[error("the command was issued more than 10 minutes ago; issue it again")]
    Expired,
}

impl Rejection {
    /// A field that cannot be right.
    pub fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), reason: reason.into() }
    }

    /// Something that is not there.
    pub fn not_found(what: &str, id: &impl ToString) -> Self {
        Self::NotFound { what: what.to_owned(), id: id.to_string() }
    }

    /// Out of date.
    pub fn stale(reason: impl Into<String>) -> Self {
        Self::Stale { reason: reason.into() }
    }

    /// The stable word for this reason, e.g. `forbidden`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "forbidden",
            Self::UnknownTenant { .. } => "unknown_tenant",
            Self::Suspended { .. } => "suspended",
            Self::NotFound { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Invalid { .. } => "invalid",
            Self::BudgetExhausted { .. } => "budget_exhausted",
            Self::Stale { .. } => "stale",
            Self::Expired => "expired",
        }
    }
}
