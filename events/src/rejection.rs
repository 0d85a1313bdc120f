//! Every reason for which a command is refused: an expected "no", part of the language.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{CommandId, PrincipalId, TenantId};
use crate::permission::Permission;
use crate::scope::Scope;
use crate::timestamp::Timestamp;

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
        /// Name or id of the thing.
        id: String,
    },
    /// The name is taken by something else.
    #[error("{what} {id} already exists")]
    AlreadyExists {
        /// Kind of thing.
        what: String,
        /// Name or id of the thing.
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
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::timestamp::optional_text")]
        #[schemars(with = "Option<Timestamp>")]
        resets_at: Option<Timestamp>,
    },
    /// The tenant has as many as it may.
    #[error(
        "quota {quota} is used up: {taken} of {limit} taken; remove some, or ask an operator for more (steward quota set {quota})"
    )]
    QuotaExceeded {
        /// Of what.
        quota: String,
        /// How many the tenant may have.
        limit: u64,
        /// How many it has.
        taken: u64,
    },
    /// The command's id was used before, for something else: nothing of this was done.
    #[error("the id {id} (Idempotency-Key) was used for another command before; send this one with a new id")]
    Reused {
        /// The id.
        id: CommandId,
    },
    /// A later claim, turn or state made it pointless.
    #[error("no longer valid: {reason}")]
    Stale {
        /// What happened in the meantime.
        reason: String,
    },
    /// The command was issued too long ago to know whether it was decided before.
    #[error("the command was issued too long ago to know whether it was already decided; send it as a new command")]
    Expired,
    /// Too much at once; nothing was done.
    #[error("{reason}")]
    Busy {
        /// Of what, and when to come back.
        reason: String,
    },
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
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::Reused { .. } => "reused",
            Self::Stale { .. } => "stale",
            Self::Expired => "expired",
            Self::Busy { .. } => "busy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Position;
    use crate::request::{Format, Reply};

    /// An internally tagged enum is buffered by serde, which forgets that MessagePack is not for people.
    #[test]
    fn every_rejection_travels_in_both_formats() {
        let text = |text: &str| text.to_owned();
        let all = [
            Rejection::Forbidden {
                principal: PrincipalId::new("p_a").unwrap(),
                permission: "budget:set".parse().unwrap(),
                scope: "acme/support".parse().unwrap(),
                reason: text("no grant"),
                would_allow: text("steward grant give"),
            },
            Rejection::UnknownTenant { tenant: TenantId::new("acme").unwrap() },
            Rejection::Suspended { tenant: TenantId::new("acme").unwrap(), reason: text("unpaid") },
            Rejection::not_found("task", &"t_1"),
            Rejection::AlreadyExists { what: text("key"), id: text("key_1") },
            Rejection::invalid("limit", "too small"),
            Rejection::BudgetExhausted {
                budget: text("acme a day"),
                requested: text("$1.00"),
                available: text("$0.00"),
                limit: text("$1.00"),
                resets_at: Some(Timestamp(1_795_474_800_000_000)),
            },
            Rejection::QuotaExceeded { quota: text("agents"), limit: 2, taken: 2 },
            Rejection::Reused { id: CommandId::new("c_1").unwrap() },
            Rejection::stale("claimed by another"),
            Rejection::Expired,
            Rejection::Busy { reason: text("too many requests wait") },
        ];
        for rejection in all {
            for format in [Format::Json, Format::MessagePack] {
                let reply = Reply::refused(rejection.clone(), Position(7));
                let read: Reply = format.read(&format.write(&reply).unwrap()).unwrap();
                assert_eq!(read, reply, "{format:?}");
            }
        }
    }
}
