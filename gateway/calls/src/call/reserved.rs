//! Attempts: each with its own reservation, each with its end recorded; on to the next target only if certainly nothing
//! was billed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use steward_events::event::{CallOutcome, Price, ProviderKind, Target, TokenUsage};
use steward_events::id::{CallId, ProviderId};
use steward_events::quantity::{Limit, NanoDollars};
use steward_events::rejection::Rejection;
use steward_events::scope::{Scope, ScopeSet};
use tracing::{Instrument, Span};

use super::Call;
use super::estimate::cost;
use super::plan::Place;
use crate::admission::{Ask, Finish, Refusal, Reservation, Settled};
use crate::error::Error;
use crate::gateway::Edge;
use crate::openai::{Fields, LimitField};
use crate::provider::{Answer, Billed, Failure, Outgoing};
use crate::trace;

/// A budget that refills later than this is spent; one that does so sooner is a rate.
const REFILL_WAIT_MAX: Duration = Duration::from_mins(1);

/// An attempt that may be at the provider, until it is finished.
pub(super) struct Started {
    edge: Arc<Edge>,
    reservation: Reservation,
    price: Price,
    span: Span,
    /// When it was sent, by the monotonic clock.
    sent: Duration,
    /// Whom it was sent to.
    pub(super) provider: ProviderId,
    /// The number of this attempt, from 1.
    pub(super) number: u32,
    /// Output tokens of one choice that it may produce.
    pub(super) output_each: u64,
    /// True if that is less than the caller wanted.
    pub(super) clamped: bool,
    /// Time in the gateway before it was sent.
    pub(super) overhead: Duration,
}

/// What was recorded of an attempt.
pub(super) struct Finished {
    /// What it cost.
    pub(super) cost: NanoDollars,
    /// What is left of the tightest budget in money, if there is one.
    pub(super) budget_left: Option<NanoDollars>,
}

/// An attempt that is being answered.
pub(super) struct Sent {
    pub(super) started: Started,
    pub(super) answer: Answer,
}

impl Started {
    /// Its id in the log.
    pub(super) fn call(&self) -> &CallId {
        &self.reservation.call
    }

    /// Records that nothing of it went out.
    async fn not_sent(self) -> Result<(), Error> {
        let outcome = CallOutcome::NotBilled { reason: "not sent".to_owned() };
        self.finish(TokenUsage::default(), outcome).await.map(|_| ())
    }

    /// Records its end. When it returns, the log holds it.
    pub(super) async fn finish(self, tokens: TokenUsage, outcome: CallOutcome) -> Result<Finished, Error> {
        let cost = cost(&self.price, &tokens);
        self.edge.metrics.finished(&outcome, &tokens, cost);
        trace::used(&self.span, &tokens, cost);
        if let CallOutcome::NotBilled { reason } | CallOutcome::Estimated { reason } = &outcome {
            trace::failed(&self.span, reason);
        }
        let took = self.edge.clock.monotonic().saturating_sub(self.sent);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let call = self.reservation.call.clone();
        match self.reservation.finish(Finish { tokens, cost, outcome, duration_ms }).await {
            Ok(Settled { budget_left, .. }) => Ok(Finished { cost, budget_left }),
            Err(error) => {
                tracing::error!(%error, call.id = %call, "the end of a call could not be recorded yet");
                Err(Error::Unanswered(error.to_string()))
            }
        }
    }
}

/// Tries the route's targets in order until one answers.
pub(super) async fn first_that_answers(call: &Call) -> Result<Sent, Error> {
    let attempts_max = call.edge.config.upstream.attempts_max.get();
    let mut failed = Error::NoSuchModel(call.ask.model.to_string());
    for (number, Place { target, provider, trusted }) in (1..=attempts_max).zip(&call.plan.targets) {
        let started = start(call, target, number).await?;
        let (last_look, mut withdrawn) = call.last_look();
        let outgoing = Outgoing {
            url: provider.url.clone(),
            key: provider.key.clone(),
            body: body(call, target, &provider.url, started.output_each),
            stream: call.ask.stream,
            trusted: *trusted,
            last_look,
        };
        let failure = match send(call, provider.kind, outgoing).instrument(started.span.clone()).await {
            Ok(answer) => {
                let waited = call.edge.clock.monotonic().saturating_sub(started.sent);
                call.edge.metrics.first_byte(waited);
                return Ok(Sent { started, answer });
            }
            Err(failure) => failure,
        };
        let Some(failure) = failure else {
            let outcome = CallOutcome::Estimated { reason: "the caller broke off".to_owned() };
            started.finish(TokenUsage::default(), outcome).await?;
            return Err(Error::Unanswered("the caller broke off".to_owned()));
        };
        if let Ok(why) = withdrawn.try_recv() {
            started.not_sent().await?;
            return Err(why);
        }
        tracing::warn!(
            provider.id = %target.provider, call.id = %started.call(), reason = failure.reason(), "an attempt failed"
        );
        let outcome = match failure.billed {
            Billed::No => CallOutcome::NotBilled { reason: failure.reason() },
            Billed::Possibly => CallOutcome::Estimated { reason: failure.reason() },
        };
        started.finish(TokenUsage::default(), outcome).await?;
        let goes_on = failure.may_work_elsewhere();
        failed = failure.into_error(&target.provider);
        if !goes_on {
            break;
        }
    }
    Err(failed)
}

