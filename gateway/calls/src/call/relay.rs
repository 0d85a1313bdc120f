//! An answer piece by piece: passed on as it comes, metered, cut off when the reservation is used up; its end recorded
//! before the last piece goes out.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, poll};
use steward_events::event::{CallOutcome, TokenUsage};
use steward_ports::clock::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authorised::Authorised;
use super::failure::told;
use super::pieces::{Pieces, Slot};
use super::reply::{CallSummary, Reply, ReplyBody, TOO_LONG, made};
use super::reserved::Reserved;
use super::settle::Settler;
use crate::cache::Leader;
use crate::dialect::{AnswerEvent, CutOff};
use crate::error::Error;
use crate::meter::{Meter, abandoned};
use crate::settled::Settled;
use crate::upstream::{Failure, UpstreamEvents};

/// Bytes of events that came together and go on as one piece: each piece costs a system call here, another at the client.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Why no more is passed on.
enum RelayEnd {
    /// The answer is whole.
    Done,
    /// The provider broke off, or said that it failed.
    Broke(Error),
    /// More came than was reserved: this event was the last.
    UsedUp(Bytes),
    /// The client does not listen any more.
    CallerGone,
    /// The gateway stops and cannot wait.
    Stopped,
}

/// Something to be done when an answer has gone.
pub(super) type AfterIt = Box<dyn FnOnce() + Send>;

/// Passes answers on.
pub(super) struct Relay {
    pub(super) settler: Settler,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tracker: TaskTracker,
    pub(super) cut: CancellationToken,
    /// How often a client hears something while the model says nothing.
    pub(super) keep_alive_every: Duration,
    /// How long an answer is read on after its client has gone.
    pub(super) read_on_max: Duration,
}

impl Relay {
    /// Replies with what comes, as the client's connection asks for it.
    pub(super) fn start(
        self: &Arc<Self>,
        call: Box<Authorised>,
        reserved: Reserved,
        (events, leader, after): (UpstreamEvents, Option<Leader>, Option<AfterIt>),
    ) -> Reply {
        let summary = CallSummary::of(&call, &reserved);
        if let Some(leader) = &leader {
            leader.begin(reserved.call(), &reserved.target);
        }
        let slot = Slot::default();
        let passing = Passing {
            relay: Arc::clone(self),
            call,
            reserved,
            slot: slot.clone(),
            meter: Meter::default(),
            ready: BytesMut::new(),
            held: None,
            leader,
            after,
        };
        Reply { summary, body: ReplyBody::Stream(Pieces::new(passing.run(events), slot, &self.tracker)) }
    }
}

/// A stream on its way.
struct Passing {
    relay: Arc<Relay>,
    call: Box<Authorised>,
    reserved: Reserved,
    slot: Slot,
    meter: Meter,
    /// Events that came together, ready to go.
    ready: BytesMut,
    /// The provider's report of usage, kept for the end.
    held: Option<Bytes>,
    /// Others who hear it.
    leader: Option<Leader>,
    /// What is done when it has gone.
    after: Option<AfterIt>,
}

impl Passing {
    async fn run(mut self, mut events: UpstreamEvents) {
        let mut end = self.pass(&mut events).await;
        if matches!(end, RelayEnd::CallerGone) {
            end = self.read_on(&mut events).await;
        }
        // This ends the call at the provider, if it is not over.
        drop(events);
        let Self { relay, call, mut reserved, slot, meter, held, leader, after, .. } = self;
        match &end {
            RelayEnd::Done | RelayEnd::UsedUp(_) => reserved.trial.well(),
            RelayEnd::Broke(_) => reserved.trial.failed(None),
            RelayEnd::CallerGone | RelayEnd::Stopped => {}
        }
        let (tokens, outcome) = used(&call, &meter, &end, reserved.output.each());
        let (id, target) = (reserved.call().clone(), reserved.target.clone());
        // Of what broke off nobody else has anything.
        let leads = leader.as_ref().filter(|_| matches!(end, RelayEnd::Done));
        let settled = relay.settler.settle(reserved, tokens, outcome, leads).await;
        let kept = match (&end, &settled, leader) {
            (RelayEnd::Done, Ok(settled), Some(leader)) => {
                leader.end_stream(held.clone(), made(id.clone(), target, settled))
            }
            _ => None,
        };
        if let Some(claim) = &call.claim {
            claim.end(&id, kept.as_deref().ok_or_else(|| why_not_kept(&end))).await;
        }
        if let Some(last) = last_piece(end, settled, &call, held, &*relay.clock) {
            slot.put(last).await;
        }
        if let Some(after) = after {
            after();
        }
    }

