//! A copy of a call, made for nobody at another target once its caller has the answer: to see how that target does. It has a
//! reservation and a record of its own. Whatever becomes of it, the caller hears nothing of it.

use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answered::{Answered, CallAnswer, Stop};
use super::asking::Asker;
use super::authorised::Authorised;
use super::relay::Relay;
use super::reply::{self, ReplyBody};
use super::reserved::Reserved;
use super::scopes::scopes;
use crate::admission::Admission;
use crate::run_to_end::Left;

/// Copies that run at once; beyond that none is made. Each holds its request's body.
const SHADOWS_MAX: usize = 16;

/// Where less than so many percent of a budget are left, none is made.
const LEFT_MIN_PERCENT: u8 = 20;

/// Makes copies.
#[derive(Clone)]
pub(super) struct Shadows {
    asker: Arc<Asker>,
    relay: Arc<Relay>,
    admission: Arc<Admission>,
    room: Arc<Semaphore>,
}

/// A copy that can be made.
pub(super) struct Shadow {
    by: Shadows,
    call: Box<Authorised>,
    permit: OwnedSemaphorePermit,
}

impl Shadows {
    pub(super) fn new(asker: Arc<Asker>, relay: Arc<Relay>, admission: Arc<Admission>) -> Self {
        Self { asker, relay, admission, room: Arc::new(Semaphore::new(SHADOWS_MAX)) }
    }

    /// The copy of a call that is answered with what was `reserved`, if it is to have one.
    pub(super) fn of(&self, call: &Authorised, reserved: &Reserved) -> Option<Shadow> {
        let target = &call.plan.targets[*call.plan.course.shadows.first()?];
        // What builds on kept state means something at one provider only; a call that may come again is made once; a budget
        // that is short is for callers.
        let is_bound = call.dialect.builds_on(&call.request).is_some() || call.claim.is_some();
        if is_bound || reserved.output.clamped || self.is_short(call) {
            return None;
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        Some(Shadow { by: self.clone(), call: call.shadow(target)?, permit })
    }

    fn is_short(&self, call: &Authorised) -> bool {
        let holder = &call.key.holder;
        let left = self.admission.left_percent(&holder.tenant, &scopes(holder, &call.request.model));
        left.is_some_and(|left| left < LEFT_MIN_PERCENT)
    }
}

impl Shadow {
    /// Makes it, in a task of its own.
    pub(super) fn start(self) {
        let tracker = self.by.relay.tracker.clone();
        tracker.spawn(self.run());
    }

    async fn run(self) {
        let Self { by: Shadows { asker, relay, .. }, call, permit } = self;
        let left = Left::default();
        let stop = Stop { left: &left, cut: &relay.cut, leader: None, claimed: false, lost: None };
        match asker.once(&call, stop).await {
            Some(Answered { reserved, answer: CallAnswer::Whole(body, measured) }) => {
                drop(reply::whole(&relay.settler, call, reserved, (body, measured), None).await);
            }
            Some(Answered { reserved, answer: CallAnswer::Unusable(measured, why) }) => {
                drop(reply::unusable(&relay.settler, &call, reserved, (measured, why)).await);
            }
            Some(Answered { reserved, answer: CallAnswer::Stream(events) }) => {
                let reply = Relay::start(&relay, call, reserved, (events, None, None));
                if let ReplyBody::Stream(mut pieces) = reply.body {
                    while pieces.next().await.is_some() {}
                }
            }
            None => {}
        }
        drop(permit);
    }
}
