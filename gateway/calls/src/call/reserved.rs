//! Authorised → reserved: what one attempt can cost at most is taken out of the budgets, and `CallStarted` is in the log.
//!
//! Rates over time are budgets, so they are kept here too.

use std::sync::Arc;
use std::time::Duration;

use steward_events::event::{CallContext, PriceVersion, Purpose, Target};
use steward_events::id::CallId;
use steward_events::quantity::{Amounts, Limit};
use steward_events::rejection::Rejection;
use steward_events::shared::Shared;
use steward_ports::clock::Clock;
use tracing::Span;

use super::authorised::Authorised;
use super::planned::{Priced, ResolvedTarget};
use super::scopes::scopes;
use crate::access::Access;
use crate::admission::{Admission, Given, Refusal, Reservation, ReservationRequest};
use crate::config::Config;
use crate::dialect::prompt::Spared;
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
    /// What was spared of the request.
    pub(super) spared: Spared,
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
    /// Within what `config` says.
    pub(super) fn new(
        access: &Arc<Access>,
        admission: &Arc<Admission>,
        clock: &Arc<dyn Clock>,
        config: &Config,
    ) -> Arc<Self> {
        let (access, admission, clock) = (Arc::clone(access), Arc::clone(admission), Arc::clone(clock));
        let wait_max = config.admission.wait_max + config.record_wait_max;
        Arc::new(Self { access, admission, clock, wait_max })
    }

    /// Reserves for the attempt with this number, at `to`.
    pub(super) async fn reserve(
        &self,
        call: &Authorised,
        to: &ResolvedTarget,
        (number, trial): (u32, Trial),
    ) -> Result<Reserved, Error> {
        let reservation = self.hold_out(call, to).await?;
        let estimate = &priced(call, to)?.estimate;
        let tokens = estimate.output_for(reservation.granted);
        let wanted = call.request.output_limit.unwrap_or(estimate.output_max);
        let (model, upstream_model) = (&call.request.model, &to.target.upstream_model);
        let since = self.clock.monotonic();
        Ok(Reserved {
            span: trace::attempt(model, upstream_model, &to.target.provider, &reservation.call),
            reservation,
            rate: estimate.rate.clone(),
            since,
            target: to.target.clone(),
            spared: call.plan.spared,
            trial,
            number,
            overhead: since.saturating_sub(call.began),
            output: Output { tokens, clamped: tokens.is_some_and(|output| output < wanted) },
        })
    }

    /// Counts the texts of a call for which the gateway holds too little if each of their bytes were a token: to count takes
    /// time, and where there is plenty nobody needs it.
    pub(super) async fn count_texts(&self, call: &mut Authorised) {
        let (worst, holder) = (call.plan.estimate.worst(), &call.key.holder);
        let has_room = || self.admission.has_room(&holder.tenant, &scopes(holder, &call.request.model), worst);
        if call.plan.tokenizer.is_some() && !has_room() {
            Box::pin(call.plan.count_texts(&call.request)).await;
        }
    }

    /// Takes what the call can cost at `to` out of the budgets. It is to be finished, whatever comes of it.
    pub(super) async fn hold_out(&self, call: &Authorised, to: &ResolvedTarget) -> Result<Reservation, Error> {
        if self.clock.off().is_some() {
            return Err(Error::Unavailable("the clock of this process is wrong: see /readyz".to_owned()));
        }
        let Priced { version, estimate } = priced(call, to)?;
        // What is made for nobody is not worth making where the budget pays for a part of it only.
        let worst_min = if call.purpose == Purpose::Shadow { estimate.worst() } else { estimate.worst_min() };
        let wanted = request(call, &to.target, (version.clone(), (estimate.worst(), worst_min)));
        self.in_time(call, self.admission.reserve(wanted)).await
    }

    /// A new id of a call.
    pub(super) fn new_call(&self) -> CallId {
        self.admission.new_call()
    }

    /// Records that the call got an answer that `target` made for another.
    pub(super) async fn give(&self, call: &Authorised, target: &Target, given: Given) -> Result<Settled, Error> {
        let at_no_cost = (call.plan.price_of(target).clone(), (Amounts::ZERO, Amounts::ZERO));
        self.in_time(call, Settled::give(&self.admission, request(call, target, at_no_cost), given)).await
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

/// What the call can cost at `to`.
fn priced<'a>(call: &Authorised, to: &'a ResolvedTarget) -> Result<&'a Priced, Error> {
    to.priced.as_ref().ok_or_else(|| Error::NoPrice(call.request.model.to_string()))
}

/// What is asked of admission for `call`, answered by `target` at this price: the worst case, and the least that would do.
fn request(
    call: &Authorised,
    target: &Target,
    (price, (worst, worst_min)): (PriceVersion, (Amounts, Amounts)),
) -> ReservationRequest {
    ReservationRequest {
        tenant: call.key.holder.tenant.clone(),
        shard: call.key.shard,
        context: Shared::new(CallContext {
            scopes: scopes(&call.key.holder, &call.request.model),
            operation: call.dialect.operation(),
            provider: target.provider.clone(),
            upstream_model: target.upstream_model.clone(),
            price,
            purpose: call.purpose.clone(),
        }),
        worst,
        worst_min,
        request: call.id.clone(),
    }
}
