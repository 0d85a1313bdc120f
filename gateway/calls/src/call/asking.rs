//! Authorised → answered: one target after the other is asked until one answers, each attempt with a reservation of its own.
//! Where the route hedges, a second target is asked while the first says nothing; the first answer counts, and the other
//! attempt is ended and booked before it goes on.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use steward_events::event::HedgeAfter;
use steward_ports::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::answered::{Answered, Sender, Stop, Unanswered};
use super::attempts::{Attempts, Next};
use super::authorised::Authorised;
use super::planned::{Plan, ResolvedTarget};
use super::reserved::{Reserved, Reserver};
use crate::error::Error;
use crate::targets::{Passed, Targets, TargetsConfig, Trial};

/// Asks targets.
pub(super) struct Asker {
    pub(super) reserver: Arc<Reserver>,
    pub(super) sender: Sender,
    pub(super) targets: Arc<Targets>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: TargetsConfig,
    pub(super) attempts_max: NonZeroU32,
}

impl Asker {
    /// Asks the route's targets until one answers. Of what one provider keeps no other knows: then only the first that can be
    /// asked at all is asked.
    pub(super) async fn first_that_answers(&self, call: &Authorised, stop: Stop<'_>) -> Result<Answered, Error> {
        let Plan { targets, course, .. } = &call.plan;
        let mut asking = Asking {
            asker: self,
            call,
            stop,
            attempts: Attempts::new(course, |number| &targets[number].target.on, &self.config),
            number: 0,
            full_for: None,
            is_bound: call.dialect.builds_on(&call.request).is_some(),
            failed: Error::NoSuchModel(call.request.model.to_string()),
        };
        while let Some(entered) = asking.enter().await {
            for ended in asking.ask(entered).await? {
                match ended {
                    (_, Ok(answered)) => return Ok(answered),
                    (target, Err(unanswered)) => asking.failed(target, unanswered)?,
                }
            }
        }
        Err(asking.gives_up())
    }
}

/// The attempts of one call.
struct Asking<'a> {
    asker: &'a Asker,
    call: &'a Authorised,
    stop: Stop<'a>,
    attempts: Attempts<'a>,
    /// How many began.
    number: u32,
    /// The shortest wait for a target that takes no more now.
    full_for: Option<Duration>,
    /// True if nobody but the first that is asked can answer.
    is_bound: bool,
    /// Why the last one failed.
    failed: Error,
}

/// An attempt that may begin.
struct Entered<'a> {
    /// The target's number in the route.
    place: usize,
    target: &'a ResolvedTarget,
    number: u32,
    trial: Trial,
}

/// How an attempt at a target of this number ended.
type Ended = (usize, Result<Answered, Unanswered>);