/// Sends, unless the caller breaks off or the gateway stops: then `Err(None)`.
async fn send(call: &Call, kind: ProviderKind, outgoing: Outgoing) -> Result<Answer, Option<Failure>> {
    tokio::select! {
        answer = call.edge.providers.send(kind, outgoing) => answer.map_err(Some),
        () = call.caller.gone.cancelled() => Err(None),
        () = call.edge.cut.cancelled() => Err(None),
    }
}

/// Reserves, and makes sure that somebody still waits.
async fn start(call: &Call, target: &Target, number: u32) -> Result<Started, Error> {
    let Call { edge, caller, plan, .. } = call;
    let reserved = edge.admission.reserve(Ask {
        tenant: caller.known.holder.tenant.clone(),
        shard: caller.known.shard,
        scopes: scopes(call),
        worst: plan.estimate.worst(),
        worst_min: plan.estimate.worst_min(),
        provider: target.provider.clone(),
        price: plan.price.clone(),
        request: caller.request.clone(),
    });
    let reservation = tokio::select! {
        biased;
        reserved = reserved => reserved.map_err(|refusal| refused(call, refusal))?,
        // Whoever may not call any more is told at once, not when there would have been room. What was reserved for it
        // meanwhile is recorded as not sent.
        why = call.withdrawn() => return Err(why),
        // So is whoever waits for a log that takes nothing.
        () = tokio::time::sleep(edge.config.admission_wait_max + edge.config.record_wait_max) => {
            return Err(Error::Unavailable("the log does not record that the call starts: see /readyz".to_owned()));
        }
    };
    let output_each = plan.estimate.output_for(reservation.granted);
    let wanted = call.ask.limit.map_or(plan.estimate.output_max, |(_, limit)| limit);
    let span = trace::attempt(&call.ask.model, &target.upstream_model, &target.provider, &reservation.call);
    let started = Started {
        edge: Arc::clone(edge),
        reservation,
        span,
        price: plan.estimate.price,
        sent: edge.clock.monotonic(),
        provider: target.provider.clone(),
        number,
        output_each: output_each.unwrap_or(0),
        clamped: output_each.is_some_and(|output| output < wanted),
        overhead: call.elapsed(),
    };
    // From here on the attempt must be finished, whatever happens.
    let stopped = if output_each.is_none() {
        Some(Error::Unavailable("too little of the budget was lent for one token of output".to_owned()))
    } else if caller.gone.is_cancelled() || edge.cut.is_cancelled() {
        Some(Error::Unanswered("the caller broke off".to_owned()))
    } else {
        None
    };
    if let Some(why) = stopped {
        started.not_sent().await?;
        return Err(why);
    }
    edge.metrics.sent(started.overhead);
    Ok(started)
}

fn refused(call: &Call, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Exhausted(rejection) => soon_refilled(call, &rejection).unwrap_or(Error::Rejected(rejection)),
        Refusal::WaitedTooLong { retry_after } => Error::Busy { reason: refusal.to_string(), retry_after },
        Refusal::Closed(reason) => match call.may() {
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
fn soon_refilled(call: &Call, rejection: &Rejection) -> Option<Error> {
    let Rejection::BudgetExhausted { requested, limit, resets_at: Some(resets_at), .. } = rejection else {
        return None;
    };
    let fits = requested.parse::<Limit>().ok()?.amount <= limit.parse::<Limit>().ok()?.amount;
    let retry_after = resets_at.since(call.edge.clock.now());
    (fits && retry_after <= REFILL_WAIT_MAX).then(|| Error::Busy { reason: rejection.to_string(), retry_after })
}

/// Which budgets the call touches.
fn scopes(call: &Call) -> ScopeSet {
    let holder = &call.caller.known.holder;
    // An operator's key reaches everything, but its calls are booked on its own tenant.
    let path =
        if holder.scope.is_within(&holder.tenant) { holder.scope.clone() } else { Scope::tenant(&holder.tenant) };
    ScopeSet {
        path,
        principal: holder.principal.clone(),
        key: holder.key.clone(),
        model: call.ask.model.clone(),
        agent: holder.agent.clone(),
        task: holder.task.clone(),
    }
}

/// The request as this target gets it: its own name of the model, and the output that was reserved.
fn body(call: &Call, target: &Target, url: &str, output_each: u64) -> Fields {
    let mut body = call.ask.body.clone();
    body.set("model", Value::from(target.upstream_model.as_str()).to_string().into());
    // OpenAI's newer models know only the newer field; compatible servers are sure to know the older one.
    let field = call.ask.limit.map_or_else(
        || if url.contains("//api.openai.com") { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens },
        |(field, _)| field,
    );
    body.set(field.name(), output_each.to_string().into());
    body
}
