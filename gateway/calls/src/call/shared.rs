//! Authorised → answered with the answer of a call on its way, whose cost all who get it bear together.
//!
//! Who shares reserves what its own call could cost, then takes its place. When the answer is whole, the cost is split among
//! all who have a place, and each records its part. Until then nothing is owed: where the answer does not become whole, the
//! reservation ends as not billed.

use std::sync::Arc;
use std::time::Duration;

use steward_events::event::{CallOutcome, Savings};

use super::answered::broke_off;
use super::authorised::Authorised;
use super::given::{Followed, Giver, last, stops, summary};
use super::pieces::{Pieces, Slot};
use super::reply::{Reply, ReplyBody};
use super::settle::unrecorded;
use crate::admission::{Finish, Followed as Borne, Reservation, Sharing, never_sent};
use crate::cache::{Begun, Bill, CacheUse, Follower, Place, Share};
use crate::error::Error;
use crate::run_to_end::Left;
use crate::settled::Settled;

/// One who shares: it has a place, and has reserved for it.
struct Sharer {
    place: Place,
    reservation: Reservation,
    since: Duration,
}

impl Giver {
    /// Shares the answer of another call, or goes nowhere if that is not possible (any more).
    pub(super) async fn share(
        self: &Arc<Self>,
        call: Box<Authorised>,
        mut follower: Follower,
        left: &Left,
    ) -> Result<Followed, Error> {
        let sharer = if follower.is_too_late() { None } else { self.reserve_place(&call, &follower).await? };
        let Some(sharer) = sharer else {
            if follower.is_too_late() {
                // It is about to end, and what comes of it may be kept.
                tokio::select! {
                    () = follower.ended() => {}
                    () = left.wait() => return Err(broke_off()),
                    () = self.cut.cancelled() => return Err(stops()),
                }
            }
            return Ok(Followed::Nowhere(call));
        };
        let begun = match self.begun(&mut follower, left).await {
            // Waiting may have taken long.
            Ok(begun) => call.fresh_check(&self.access).await.map(|()| begun),
            Err(why) => Err(why),
        };
        match begun {
            Ok(Begun::Whole(kept)) => {
                self.metrics.cache(CacheUse::Shared);
                let id = sharer.reservation.call.clone();
                let settled = self.end(&call, sharer, "the cost was not split").await?;
                Ok(Followed::To(self.reply(call, &kept, (id, CacheUse::Shared), settled)))
            }
            Ok(Begun::Stream(..)) => {
                self.metrics.cache(CacheUse::Shared);
                Ok(Followed::To(self.start_shared(call, follower, sharer)))
            }
            Ok(Begun::Failed) => {
                self.end(&call, sharer, "the call whose answer it was to share came to nothing").await?;
                Ok(Followed::Nowhere(call))
            }
            Err(why) => Err(self.end(&call, sharer, &why.to_string()).await.err().unwrap_or(why)),
        }
    }

    /// Reserves for the call, and takes a place. None if it came too late, or if what is left pays for less than the
    /// answer that it would share.
    async fn reserve_place(&self, call: &Authorised, follower: &Follower) -> Result<Option<Sharer>, Error> {
        let first = call.plan.course.order.first().and_then(|first| call.plan.targets.get(*first));
        let Some(at) = first else { return Ok(None) };
        let reservation = self.reserver.hold_out(call, at).await?;
        let is_all = call.plan.estimate.output_for(reservation.granted) >= Some(call.plan.estimate.output_max);
        let since = self.reserver.clock.monotonic();
        if let Some(place) = follower.take_place().filter(|_| is_all) {
            return Ok(Some(Sharer { place, reservation, since }));
        }
        let call = reservation.call.clone();
        let finish = never_sent("it could not share the answer of another call");
        Settled::record(reservation, finish).await.map_err(|error| unrecorded(&call, &error))?;
        Ok(None)
    }

    /// Records the end of a sharer: its part of the cost if that was split, else that it was not billed, for this reason.
    async fn end(&self, of: &Authorised, sharer: Sharer, why: &str) -> Result<Settled, Error> {
        let Sharer { place, reservation, since } = sharer;
        let call = reservation.call.clone();
        let took = self.reserver.clock.monotonic().saturating_sub(since);
        let finish = place.leave().map_or_else(|| never_sent(why), |share| part_of(of, share, took));
        Settled::record(reservation, finish).await.map_err(|error| unrecorded(&call, &error))
    }

    /// Replies with the stream of another call.
    fn start_shared(self: &Arc<Self>, call: Box<Authorised>, follower: Follower, sharer: Sharer) -> Reply {
        let summary = summary(&call, sharer.reservation.call.clone(), CacheUse::Shared);
        let slot = Slot::default();
        let work = Arc::clone(self).pass_shared(call, follower, sharer, slot.clone());
        Reply { summary, body: ReplyBody::Stream(Pieces::new(work, slot, &self.tracker)) }
    }

    async fn pass_shared(self: Arc<Self>, call: Box<Authorised>, mut follower: Follower, sharer: Sharer, slot: Slot) {
        let passed = self.pass_on(&call, &mut follower, &slot).await;
        // It listens no longer.
        drop(follower);
        if slot.left().is_set() {
            // Who has heard some of it bears its part.
            tokio::select! {
                () = sharer.place.until_split() => {}
                () = self.cut.cancelled() => {}
            }
        }
        let why = passed.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let ended = self.end(&call, sharer, &why).await;
        slot.put(ended.and_then(|settled| passed.map(|kept| last(&call, &kept, &settled)))).await;
    }
}

/// The end of a call that bears its part.
fn part_of(sharer: &Authorised, Share { part, whole, of }: Share, took: Duration) -> Finish {
    let Bill { tokens, cost, variant, unpriced } = part;
    let (call, target) = (*of).clone();
    let price = sharer.plan.price_of(&target).clone();
    Finish {
        tokens,
        cost,
        variant,
        unpriced,
        savings: Savings::default(),
        outcome: CallOutcome::Completed,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        sharing: Sharing::Followed(Box::new(Borne { call, target, price, saved: whole.without(&part) })),
    }
}