impl<'a> Asking<'a> {
    /// The next attempt; none if nobody is left to ask.
    async fn enter(&mut self) -> Option<Entered<'a>> {
        while self.has_attempts()
            && let Some(next) = self.attempts.next(self.asker.clock.monotonic(), self.asker.targets.draw())
        {
            if !self.stop.sleep(next.wait).await {
                return None;
            }
            if let Some(entered) = self.try_enter(next) {
                return Some(entered);
            }
        }
        None
    }

    /// The attempt that may race one that says nothing yet.
    fn enter_hedge(&mut self) -> Option<Entered<'a>> {
        while self.has_attempts()
            && let Some(next) = self.attempts.hedge()
        {
            if let Some(entered) = self.try_enter(next) {
                return Some(entered);
            }
        }
        None
    }

    const fn has_attempts(&self) -> bool {
        self.number < self.asker.attempts_max.get()
    }

    fn try_enter(&mut self, next: Next) -> Option<Entered<'a>> {
        let target = &self.call.plan.targets[next.target];
        match target.health.enter(target.takes(), next.last_resort) {
            Ok(trial) => {
                self.number += 1;
                return Some(Entered { place: next.target, target, number: self.number, trial });
            }
            Err(Passed::LeftAlone) => self.attempts.put_off(next.target),
            Err(Passed::Full(wait)) => {
                self.full_for = Some(self.full_for.map_or(wait, |known| known.min(wait)));
                self.attempts.full(next.target, wait, self.asker.clock.monotonic());
            }
        }
        None
    }

    /// Reserves and asks; where the route hedges, asks another one as well.
    async fn ask(&mut self, Entered { place, target, number, trial }: Entered<'a>) -> Result<Vec<Ended>, Error> {
        let Asker { reserver, sender, .. } = self.asker;
        let reserved = reserver.reserve(self.call, target, (number, trial)).await?;
        match self.hedge_after(target) {
            // Two attempts at once take much room, which few calls need.
            Some(after) => Ok(Box::pin(self.race((place, target), reserved, after)).await),
            None => Ok(vec![(place, sender.send(self.call, target, reserved, self.stop).await)]),
        }
    }

    /// After which silence of `first` another target is asked too; none if that is not to be.
    fn hedge_after(&self, first: &ResolvedTarget) -> Option<Duration> {
        // Who names a call wants it to be made once.
        let may = !self.is_bound && self.call.claim.is_none();
        match self.call.plan.terms.hedge_after.filter(|_| may)? {
            HedgeAfter::Ms(ms) => Some(Duration::from_millis(ms.get().into())),
            HedgeAfter::P95 => first.health.p95(),
        }
    }

    /// Asks `first`, and after a while of silence another one. At most one of both answers.
    async fn race(
        &mut self,
        (place, target): (usize, &'a ResolvedTarget),
        reserved: Reserved,
        after: Duration,
    ) -> Vec<Ended> {
        let (asker, call) = (self.asker, self.call);
        let lost = [CancellationToken::new(), CancellationToken::new()];
        let [stop_first, stop_second] = lost.each_ref().map(|lost| Stop { lost: Some(lost), ..self.stop });
        let mut first = pin!(asker.sender.send(call, target, reserved, stop_first));
        tokio::select! {
            biased;
            ended = &mut first => return vec![(place, ended)],
            () = tokio::time::sleep(after) => {}
        }
        let Some(hedge) = self.enter_hedge() else { return vec![(place, first.await)] };
        let hedge_place = hedge.place;
        let second = pin!(asker.hedge(call, hedge, stop_second));
        let mut ends = match select(first, second).await {
            Either::Left((ended, second)) => {
                lose(&lost[1], ended.is_ok());
                vec![Some((place, ended)), second.await.map(|ended| (hedge_place, ended))]
            }
            Either::Right((Some(ended), first)) => {
                lose(&lost[0], ended.is_ok());
                vec![Some((hedge_place, ended)), Some((place, first.await))]
            }
            Either::Right((None, first)) => vec![Some((place, first.await))],
        };
        // Whoever failed beside an answer is of no concern any more.
        ends.sort_by_key(|ended| ended.as_ref().is_some_and(|(_, ended)| ended.is_err()));
        for (_, ended) in ends.iter_mut().flatten() {
            if let Ok(answered) = ended {
                answered.reserved.number = self.number;
            }
        }
        ends.into_iter().flatten().collect()
    }

    /// Takes in how an attempt failed.
    ///
    /// # Errors
    /// If nobody else is to be asked.
    fn failed(&mut self, target: usize, unanswered: Unanswered) -> Result<(), Error> {
        match unanswered {
            Unanswered::GiveUp(why) => Err(why),
            Unanswered::Failed(why, _) if self.is_bound && !matches!(why, Error::BadRequest { .. }) => Err(why),
            Unanswered::Failed(why, recourse) => {
                if !self.attempts.failed(target, &recourse, self.asker.clock.monotonic()) {
                    return Err(why);
                }
                self.failed = why;
                Ok(())
            }
        }
    }

    /// What the caller is told where nobody answered.
    fn gives_up(self) -> Error {
        match self.full_for.filter(|_| self.number == 0) {
            Some(retry_after) => Error::Busy {
                reason: format!("the providers of the model `{}` take no more this minute", self.call.request.model),
                retry_after,
            },
            None => self.failed,
        }
    }
}

impl Asker {
    /// Reserves and asks for an attempt that races another; none if it could not begin, which harms nobody.
    async fn hedge(
        &self,
        call: &Authorised,
        Entered { target, number, trial, .. }: Entered<'_>,
        stop: Stop<'_>,
    ) -> Option<Result<Answered, Unanswered>> {
        let reserving = self.reserver.reserve(call, target, (number, trial));
        // What is reserved for nobody is recorded as not sent.
        let reserved = tokio::select! {
            biased;
            () = stop.has_lost() => return None,
            reserved = reserving => reserved.ok()?,
        };
        Some(self.sender.send(call, target, reserved, stop).await)
    }
}

impl Asker {
    /// Asks the first target of the call once, if it is well and there is room; none if nothing comes of it.
    pub(super) async fn once(&self, call: &Authorised, stop: Stop<'_>) -> Option<Answered> {
        let target = &call.plan.targets[*call.plan.course.order.first()?];
        let trial = target.health.enter(target.takes(), false).ok()?;
        let reserved = self.reserver.reserve(call, target, (1, trial)).await.ok()?;
        self.sender.send(call, target, reserved, stop).await.ok()
    }
}

/// The other attempt answered.
fn lose(lost: &CancellationToken, other_answered: bool) {
    if other_answered {
        lost.cancel();
    }
}
