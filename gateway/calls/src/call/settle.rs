//! Reserved → settled: the end of an attempt is in the log, whatever that end was.

use std::sync::Arc;

use steward_aggregates::catalog::Charge;
use steward_events::event::{CallOutcome, TokenUsage};
use steward_ports::clock::Clock;

use super::reserved::Reserved;
use crate::admission::Finish;
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
    pub(super) async fn not_sent(&self, reserved: Reserved) -> Result<(), Error> {
        let outcome = CallOutcome::NotBilled { reason: "not sent".to_owned() };
        self.settle(reserved, TokenUsage::default(), outcome).await.map(|_| ())
    }

    /// Records its end. When it returns, the log holds it.
    pub(super) async fn settle(
        &self,
        reserved: Reserved,
        tokens: TokenUsage,
        outcome: CallOutcome,
    ) -> Result<Settled, Error> {
        let tokens = reserved.rate.at_its_tier(tokens);
        let Charge { variant, cost } = reserved.rate.charge(&tokens, &outcome);
        let unpriced = reserved.rate.price.unpriced(&tokens, variant);
        self.metrics.finished(&outcome, &tokens, cost);
        trace::used(&reserved.span, &tokens, cost);
        if let CallOutcome::NotBilled { reason } | CallOutcome::Estimated { reason, .. } = &outcome {
            trace::failed(&reserved.span, reason);
        }
        let took = self.clock.monotonic().saturating_sub(reserved.since);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let call = reserved.reservation.call.clone();
        let recorded =
            Settled::record(reserved.reservation, Finish { tokens, cost, variant, unpriced, outcome, duration_ms })
                .await;
        recorded.map_err(|error| {
            tracing::error!(%error, call.id = %call, "the end of a call could not be recorded yet");
            Error::Unanswered(error.to_string())
        })
    }
}
