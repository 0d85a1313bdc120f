//! The ledger: budgets and the leases that gateways spend from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{BudgetId, CallId, LeaseId};
use crate::quantity::{Amounts, Position, SchemaVersion, Turn, Unit, Window};
use crate::scope::{Scope, ScopeSet, Subject};
use crate::timestamp::Timestamp;

/// Events of a tenant's budgets and leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum LedgerEvent {
    /// A budget holds from now on, or has a new limit. A new one starts with what is already out within its scope.
    BudgetSet {
        /// Which life of the budget; kept while only limits change.
        budget: BudgetId,
        /// What it counts.
        key: BudgetKey,
        /// How much, and what happens near it.
        spec: BudgetSpec,
        /// Its window at that moment: what is already out within a new budget's scope counts there.
        window: WindowBounds,
    },
    /// The budget holds no more.
    BudgetRemoved {
        /// Which life of it.
        budget: BudgetId,
    },
    /// A holder may spend.
    LeaseGranted {
        /// The lease.
        lease: LeaseId,
        /// For which scopes.
        scopes: ScopeSet,
        /// The call it was asked for.
        call: CallId,
        /// With how much and until when.
        terms: LeaseTerms,
        /// The budget windows it takes from: bounds are recorded, never computed again.
        windows: Vec<WindowBounds>,
    },
    /// A holder reported and has new terms.
    LeaseRenewed {
        /// The lease.
        lease: LeaseId,
        /// The number of this renewal, exactly one more than the last.
        turn: Turn,
        /// The report counts what the lease's journal holds up to here.
        through: Position,
        /// All that finished calls used, by the finishes acknowledged so far.
        used_total: Amounts,
        /// All that went beyond reservations and leases.
        late_total: Amounts,
        /// With how much and until when, from now on.
        terms: LeaseTerms,
        /// The waiting call that these terms make room for, if they do.
        call: Option<CallId>,
    },
    /// The lease is over: its journal holds `LeaseClosed`, and this is what that journal says.
    LeaseEnded {
        /// The lease.
        lease: LeaseId,
        /// Where its journal says `LeaseClosed`.
        closed_at: Position,
        /// All that finished calls used.
        used_total: Amounts,
        /// All that went beyond.
        late_total: Amounts,
        /// Calls that started and have not finished: their worst cases stay held out.
        unsettled: Vec<UnsettledCall>,
    },
    /// A finish came after its lease's end: its worst case is replaced by what was used.
    LeaseCorrected {
        /// The lease.
        lease: LeaseId,
        /// The call.
        call: CallId,
        /// What it used.
        used: Amounts,
        /// What went beyond its reservation.
        late: Amounts,
        /// What stays unsettled: an estimate leaves the rest of the worst case open.
        left: Amounts,
    },
    /// A call did not fit now but may once others settle: it waits in line. Recorded again, it keeps its place for longer.
    RequestQueued {
        /// Whose place it is.
        call: CallId,
        /// For which scopes.
        scopes: ScopeSet,
        /// The least that would do; nobody behind it may take that.
        need: Amounts,
    },
    /// A call left the line: admitted, refused or given up.
    RequestDequeued {
        /// Which.
        call: CallId,
    },
    /// Someone waits: the holder is to hand back what is free.
    LeaseRecalled {
        /// The lease.
        lease: LeaseId,
    },
    /// Spending passed a soft threshold of a budget for the first time in this window.
    ThresholdCrossed {
        /// Which life of the budget.
        budget: BudgetId,
        /// The window.
        window: WindowBounds,
        /// The threshold in percent of the limit.
        percent: u8,
    },
}

impl LedgerEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(2);
}

/// What a budget counts, and who set it. A tenant has at most one budget with the same key; those of several levels that
/// count the same bind together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetKey {
    /// Scope: calls at this scope and below count.
    pub scope: Scope,
    /// Where the right was held by which it was set: `*` for operators. Who holds that right there changes it.
    pub level: Scope,
    /// Only calls of this subject count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// In this unit.
    pub unit: Unit,
    /// Over this span.
    pub window: Window,
}

/// Who sets a budget, changes it and removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetLevel {
    /// Operators.
    Platform,
    /// Principals with the right on the whole tenant, and operators.
    Tenant,
    /// Principals with the right on a project, and those above.
    Project,
}

impl BudgetLevel {
    /// The level of a right that is held at `scope`.
    pub fn of(scope: &Scope) -> Self {
        if *scope == Scope::everything() {
            Self::Platform
        } else if scope.project().is_none() {
            Self::Tenant
        } else {
            Self::Project
        }
    }
}

impl fmt::Display for BudgetLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Platform => "platform",
            Self::Tenant => "tenant",
            Self::Project => "project",
        })
    }
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scope)?;
        if let Some(subject) = &self.subject {
            write!(f, " for {subject}")?;
        }
        match self.window {
            Window::Total => write!(f, " in total"),
            window => write!(f, " a {window}"),
        }
    }
}

/// A budget's limit and thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpec {
    /// The limit: calls, tokens or nano-dollars by the key's unit.
    pub limit: u64,
    /// True: nothing over the limit is admitted. False: spending beyond the thresholds is recorded, and nothing is refused.
    pub hard: bool,
    /// Percentages of the limit: the first spending beyond each of them in a window is recorded.
    pub warn_percent: Vec<u8>,
}

/// How much a lease holds, and until when calls may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerms {
    /// The most that the lease may use in all, what it has used included.
    pub cap_total: Amounts,
    /// No call may start after this.
    pub until: Timestamp,
    /// A holder that is silent until then is taken for gone, and the lease is closed.
    pub expires: Timestamp,
}

/// One turn of a budget's window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowBounds {
    /// The budget.
    pub budget: BudgetId,
    /// First moment of this window.
    pub from: Timestamp,
    /// First moment after it; none for a total.
    pub to: Option<Timestamp>,
}

impl WindowBounds {
    /// True if both are the same turn; it may last longer than was thought where the time zone was changed.
    pub fn is_same_turn(&self, other: &Self) -> bool {
        self.budget == other.budget && self.from == other.from
    }
}

/// A call whose cost is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsettledCall {
    /// The call.
    pub call: CallId,
    /// The most it can cost.
    pub worst: Amounts,
}
