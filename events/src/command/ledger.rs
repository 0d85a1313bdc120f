//! Commands about budgets and leases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Body;
use crate::event::{BudgetLevel, UnsettledCall};
use crate::id::{CallId, LeaseId, TenantId};
use crate::quantity::{Amounts, Limit, Position, Turn, Unit, Window};
use crate::scope::{Scope, ScopeSet, Subject};

commands! {
    LedgerCommand of Ledger {
        "budget" "set" => SetBudget, Callers, "Set a budget's limit for a scope and window";
        "budget" "remove" => RemoveBudget, Callers, "Remove a budget";
        "lease" "grant" => GrantLease, System, "Lend a gateway part of the budgets of a set of scopes";
        "lease" "renew" => RenewLease, System, "Report what was used and change a lease's terms";
        "lease" "withdraw" => WithdrawRequest, System, "Remove a call that has given up from the line";
        "lease" "recall" => RecallLease, System, "Ask a holder to hand back what is free";
        "lease" "end" => EndLease, System, "End a lease whose journal is closed";
        "lease" "correct" => CorrectLease, System, "Settle a call after the end of its lease";
    }
}

const fn yes() -> bool {
    true
}

/// Sets a budget's limit; makes the budget if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    /// Scope: calls at this scope and below count.
    pub scope: Scope,
    /// Only calls of this subject count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Limit: `$5.00`, `100 calls` or `50000 tokens`.
    pub limit: Limit,
    /// Window over which the budget counts.
    #[serde(default)]
    pub per: Window,
    /// True: nothing over the limit is admitted. False: spending beyond the thresholds is recorded, and nothing is refused.
    #[serde(default = "yes")]
    pub hard: bool,
    /// Percentages of the limit: the first spending beyond each of them is recorded, as `ledger.threshold_crossed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 1, max = 100)))]
    pub warn: Vec<u8>,
    /// Level of the budget: `platform` (operators), `tenant` or `project`. The sender's own if left out; a lower one can
    /// be named, a higher one cannot. Budgets of all levels bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<BudgetLevel>,
}

impl Body for SetBudget {
    fn begins_in_project(&self) -> bool {
        true
    }
    fn scope(&self, _: &TenantId) -> Scope {
        self.scope.clone()
    }
    fn has_level(&self) -> bool {
        true
    }
}

/// Removes a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveBudget {
    /// Scope of the budget.
    pub scope: Scope,
    /// Subject of the budget, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Unit of the budget.
    pub unit: Unit,
    /// Window of the budget.
    #[serde(default)]
    pub per: Window,
    /// Level of the budget, as in `budget set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<BudgetLevel>,
}

impl Body for RemoveBudget {
    fn scope(&self, _: &TenantId) -> Scope {
        self.scope.clone()
    }
    fn has_level(&self) -> bool {
        true
    }
}

/// What a holder asks room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The call at the head of the holder's line; its place in the ledger's line.
    pub call: CallId,
    /// What this call needs beyond what the holder keeps.
    pub need: Amounts,
    /// The least that would do, where the caller set no `max_tokens`; equal to `need` otherwise.
    pub need_min: Amounts,
    /// The least that the call costs whatever the holder keeps: what settled amounts leave no room for is refused.
    pub whole_min: Amounts,
    /// How many calls wait at this holder, this one included: a call that can be cut is cut to its share.
    #[serde(default)]
    pub waiting: u32,
    /// What the holder would like beyond that, for calls to come.
    pub want: Amounts,
}

/// Asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantLease {
    /// The lease: the holder counts.
    pub lease: LeaseId,
    /// For which scopes.
    pub scopes: ScopeSet,
    /// With how much.
    pub request: LeaseRequest,
}

impl Body for GrantLease {}

/// Reports and asks for new terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewLease {
    /// The lease.
    pub lease: LeaseId,
    /// One more than the last.
    pub turn: Turn,
    /// The report counts finishes acknowledged up to here.
    pub through: Position,
    /// All that finished calls used.
    pub used_total: Amounts,
    /// All that went beyond reservations.
    pub late_total: Amounts,
    /// The cap the holder has already lowered itself to.
    pub keep_total: Amounts,
    /// What it asks for on top, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<LeaseRequest>,
}

impl Body for RenewLease {}

/// Takes a call that has given up out of the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawRequest {
    /// The call.
    pub call: CallId,
}

impl Body for WithdrawRequest {}

/// Asks holders for what is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallLease {
    /// The lease.
    pub lease: LeaseId,
}

impl Body for RecallLease {}

/// Ends a lease by what its journal says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndLease {
    /// The lease.
    pub lease: LeaseId,
    /// Where its journal says `LeaseClosed`.
    pub closed_at: Position,
    /// All that finished calls used.
    pub used_total: Amounts,
    /// All that went beyond.
    pub late_total: Amounts,
    /// Calls that started and have not finished.
    pub unsettled: Vec<UnsettledCall>,
}

impl Body for EndLease {}

/// Replaces a worst case by what was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectLease {
    /// The lease.
    pub lease: LeaseId,
    /// The call.
    pub call: CallId,
    /// What it used.
    pub used: Amounts,
    /// What went beyond its reservation.
    pub late: Amounts,
    /// What stays unsettled, if the finish is an estimate.
    #[serde(default)]
    pub left: Amounts,
}

impl Body for CorrectLease {}
