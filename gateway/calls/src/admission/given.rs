//! Calls that are given another's answer: on record like all others, start and finish in one commit, and at no cost; or with
//! a reservation of their own, bearing a part of the cost.

use std::sync::Arc;

use steward_events::event::{
    AnswerSource, CallContext, CallOutcome, PriceVersion, Saved, Savings, Tags, Target, TokenUsage, UnpricedSet,
    UsageEvent,
};
use steward_events::id::{CallId, LeaseId};
use steward_events::quantity::{Amounts, NanoDollars};
use steward_events::shared::Shared;

use super::account::fresh;
use super::{Admission, Refusal, Reservation, ReservationRequest, Settled};

/// An answer that a call was given although nobody was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The call.
    pub call: CallId,
    /// Where the answer came from.
    pub source: AnswerSource,
    /// What was not spent.
    pub saved: Saved,
    /// How it ended.
    pub outcome: CallOutcome,
    /// From the request to the answer.
    pub duration_ms: u64,
}

/// Whether a call bears what the provider billed with others.
#[derive(Clone, Debug, Default)]
pub enum Sharing {
    /// It was asked for this call, which bears it alone.
    #[default]
    Alone,
    /// It was asked for this call, and others bear so much of it.
    Led(Saved),
    /// Another call was answered, and this one bears a part.
    Followed(Box<Followed>),
}

/// A call of whose cost another bears a part.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The call.
    pub call: CallId,
    /// Who answered it.
    pub target: Target,
    /// The price there.
    pub price: PriceVersion,
    /// What the other does not bear.
    pub saved: Saved,
}

impl Admission {
    /// Records that a call was given an answer for which nobody was asked: start and finish at once, at no cost. It needs
    /// nothing of any budget, so it waits for nobody.
    ///
    /// # Errors
    /// [`Refusal`], and then nothing may be given.
    pub async fn give(self: &Arc<Self>, wanted: ReservationRequest, given: Given) -> Result<Settled, Refusal> {
        let wanted = ReservationRequest { worst: Amounts::ZERO, worst_min: Amounts::ZERO, ..wanted };
        // With its start its finish is recorded too: nothing is left to be finished.
        let Reservation { budget_left, .. } = self.admit(Arc::new(wanted), Some(given)).await?;
        Ok(Settled { used: Amounts::ZERO, late: Amounts::ZERO, budget_left })
    }

    /// A new id of a call.
    pub fn new_call(&self) -> CallId {
        fresh(&*self.ports.ids)
    }
}

impl Given {
    /// The finish, as it is recorded.
    pub(super) fn finished(&self, lease: &LeaseId, context: &Shared<CallContext>) -> UsageEvent {
        UsageEvent::CallFinished {
            call: self.call.clone(),
            lease: lease.clone(),
            context: context.clone(),
            tokens: TokenUsage::default(),
            cost: NanoDollars(0),
            variant: 0,
            unpriced: UnpricedSet::default(),
            source: self.source.clone(),
            saved: self.saved,
            savings: Savings::default(),
            used: Amounts::ZERO,
            late: Amounts::ZERO,
            outcome: self.outcome.clone(),
            duration_ms: self.duration_ms,
            tags: Tags::default(),
        }
    }
}
