//! The end of a call, as the log has it.
//!
//! The last byte of an answer is made from a [`Settled`], and the one way to a [`Settled`] is to record the end: that is
//! how the last byte waits for `CallFinished`.

use std::sync::Arc;

use steward_events::event::{Saved, TokenUsage};
use steward_events::quantity::{NanoDollars, Tokens};

use crate::dialect::Total;

use crate::admission::{Admission, Finish, FinishError, Given, Refusal, Reservation, ReservationRequest, Sharing};

/// Proof that the end of a call is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    tokens: TokenUsage,
    cost: NanoDollars,
    budget_left: Option<NanoDollars>,
    /// What others bear of what it would have come to by itself.
    others: Saved,
}

impl Settled {
    /// Records the end of the call that `reservation` is for. Returns when the log has acknowledged it.
    pub(crate) async fn record(reservation: Reservation, finish: Finish) -> Result<Self, FinishError> {
        let (tokens, cost) = (finish.tokens, finish.cost);
        let others = match &finish.sharing {
            Sharing::Alone => Saved::default(),
            Sharing::Led(saved) => *saved,
            Sharing::Followed(followed) => followed.saved,
        };
        let recorded = reservation.finish(finish).await?;
        Ok(Self { tokens, cost, budget_left: recorded.budget_left, others })
    }

    /// Records that a call was given another's answer: it used nothing.
    pub(crate) async fn give(
        admission: &Arc<Admission>,
        wanted: ReservationRequest,
        given: Given,
    ) -> Result<Self, Refusal> {
        let recorded = admission.give(wanted, given).await?;
        let (tokens, cost, others) = (TokenUsage::default(), NanoDollars(0), Saved::default());
        Ok(Self { tokens, cost, budget_left: recorded.budget_left, others })
    }

    /// What the call came to, for the last byte of its answer.
    pub(crate) const fn total(&self) -> Total {
        Total { cost: self.cost, budget_left: self.budget_left }
    }

    /// What the call used.
    pub const fn tokens(&self) -> TokenUsage {
        self.tokens
    }

    /// What it cost.
    pub const fn cost(&self) -> NanoDollars {
        self.cost
    }

    /// What the provider billed, whoever bears it: who is given the answer again saves that.
    pub(crate) const fn whole(&self) -> Saved {
        Saved {
            tokens: Tokens(self.tokens.total().0.saturating_add(self.others.tokens.0)),
            money: NanoDollars(self.cost.0.saturating_add(self.others.money.0)),
        }
    }

    /// What is left of the tightest budget in money, if there is one.
    pub const fn budget_left(&self) -> Option<NanoDollars> {
        self.budget_left
    }
}
