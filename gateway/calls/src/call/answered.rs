//! Reserved → answered: the request goes to the provider, after a last check that it still may; or its end is recorded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use steward_events::event::{CallOutcome, Operation, TokenUsage};
use steward_ports::clock::Clock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::authorised::Authorised;
use super::failure::told;
use super::manners::Manners;
use super::planned::ResolvedTarget;
use super::reserved::Reserved;
use super::settle::Settler;
use crate::access::Access;
use crate::dialect::canonical::Frame;
use crate::dialect::{Measured, Put, Recipient, WholeAnswer};
use crate::error::Error;
use crate::meter::{Meter, abandoned};
use crate::run_to_end::Left;
use crate::upstream::{
    Billed, Cause, Failure, Outgoing, PreSendCheck, Providers, Revoked, UpstreamAnswer, UpstreamEvents,
};

/// How often one attempt is asked again in other words: another path, another name for the limit, no `stream_options`.
const REWORDINGS_MAX: u32 = 3;

/// An attempt that is being answered.
pub(super) struct Answered {
    pub(super) reserved: Reserved,
    pub(super) answer: CallAnswer,
}

/// What the provider answers.
pub(super) enum CallAnswer {
    /// At once, as the provider wrote it.
    Whole(Bytes, Measured),
    /// At once, but it is of no use to the caller: what is known of it, and why.
    Unusable(Measured, &'static str),
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
    pub(super) left: &'a Left,
    /// This process stops and cannot wait.
    pub(super) cut: &'a CancellationToken,
}

impl Stop<'_> {
    fn is_set(self) -> bool {
        self.left.is_set() || self.cut.is_cancelled()
    }
}

