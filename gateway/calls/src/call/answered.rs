//! Reserved → answered: the request goes to the provider, after a last check that it still may; or its end is recorded.

use std::sync::Arc;

use futures::FutureExt;
use steward_events::event::{CallOutcome, TokenUsage};
use steward_ports::clock::Clock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::authorised::Authorised;
use super::failure::told;
use super::planned::ResolvedTarget;
use super::reserved::Reserved;
use super::settle::Settler;
use crate::access::Access;
use crate::dialect::{Measured, Recipient};
use crate::error::Error;
use crate::upstream::{
    Billed, Cause, Failure, Outgoing, PreSendCheck, Providers, Revoked, UpstreamAnswer, UpstreamEvents,
};

/// An attempt that is being answered.
pub(super) struct Answered {
    pub(super) reserved: Reserved,
    pub(super) answer: CallAnswer,
}

/// What the provider answers.
pub(super) enum CallAnswer {
    /// At once, as the provider wrote it.
    Whole(bytes::Bytes, Measured),
    /// Piece by piece.
    Stream(UpstreamEvents),
}

/// An attempt that got no answer. Its end is recorded.
pub(super) enum Unanswered {
    /// Certainly nothing was billed, and another target may do better.
    TryNext(Error),
    /// That was it.
    GiveUp(Error),
}

/// What ends an attempt from outside.
#[derive(Clone, Copy)]
pub(super) struct Stop<'a> {
    /// The client broke off before its answer began.
    pub(super) client_gone: &'a CancellationToken,
    /// This process stops and cannot wait.
    pub(super) cut: &'a CancellationToken,
}

impl Stop<'_> {
    fn is_set(self) -> bool {
        self.client_gone.is_cancelled() || self.cut.is_cancelled()
    }
}

/// Sends attempts.
pub(super) struct Sender {
    pub(super) access: Arc<Access>,
    pub(super) providers: Providers,
    pub(super) settler: Settler,
    pub(super) clock: Arc<dyn Clock>,
}

impl Sender {
    /// Sends the attempt that was `reserved` to `target`.
    pub(super) async fn send(
        &self,
        call: &Authorised,
        target: &ResolvedTarget,
        reserved: Reserved,
        stop: Stop<'_>,
    ) -> Result<Answered, Unanswered> {
        if let Some(why) = stopped(&reserved, stop) {
            return Err(self.not_sent(reserved, why).await);
        }
        self.settler.metrics.sent(reserved.overhead);
        let (check, mut revoked) = pre_send_check(&self.access, call);
        let sending = async {
            tokio::select! {
                answer = self.exchange(call, target, reserved.output.each(), check) => answer.map_err(Some),
                () = stop.client_gone.cancelled() => Err(None),
                () = stop.cut.cancelled() => Err(None),
            }
        };
        match sending.instrument(reserved.span.clone()).await {
            Ok(answer) => {
                let waited = self.clock.monotonic().saturating_sub(reserved.since);
                self.settler.metrics.first_byte(waited);
                Ok(Answered { reserved, answer })
            }
            Err(None) => {
                let outcome = CallOutcome::Estimated { reason: "the caller broke off".to_owned() };
                let recorded = self.settler.settle(reserved, TokenUsage::default(), outcome).await;
                Err(Unanswered::GiveUp(recorded.err().unwrap_or_else(broke_off)))
            }
            Err(Some(failure)) => match revoked.try_recv() {
                Ok(why) => Err(self.not_sent(reserved, why).await),
                Err(_) => Err(self.failed(reserved, failure).await),
            },
        }
    }

    /// Asks the provider, and reads a whole answer as far as it must be understood.
    async fn exchange(
        &self,
        call: &Authorised,
        ResolvedTarget { target, provider, trusted }: &ResolvedTarget,
        output_max: u64,
        pre_send_check: PreSendCheck,
    ) -> Result<CallAnswer, Failure> {
        let key = self.providers.key(&target.provider, provider.key.as_deref())?;
        let upstream = self.providers.get(provider.kind)?;
        let to = Recipient { speaks: upstream.speaks(&provider.url), model: &target.upstream_model, output_max };
        let answer = upstream.send(Outgoing {
            url: provider.url.clone(),
            key,
            body: call.dialect.write(&call.request, &to),
            stream: call.request.stream,
            trusted: *trusted,
            pre_send_check,
        });
        match answer.await? {
            UpstreamAnswer::Stream(events) => Ok(CallAnswer::Stream(events)),
            UpstreamAnswer::Whole(body) => match call.dialect.read_answer(&body) {
                Ok(measured) => Ok(CallAnswer::Whole(body, measured)),
                Err(error) => Err(Failure::possibly(Cause::Broke(format!("its answer cannot be read: {error}")))),
            },
        }
    }

    async fn not_sent(&self, reserved: Reserved, why: Error) -> Unanswered {
        Unanswered::GiveUp(self.settler.not_sent(reserved).await.err().unwrap_or(why))
    }

    async fn failed(&self, reserved: Reserved, failure: Failure) -> Unanswered {
        let provider = reserved.provider.clone();
        tracing::warn!(
            provider.id = %provider, call.id = %reserved.call(), reason = failure.reason(), "an attempt failed"
        );
        let outcome = match failure.billed {
            Billed::No => CallOutcome::NotBilled { reason: failure.reason() },
            Billed::Possibly => CallOutcome::Estimated { reason: failure.reason() },
        };
        if let Err(error) = self.settler.settle(reserved, TokenUsage::default(), outcome).await {
            return Unanswered::GiveUp(error);
        }
        if failure.may_work_elsewhere() {
            Unanswered::TryNext(told(failure, &provider))
        } else {
            Unanswered::GiveUp(told(failure, &provider))
        }
    }
}

/// Why the attempt must not go although it is reserved.
fn stopped(reserved: &Reserved, stop: Stop<'_>) -> Option<Error> {
    if reserved.output.tokens.is_none() {
        Some(Error::Unavailable("what is left of the budget does not pay for one token of output".to_owned()))
    } else {
        stop.is_set().then(broke_off)
    }
}

fn broke_off() -> Error {
    Error::Unanswered("the caller broke off".to_owned())
}

/// For the provider's connection to ask; the other end hears why the call may not be made any more.
fn pre_send_check(access: &Arc<Access>, call: &Authorised) -> (PreSendCheck, oneshot::Receiver<Error>) {
    let (tell, hears) = oneshot::channel();
    let check = call.fresh_check(access);
    let told = async move {
        check.await.map_err(|why| {
            // Unheard if the caller has gone.
            let _ = tell.send(why);
            Revoked
        })
    };
    (told.boxed(), hears)
}