    /// Passes on until there is a reason to end: each event as soon as it comes, and with it what is there already.
    async fn pass(&mut self, events: &mut UpstreamEvents) -> RelayEnd {
        loop {
            let next = tokio::select! {
                biased;
                () = self.slot.left().wait() => return RelayEnd::CallerGone,
                () = self.relay.cut.cancelled() => return RelayEnd::Stopped,
                next = events.next() => next,
                () = tokio::time::sleep(self.relay.keep_alive_every) => {
                    self.slot.put(Ok(self.call.dialect.keep_alive())).await;
                    continue;
                }
            };
            let mut end = self.take(next);
            while end.is_none() && self.ready.len() < PIECE_BYTES_MAX {
                match poll!(events.next()) {
                    Poll::Ready(next) => end = self.take(next),
                    Poll::Pending => break,
                }
            }
            if let Some(piece) = self.ready_piece() {
                self.slot.put(Ok(piece)).await;
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// What is ready, which all who follow hear at once.
    fn ready_piece(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() {
            return None;
        }
        let piece = self.ready.split().freeze();
        if let Some(leader) = &self.leader {
            leader.pass(&piece);
        }
        Some(piece)
    }

    /// Reads on for a while after the client has gone, and as long as others listen: what the answer came to is said at its
    /// end, and who leaves before that pays it all the same.
    async fn read_on(&mut self, events: &mut UpstreamEvents) -> RelayEnd {
        let (cut, read_on_max) = (self.relay.cut.clone(), self.relay.read_on_max);
        let mut patience = pin!(tokio::time::sleep(read_on_max));
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                () = &mut patience => {
                    if !self.is_awaited() {
                        return RelayEnd::CallerGone;
                    }
                    patience.as_mut().reset(Instant::now() + read_on_max);
                    continue;
                }
                () = cut.cancelled() => return RelayEnd::Stopped,
            };
            let end = self.take(next);
            self.ready_piece();
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// True if its answer is for others too, or for its caller when it comes again.
    fn is_awaited(&self) -> bool {
        self.call.claim.is_some() || self.leader.as_ref().is_some_and(Leader::has_followers)
    }

    /// Makes what comes next ready to go on, or says why nothing does any more.
    fn take(&mut self, next: Option<Result<Bytes, Failure>>) -> Option<RelayEnd> {
        let data = match next {
            Some(Ok(data)) => data,
            // All has been said: what breaks now takes nothing away.
            Some(Err(_)) if self.meter.is_whole() && self.meter.is_said() => return Some(RelayEnd::Done),
            Some(Err(failure)) => {
                return Some(RelayEnd::Broke(told(failure, &self.reserved.target.provider, self.relay.clock.now())));
            }
            // Some providers leave out `[DONE]`; an answer of which each choice ended is whole all the same.
            None if self.meter.is_whole() => return Some(RelayEnd::Done),
            None => return Some(RelayEnd::Broke(self.broke("its answer ended before it was whole"))),
        };
        match self.call.dialect.read_event(&self.call.request, &data) {
            AnswerEvent::Nothing => None,
            AnswerEvent::Done => Some(RelayEnd::Done),
            AnswerEvent::Unreadable => Some(RelayEnd::Broke(self.broke("a piece of its answer cannot be read"))),
            AnswerEvent::Failed(problem) => {
                let message = problem.message.or(problem.code).or(problem.kind);
                Some(RelayEnd::Broke(self.broke(message.as_deref().unwrap_or("it failed"))))
            }
            AnswerEvent::Last { data, usage } => {
                self.meter.count(0, usage, &[]);
                self.held = Some(data);
                Some(RelayEnd::Done)
            }
            AnswerEvent::Several(events) => events.into_iter().find_map(|event| self.take(Some(Ok(event)))),
            AnswerEvent::Piece { data, usage, only_usage, text_bytes, choices } => {
                self.meter.count(text_bytes, usage, &choices);
                if only_usage {
                    self.held.clone_from(&data);
                } else if let Some(data) = &data {
                    self.call.dialect.put_event(&mut self.ready, data);
                }
                let reserved = self.call.plan.estimate.output(self.reserved.output.each());
                // At an end of its own a provider may count a little more than was asked for: that is late, not endless.
                let goes_on = !only_usage && !choices.iter().any(|choice| choice.ends);
                let is_used_up = goes_on && self.meter.certain_output() > reserved;
                is_used_up.then(|| RelayEnd::UsedUp(data.unwrap_or_default()))
            }
        }
    }

    fn broke(&self, why: &str) -> Error {
        Error::UpstreamBroke(format!("provider {}: {why}", self.reserved.target.provider))
    }
}

/// What to record.
fn used(call: &Authorised, meter: &Meter, end: &RelayEnd, each: u64) -> (TokenUsage, CallOutcome) {
    let estimate = &call.plan.estimate;
    let reason = match end {
        RelayEnd::Done => return meter.whole(estimate),
        RelayEnd::CallerGone => {
            return (abandoned(meter, estimate, each), CallOutcome::estimated("the caller broke off"));
        }
        RelayEnd::Broke(Error::UpstreamTimedOut(_)) => "the stream broke off (504)",
        RelayEnd::Broke(_) => "the stream broke off (502)",
        RelayEnd::UsedUp(_) => "cut off: the reservation is used up",
        RelayEnd::Stopped => "cut: the gateway stopped",
    };
    (meter.probable(estimate), CallOutcome::estimated(reason))
}

/// Why an answer cannot be given again.
const fn why_not_kept(end: &RelayEnd) -> &'static str {
    match end {
        RelayEnd::Done => TOO_LONG,
        RelayEnd::Broke(_) => "its stream broke off",
        RelayEnd::UsedUp(_) => "its answer was cut off where its reservation was used up",
        RelayEnd::CallerGone => "its caller broke off",
        RelayEnd::Stopped => "its gateway stopped",
    }
}

/// What goes out last, once it is known whether the end is recorded; nothing if the client has gone.
fn last_piece(
    end: RelayEnd,
    settled: Result<Settled, Error>,
    call: &Authorised,
    held: Option<Bytes>,
    clock: &dyn Clock,
) -> Option<Result<Bytes, Error>> {
    let settled = match settled {
        Ok(settled) => settled,
        Err(error) => return Some(Err(error)),
    };
    match end {
        RelayEnd::Done => Some(Ok(call.dialect.end(held, &settled.total()))),
        RelayEnd::UsedUp(after) => {
            let (at, output) = (clock.now().0 / 1_000_000, settled.tokens().output.0);
            let cut = CutOff { request: &call.id, model: &call.request.model, at, after: &after, output };
            Some(Ok(call.dialect.end(Some(call.dialect.cut_off(&cut)), &settled.total())))
        }
        RelayEnd::Broke(error) => Some(Err(error)),
        RelayEnd::Stopped => Some(Err(Error::UpstreamBroke("the gateway stops, and the answer is cut off".to_owned()))),
        RelayEnd::CallerGone => None,
    }
}
