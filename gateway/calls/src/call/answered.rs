//! Reserved → answered: the request goes to the provider, after a last check that it still may; or its end is recorded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use steward_events::event::{CallOutcome, Operation, Target, TokenUsage};
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
use super::translation::Put;
use crate::access::Access;
use crate::cache::Leader;
use crate::dialect::canonical::Frame;
use crate::dialect::{Measured, Recipient, WholeAnswer};
use crate::error::Error;
use crate::meter::{Meter, abandoned};
use crate::recourse::{Blame, Recourse};
use crate::run_to_end::Left;
use crate::tenant_secrets::{NotOpened, TenantSecrets};
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
    /// Something may be done about it.
    Failed(Error, Recourse),
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
    /// Others may wait for the answer too.
    pub(super) leader: Option<&'a Leader>,
    /// Its caller may come again for the answer.
    pub(super) claimed: bool,
}

impl Stop<'_> {
    fn is_set(self) -> bool {
        (self.left.is_set() && !self.is_awaited()) || self.cut.is_cancelled()
    }

    /// True if others wait for the answer.
    fn is_awaited(self) -> bool {
        self.leader.is_some_and(Leader::has_followers)
    }

    /// Waits for so long. False if there is no more use in what was waited for.
    pub(super) async fn sleep(self, wait: Duration) -> bool {
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => !self.is_set(),
            () = self.left.wait(), if !self.is_awaited() => false,
            () = self.cut.cancelled() => false,
        }
    }
}

/// Sends attempts.
pub(super) struct Sender {
    pub(super) access: Arc<Access>,
    pub(super) providers: Providers,
    pub(super) secrets: Arc<TenantSecrets>,
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
        mut reserved: Reserved,
        stop: Stop<'_>,
    ) -> Result<Answered, Unanswered> {
        if let Some(why) = stopped(&reserved, stop) {
            return Err(self.not_sent(reserved, why).await);
        }
        if let Some(claim) = &call.claim
            && let Err(why) = claim.send(reserved.call()).await
        {
            return Err(self.not_sent(reserved, why).await);
        }
        self.settler.metrics.sent(reserved.overhead);
        let mut revoked = None;
        let sending = async {
            tokio::select! {
                answer = self.exchange(call, target, reserved.output.each(), &mut revoked) => answer.map_err(Some),
                () = self.gone_for_long(stop) => Err(None),
                () = stop.cut.cancelled() => Err(None),
            }
        };
        match sending.instrument(reserved.span.clone()).await {
            Ok(answer) => {
                let waited = self.clock.monotonic().saturating_sub(reserved.since);
                self.settler.metrics.first_byte(waited);
                reserved.trial.answered(waited);
                match &answer {
                    CallAnswer::Whole(..) => reserved.trial.well(),
                    CallAnswer::Unusable(..) => reserved.trial.failed(None),
                    // How it went is known at its end.
                    CallAnswer::Stream(_) => {}
                }
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
    async fn gone_for_long(&self, stop: Stop<'_>) {
        stop.left.wait().await;
        tokio::time::sleep(self.read_on_max).await;
        while stop.claimed || stop.is_awaited() {
            tokio::time::sleep(self.read_on_max).await;
        }
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
        let no_such = || Failure::unbilled(Cause::Unfit(format!("it has no {}", in_words(operation))));
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
        to_target: &ResolvedTarget,
        (to, body): (&Recipient<'_>, Bytes),
        pre_send_check: PreSendCheck,
    ) -> Result<UpstreamAnswer, Failure> {
        let key = self.key(call, to_target).await?;
        let ResolvedTarget { provider, trusted, .. } = to_target;
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

    /// The provider's key, if it has one: a secret of the tenant whose provider it is, or from the surroundings of this
    /// process.
    async fn key(&self, call: &Authorised, to: &ResolvedTarget) -> Result<Option<String>, Failure> {
        let ResolvedTarget { target: Target { provider: name, .. }, provider, secret, .. } = to;
        let Some(secret) = secret else { return self.providers.key(name, provider.key.as_deref()) };
        let opened = self.secrets.open(secret, &call.id).await;
        opened.map(|value| Some(value.expose().to_owned())).map_err(|NotOpened| Failure::not_configured(name))
    }

    async fn not_sent(&self, reserved: Reserved, why: Error) -> Unanswered {
        Unanswered::GiveUp(self.settler.not_sent(reserved).await.err().unwrap_or(why))
    }

    async fn failed(&self, call: &Authorised, mut reserved: Reserved, failure: Failure) -> Unanswered {
        let (provider, now) = (reserved.target.provider.clone(), self.clock.now());
        match failure.blame(now) {
            Blame::Target(ask_again) => reserved.trial.failed(ask_again),
            Blame::Request => reserved.trial.well(),
            Blame::Unknown => {}
        }
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
        let recourse = failure.recourse(now);
        Unanswered::Failed(told(failure, &provider, now), recourse)
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

pub(super) fn broke_off() -> Error {
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