/// Sends attempts.
pub(super) struct Sender {
    pub(super) access: Arc<Access>,
    pub(super) providers: Providers,
    pub(super) settler: Settler,
    pub(super) clock: Arc<dyn Clock>,
    /// What was learnt of how providers want to be asked.
    pub(super) manners: Manners,
    /// How long an answer is waited for whose caller has gone.
    pub(super) read_on_max: Duration,
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
        let mut revoked = None;
        let sending = async {
            tokio::select! {
                answer = self.exchange(call, target, reserved.output.each(), &mut revoked) => answer.map_err(Some),
                () = self.gone_for_long(stop.left) => Err(None),
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
                let estimate = &call.plan.estimate;
                let (tokens, reason) = if stop.cut.is_cancelled() {
                    (estimate.probable(0), "cut: the gateway stopped")
                } else {
                    (abandoned(&Meter::default(), estimate, reserved.output.each()), "the caller broke off")
                };
                let recorded = self.settler.settle(reserved, tokens, CallOutcome::estimated(reason)).await;
                Err(Unanswered::GiveUp(recorded.err().unwrap_or_else(broke_off)))
            }
            Err(Some(failure)) => match revoked.and_then(|mut revoked| revoked.try_recv().ok()) {
                Some(why) => Err(self.not_sent(reserved, why).await),
                None => Err(self.failed(call, reserved, failure).await),
            },
        }
    }

    /// The caller has gone, and nothing was heard for a while: a provider works on, and bills, whoever listens.
    async fn gone_for_long(&self, left: &Left) {
        left.wait().await;
        tokio::time::sleep(self.read_on_max).await;
    }

    /// Asks the provider, once more in other words if it did not take the first, and reads a whole answer as far as it must
    /// be understood.
    async fn exchange(
        &self,
        call: &Authorised,
        target: &ResolvedTarget,
        output_max: u64,
        revoked: &mut Option<oneshot::Receiver<Error>>,
    ) -> Result<CallAnswer, Failure> {
        let (url, model) = (&target.provider.url, target.target.upstream_model.as_str());
        let operation = call.dialect.operation();
        let no_such = || Failure::unbilled(Cause::Unreachable(format!("it has no {}", in_words(operation))));
        let usual = self.providers.get(target.provider.kind)?.speaks(url, operation).ok_or_else(no_such)?;
        let mut speaks = self.manners.of(operation, (url, model), usual);
        let mut rewordings = 0..REWORDINGS_MAX;
        let answer = loop {
            let (pre_send_check, hears) = pre_send_check(&self.access, call);
            *revoked = Some(hears);
            let to = Recipient { speaks, model, output_max };
            let put = Put::of(call.dialect, speaks).ok_or_else(no_such)?;
            let body = put.write(call.dialect, &call.request, &to).map_err(Failure::untranslatable)?;
            let failure = match self.ask(call, target, (&to, body), pre_send_check).await {
                Ok(answer) => break put.read(answer, || self.frame(call, model))?,
                Err(failure) => failure,
            };
            // Nothing was billed for certain, so that the same reservation serves again.
            let otherwise = match &failure {
                Failure { billed: Billed::No, cause: Cause::Refused(refused) } => {
                    call.dialect.otherwise(refused, speaks)
                }
                _ => None,
            };
            let Some(otherwise) = otherwise.filter(|_| rewordings.next().is_some()) else { return Err(failure) };
            self.manners.learn(operation, (url, model), otherwise);
            speaks = otherwise;
        };
        match answer {
            UpstreamAnswer::Stream(events) => Ok(CallAnswer::Stream(events)),
            UpstreamAnswer::Whole(body) => match call.dialect.read_answer(&body) {
                WholeAnswer::Good(_) if call.request.stream => {
                    let events = call.dialect.as_events(&body).into_iter().map(Ok);
                    Ok(CallAnswer::Stream(stream::iter(events).boxed()))
                }
                WholeAnswer::Good(measured) => Ok(CallAnswer::Whole(body, measured)),
                WholeAnswer::Problem(problem) => Err(Failure::instead_of_answer(problem)),
                WholeAnswer::Unusable(measured, why) => Ok(CallAnswer::Unusable(measured, why)),
            },
        }
    }

    /// What a translated answer says of itself where the provider's does not.
    fn frame(&self, call: &Authorised, model: &str) -> Frame {
        Frame { id: call.id.to_string(), model: model.to_owned(), created: self.clock.now().0 / 1_000_000 }
    }

    async fn ask(
        &self,
        call: &Authorised,
        ResolvedTarget { target, provider, trusted }: &ResolvedTarget,
        (to, body): (&Recipient<'_>, Bytes),
        pre_send_check: PreSendCheck,
    ) -> Result<UpstreamAnswer, Failure> {
        let key = self.providers.key(&target.provider, provider.key.as_deref())?;
        let outgoing = Outgoing {
            url: provider.url.clone(),
            key,
            speaks: to.speaks,
            model: to.model.to_owned(),
            body,
            stream: call.request.stream,
            trusted: *trusted,
            pre_send_check,
        };
        self.providers.get(provider.kind)?.send(outgoing).await
    }

    async fn not_sent(&self, reserved: Reserved, why: Error) -> Unanswered {
        Unanswered::GiveUp(self.settler.not_sent(reserved).await.err().unwrap_or(why))
    }

    async fn failed(&self, call: &Authorised, reserved: Reserved, failure: Failure) -> Unanswered {
        let provider = reserved.provider.clone();
        tracing::warn!(
            provider.id = %provider, call.id = %reserved.call(), reason = failure.reason(), "an attempt failed"
        );
        let (tokens, outcome) = match failure.billed {
            Billed::No => (TokenUsage::default(), CallOutcome::NotBilled { reason: failure.reason() }),
            // It was asked, so it has read what it was asked.
            Billed::Possibly => (call.plan.estimate.probable(0), CallOutcome::estimated(failure.reason())),
        };
        if let Err(error) = self.settler.settle(reserved, tokens, outcome).await {
            return Unanswered::GiveUp(error);
        }
        if failure.may_work_elsewhere() {
            Unanswered::TryNext(told(failure, &provider, self.clock.now()))
        } else {
            Unanswered::GiveUp(told(failure, &provider, self.clock.now()))
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

/// What a provider lacks.
const fn in_words(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat | Operation::Responses => "chats",
        Operation::Completions => "completions of texts",
        Operation::Embeddings => "embeddings",
        Operation::Batch => "batches",
        Operation::Tool => "tools",
        Operation::Image => "images",
        Operation::Audio => "sound",
        Operation::Moderation => "moderation",
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
