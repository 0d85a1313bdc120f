//! The journal of one gateway run for one set of scopes. That gateway writes it, and so do those who close a lease.
//!
//! In the log each commit says once what its calls have in common (`crate::commit::journal`); here, and for people, each
//! event is complete.

use serde::{Deserialize, Serialize};

use crate::event::{AnswerSource, CallContext, CallOutcome, Saved, Savings, Tags, TokenUsage, UnpricedSet};
use crate::id::{CallId, CorrelationId, LeaseId};
use crate::quantity::{Amounts, NanoDollars, SchemaVersion};
use crate::shared::Shared;

/// Events of what a gateway spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // half of all are finishes: a box for each would only cost
pub enum UsageEvent {
    /// From the acknowledgement of this on, the call may be at the provider.
    CallStarted {
        /// The attempt.
        call: CallId,
        /// What it is paid from.
        lease: LeaseId,
        /// For whom, of whom, at which price.
        #[serde(flatten)]
        context: Shared<CallContext>,
        /// The most it can cost.
        worst: Amounts,
        /// The caller's request; attempts of one request share it.
        request: CorrelationId,
        /// What the caller says about it.
        #[serde(default, skip_serializing_if = "Tags::is_empty")]
        tags: Tags,
    },
    /// What the call used. Recorded once, also after the lease was closed.
    CallFinished {
        /// The attempt.
        call: CallId,
        /// What it was paid from.
        lease: LeaseId,
        /// For whom, of whom, at which price.
        #[serde(flatten)]
        context: Shared<CallContext>,
        /// What the provider says it used.
        tokens: TokenUsage,
        /// The cost at the recorded price.
        cost: NanoDollars,
        /// Which of that price's variants was charged, from 1; 0 for its base.
        #[serde(default, skip_serializing_if = "is_base")]
        variant: u16,
        /// What of this the price does not name.
        #[serde(default, skip_serializing_if = "UnpricedSet::is_empty")]
        unpriced: UnpricedSet,
        /// Where the answer came from.
        source: AnswerSource,
        /// What was saved where the provider was not asked.
        #[serde(default, skip_serializing_if = "Saved::is_nothing")]
        saved: Saved,
        /// What was saved although the provider was asked, by cause.
        #[serde(default, skip_serializing_if = "Savings::is_empty")]
        savings: Savings,
        /// How much of this counts against the lease.
        used: Amounts,
        /// What the provider billed beyond the worst case, shown as its own number.
        late: Amounts,
        /// How it ended.
        outcome: CallOutcome,
        /// From sending to the last byte, in milliseconds.
        duration_ms: u64,
        /// What the caller says about it.
        #[serde(default, skip_serializing_if = "Tags::is_empty")]
        tags: Tags,
    },
    /// No call may start on this lease any more.
    LeaseClosed {
        /// The lease.
        lease: LeaseId,
        /// Why: `expired`, `recalled`, `revoked`, `suspended`, `drained`.
        reason: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_base(variant: &u16) -> bool {
    *variant == 0
}

impl UsageEvent {
    pub(super) const SCHEMA: SchemaVersion = SchemaVersion(3);

    /// The lease concerned.
    pub const fn lease(&self) -> &LeaseId {
        match self {
            Self::CallStarted { lease, .. } | Self::CallFinished { lease, .. } | Self::LeaseClosed { lease, .. } => {
                lease
            }
        }
    }

    /// The call concerned; none for `LeaseClosed`.
    pub const fn call(&self) -> Option<&CallId> {
        match self {
            Self::CallStarted { call, .. } | Self::CallFinished { call, .. } => Some(call),
            Self::LeaseClosed { .. } => None,
        }
    }
}
