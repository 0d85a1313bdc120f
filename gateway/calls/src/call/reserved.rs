//! Authorised → reserved: what one attempt can cost at most is taken out of the budgets, and `CallStarted` is in the log.
//!
//! Rates over time are budgets, so they are kept here too.

use std::sync::Arc;
use std::time::Duration;

use steward_events::event::{CallContext, Target};
use steward_events::id::CallId;
use steward_events::quantity::{Amounts, Limit};
use steward_events::rejection::Rejection;
use steward_events::scope::ScopeSet;
use steward_events::shared::Shared;
use steward_ports::clock::Clock;
use tracing::Span;

use super::authorised::Authorised;
use super::planned::ResolvedTarget;
use crate::access::Access;
use crate::admission::{Admission, Given, Refusal, Reservation, ReservationRequest};
use crate::error::Error;
use crate::estimate::Rate;
use crate::settled::Settled;
use crate::targets::Trial;
use crate::trace;

/// A budget that refills later than this is spent; one that does so sooner is a rate.
const REFILL_WAIT_MAX: Duration = Duration::from_mins(1);

/// An attempt that may be at the provider, until it is settled.
pub(super) struct Reserved {
    pub(super) reservation: Reservation,
    /// What it is charged.
    pub(super) rate: Rate,
    pub(super) span: Span,
    /// When the reservation was recorded, by the monotonic clock.
    pub(super) since: Duration,
    /// Whom it is for.
    pub(super) target: Target,
    /// How it goes, for what is known of its target.
    pub(super) trial: Trial,
    /// The number of this attempt, from 1.
    pub(super) number: u32,
    /// Time in the gateway until then.
    pub(super) overhead: Duration,
    pub(super) output: Output,
}

/// The output of one choice that was paid for.
#[derive(Clone, Copy)]
pub(super) struct Output {
    /// In tokens; none if not even one.
    pub(super) tokens: Option<u64>,
    /// True if that is less than the caller wanted.
    pub(super) clamped: bool,
}

impl Output {
    /// Output tokens of one choice that it may produce.
    pub(super) fn each(self) -> u64 {
        self.tokens.unwrap_or(0)
    }
}

impl Reserved {
    /// Its id in the log.
    pub(super) const fn call(&self) -> &CallId {
        &self.reservation.call
    }
}

/// Reserves for attempts.
pub(super) struct Reserver {
    pub(super) access: Arc<Access>,
    pub(super) admission: Arc<Admission>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a reservation may take in all.
    pub(super) wait_max: Duration,
}

impl Reserver {
    /// Reserves for the attempt with this number, at `to`.
    pub(super) async fn reserve(
        &self,
        call: &Authorised,
        to: &ResolvedTarget,
        (number, trial): (u32, Trial),
    ) -> Result<Reserved, Error> {
        if self.clock.off().is_some() {
            return Err(Error::Unavailable("the clock of this process is wrong: see /readyz".to_owned()));
        }
        let plan = &call.plan;
        let worst = (plan.estimate.worst(), plan.estimate.worst_min());
        let reservation = self.in_time(call, self.admission.reserve(request(call, &to.target, worst))).await?;
        let tokens = plan.estimate.output_for(reservation.granted);
        let wanted = call.request.output_limit.unwrap_or(plan.estimate.output_max);
        let (model, upstream_model) = (&call.request.model, &to.target.upstream_model);
        let since = self.clock.monotonic();
        Ok(Reserved {
            span: trace::attempt(model, upstream_model, &to.target.provider, &reservation.call),
            reservation,
            rate: plan.estimate.rate.clone(),
            since,
            target: to.target.clone(),
            trial,
            number,
            overhead: since.saturating_sub(call.began),
            output: Output { tokens, clamped: tokens.is_some_and(|output| output < wanted) },
        })
    }

    /// A new id of a call.
    pub(super) fn new_call(&self) -> CallId {
        self.admission.new_call()
    }

    /// Records that the call got an answer that `target` made for another.
    pub(super) async fn give(&self, call: &Authorised, target: &Target, given: Given) -> Result<Settled, Error> {
        let nothing = (Amounts::ZERO, Amounts::ZERO);
        self.in_time(call, Settled::give(&self.admission, request(call, target, nothing), given)).await
    }

    /// What comes of `admitting`, while the caller may call.
    async fn in_time<T>(
        &self,
        call: &Authorised,
        admitting: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            admitted = admitting => admitted.map_err(|refusal| self.refused(call, refusal)),
            // A caller that may not call any more is told at once, not when there would have been room. What was reserved
            // for it meanwhile is recorded as not sent.
            why = self.access.until_revoked(call.key.shard, || call.check(&self.access)) => Err(why.into()),
            // So is one that waits for a log that takes nothing.
            () = tokio::time::sleep(self.wait_max) => {
                Err(Error::Unavailable("the start of the call cannot be recorded in the log now: see /readyz".to_owned()))
            }
        }
    }

    fn refused(&self, call: &Authorised, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Exhausted(rejection) => self.soon_refilled(&rejection).unwrap_or(Error::Rejected(rejection)),
            Refusal::WaitedTooLong { retry_after } => Error::Busy { reason: refusal.to_string(), retry_after },
            Refusal::Closed(reason) => match call.check(&self.access) {
                Err(why) => why.into(),
                Ok(()) => Error::Unavailable(format!("no calls are admitted: {reason}")),
            },
            Refusal::Unavailable(cause) => {
                tracing::warn!(error = %cause, "admission is not possible");
                Error::Unavailable("budgets cannot be checked now".to_owned())
            }
        }
    }

    /// Where a budget's next window begins soon and has room for the call, the caller is told to come back then: this is
    /// how rates over a minute are refused.
    fn soon_refilled(&self, rejection: &Rejection) -> Option<Error> {
        let Rejection::BudgetExhausted { requested, limit, resets_at: Some(resets_at), .. } = rejection else {
            return None;
        };
        let fits = requested.parse::<Limit>().ok()?.amount <= limit.parse::<Limit>().ok()?.amount;
        let retry_after = resets_at.since(self.clock.now());
        (fits && retry_after <= REFILL_WAIT_MAX).then(|| Error::Busy { reason: rejection.to_string(), retry_after })
    }
}

/// What is asked of admission for `call`, answered by `target`.
fn request(call: &Authorised, target: &Target, (worst, worst_min): (Amounts, Amounts)) -> ReservationRequest {
    ReservationRequest {
        tenant: call.key.holder.tenant.clone(),
        shard: call.key.shard,
        context: Shared::new(CallContext {
            scopes: scopes(call),
            operation: call.dialect.operation(),
            provider: target.provider.clone(),
            upstream_model: target.upstream_model.clone(),
            price: call.plan.price.clone(),
        }),
        worst,
        worst_min,
        request: call.id.clone(),
    }
}

/// Which budgets the call touches.
fn scopes(call: &Authorised) -> ScopeSet {
    let holder = &call.key.holder;
    ScopeSet {
        path: call.key.place(),
        principal: holder.principal.clone(),
        key: holder.key.clone(),
        model: call.request.model.clone(),
        agent: holder.agent.clone(),
        task: holder.task.clone(),
    }
}
