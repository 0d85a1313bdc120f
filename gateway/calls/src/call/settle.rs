//! Reserved → settled: the end of an attempt is in the log, whatever that end was.

use std::sync::Arc;

use steward_aggregates::catalog::Charge;
use steward_events::event::{CallOutcome, SavingCause, Savings, TokenUsage};
use steward_events::id::CallId;
use steward_ports::clock::Clock;

use super::reserved::Reserved;
use crate::admission::{Finish, FinishError, Sharing};
use crate::cache::{Bill, Leader, Share};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::settled::Settled;
use crate::trace;

/// Records the ends of attempts.
#[derive(Clone)]
pub(super) struct Settler {
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settler {
    /// Records that nothing of it went out.
    pub(super) async fn not_sent(&self, mut reserved: Reserved) -> Result<(), Error> {
        let outcome = CallOutcome::NotBilled { reason: "not sent".to_owned() };
        reserved.trial.not_sent();
        self.settle(reserved, TokenUsage::default(), outcome, None).await.map(|_| ())
    }

    /// Records its end; of what it came to it bears its part, if it leads others who bear theirs. When it returns, the log
    /// holds it.
    pub(super) async fn settle(
        &self,
        mut reserved: Reserved,
        tokens: TokenUsage,
        outcome: CallOutcome,
        leads: Option<&Leader>,
    ) -> Result<Settled, Error> {
        let tokens = reserved.rate.at_its_tier(tokens);
        reserved.trial.used(tokens.total());
        let Charge { variant, cost } = reserved.rate.charge(&tokens, &outcome);
        let unpriced = reserved.rate.price.unpriced(&tokens, variant);
        let savings = savings(&reserved, &tokens, &outcome);
        self.metrics.finished(&outcome, &tokens, cost);
        trace::used(&reserved.span, &tokens, cost);
        if let CallOutcome::NotBilled { reason } | CallOutcome::Estimated { reason, .. } = &outcome {
            trace::failed(&reserved.span, reason);
        }
        let took = self.clock.monotonic().saturating_sub(reserved.since);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let call = reserved.reservation.call.clone();
        let whole = Bill { tokens, cost, variant, unpriced };
        let (Bill { tokens, cost, .. }, sharing) =
            match leads.and_then(|leader| leader.split(whole, (call.clone(), reserved.target.clone()))) {
                Some(Share { part, whole, .. }) => (part, Sharing::Led(whole.without(&part))),
                None => (whole, Sharing::Alone),
            };
        let finish = Finish { tokens, cost, variant, unpriced, savings, outcome, duration_ms, sharing };
        let recorded = Settled::record(reserved.reservation, finish).await;
        recorded.map_err(|error| unrecorded(&call, &error))
    }
}

/// What its caller hears of a call whose end is not on record.
pub(super) fn unrecorded(call: &CallId, error: &FinishError) -> Error {
    tracing::error!(%error, call.id = %call, "the end of a call could not be recorded yet");
    Error::Unanswered(error.to_string())
}

/// What was saved although the provider was asked; nothing if it billed nothing.
fn savings(reserved: &Reserved, tokens: &TokenUsage, outcome: &CallOutcome) -> Savings {
    if matches!(outcome, CallOutcome::NotBilled { .. }) {
        return Savings::default();
    }
    let (rate, spared) = (&reserved.rate, reserved.spared);
    Savings::from_iter([
        (SavingCause::PromptCache, rate.prompt_cache(tokens, outcome)),
        (SavingCause::Compressed, rate.spared(tokens, outcome, spared.compressed_tokens)),
        (SavingCause::Trimmed, rate.spared(tokens, outcome, spared.trimmed_tokens)),
    ])
}
