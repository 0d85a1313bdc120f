//! Authorised → answered with another call's answer: an earlier one that was kept, or that of a call on its way. Nothing is
//! reserved and nobody is asked; that it was given is on record, at no cost, before its last byte goes out. Where those who
//! share an answer bear its cost together, `shared.rs` goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steward_events::event::{AnswerSource, CachePolicy, CallOutcome, Coalesce, Saved, Target};
use steward_events::id::CallId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answered::broke_off;
use super::authorised::Authorised;
use super::pieces::{Pieces, Slot};
use super::reply::{CallSummary, Reply, ReplyBody};
use super::reserved::Reserver;
use crate::access::Access;
use crate::admission::Given;
use crate::cache::{Asked, Begun, Cache, CacheKey, CacheUse, Follower, Found, Heard, Kept, KeptBody, Leader, Origin};
use crate::dialect::prompt::Spared;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::run_to_end::Left;
use crate::settled::Settled;

/// How often a call follows others before it is made by itself, heard by nobody: a leader may fail, and the next one too.
const FOLLOWS_MAX: usize = 2;

/// Bytes of a kept stream that go out as one piece.
const PIECE_BYTES_MAX: usize = 16 * 1_024;

/// Gives answers that others got.
pub(super) struct Giver {
    pub(super) access: Arc<Access>,
    pub(super) cache: Cache,
    pub(super) metrics: Metrics,
    pub(super) reserver: Arc<Reserver>,
    pub(super) tracker: TaskTracker,
    pub(super) cut: CancellationToken,
    /// How often a client hears something while the model says nothing.
    pub(super) keep_alive_every: Duration,
}

/// What comes of looking for an answer.
#[allow(clippy::large_enum_variant)] // taken apart at once
pub(super) enum Look {
    /// There was one.
    Given(Reply),
    /// The call is to be made, and this is said of it; its answer may be for others too.
    Make(Box<Authorised>, Option<CacheUse>, Option<Leader>),
}

impl Giver {
    /// Looks for an answer to `call`; `anew` if its caller wants none that others got.
    pub(super) async fn look(
        self: &Arc<Self>,
        mut call: Box<Authorised>,
        anew: bool,
        left: &Left,
    ) -> Result<Look, Error> {
        let policy = call.plan.cache.policy.clone();
        if policy.is_off() {
            return Ok(Look::Make(call, None, None));
        }
        let Some(key) = key(&call).filter(|_| !anew) else {
            return Ok(Look::Make(call, Some(CacheUse::Bypass), None));
        };
        let origin = Origin { shard: call.key.shard, request: call.id.clone() };
        for follows in 0..=FOLLOWS_MAX {
            let coalesce = if follows < FOLLOWS_MAX { policy.coalesce } else { Coalesce::Off };
            let policy = CachePolicy { coalesce, ..policy.clone() };
            if policy.is_off() {
                break;
            }
            match self.cache.ask(&key, &policy, &origin) {
                Found::Hit(kept, age) => {
                    return Box::pin(self.give_kept(call, &kept, CacheUse::Hit { age })).await.map(Look::Given);
                }
                Found::Nothing(leader) => {
                    if let Some((kept, age)) = Box::pin(self.cache.ask_others(&key, &policy, &origin)).await {
                        // Those who follow find it in memory.
                        drop(leader);
                        call.fresh_check(&self.access).await?;
                        return Box::pin(self.give_kept(call, &kept, CacheUse::Hit { age })).await.map(Look::Given);
                    }
                    return Ok(Look::Make(call, Some(CacheUse::Miss), Some(leader)));
                }
                Found::Underway(follower) => {
                    let followed = match policy.coalesce {
                        Coalesce::Even => Box::pin(self.share(call, follower, left)).await?,
                        Coalesce::First | Coalesce::Off => Box::pin(self.follow(call, follower, left)).await?,
                    };
                    match followed {
                        Followed::To(reply) => return Ok(Look::Given(reply)),
                        Followed::Nowhere(back) => call = back,
                    }
                }
            }
        }
        Ok(Look::Make(call, Some(CacheUse::Miss), None))
    }

    /// Waits for the answer of another call, which bears the cost, and gives it.
    async fn follow(
        self: &Arc<Self>,
        call: Box<Authorised>,
        mut follower: Follower,
        left: &Left,
    ) -> Result<Followed, Error> {
        let begun = self.begun(&mut follower, left).await?;
        if matches!(begun, Begun::Failed) {
            return Ok(Followed::Nowhere(call));
        }
        // Waiting may have taken long.
        call.fresh_check(&self.access).await?;
        match begun {
            Begun::Whole(kept) => self.give_kept(call, &kept, CacheUse::Shared).await.map(Followed::To),
            Begun::Stream(of, target) => {
                self.metrics.cache(CacheUse::Shared);
                Ok(Followed::To(self.start(call, follower, (of, target))))
            }
            Begun::Failed => Ok(Followed::Nowhere(call)),
        }
    }

    /// Waits until the answer of another call begins.
    pub(super) async fn begun(&self, follower: &mut Follower, left: &Left) -> Result<Begun, Error> {
        tokio::select! {
            begun = follower.begun() => Ok(begun),
            () = left.wait() => Err(broke_off()),
            () = self.cut.cancelled() => Err(stops()),
        }
    }

    /// Gives an answer that is whole.
    pub(super) async fn give_kept(&self, call: Box<Authorised>, kept: &Kept, used: CacheUse) -> Result<Reply, Error> {
        self.metrics.cache(used);
        let id = self.reserver.new_call();
        let source = match used {
            CacheUse::Shared => AnswerSource::Shared { call: kept.made.call.clone() },
            CacheUse::Replayed => AnswerSource::Repeated { call: kept.made.call.clone() },
            CacheUse::Similar { score, .. } => AnswerSource::Similar { call: kept.made.call.clone(), score },
            _ => AnswerSource::Cache,
        };
        // What would not have been paid twice is no saving.
        let saved = if used == CacheUse::Replayed { Saved::default() } else { kept.made.saves };
        let given = Given { saved, ..self.given(&call, &id, source) };
        let settled = self.reserver.give(&call, &kept.made.target, given).await?;
        Ok(self.reply(call, kept, (id, used), settled))
    }

    /// Replies with an answer that is whole, once it is on record that it was given.
    pub(super) fn reply(
        &self,
        call: Box<Authorised>,
        kept: &Kept,
        (id, used): (CallId, CacheUse),
        settled: Settled,
    ) -> Reply {
        let summary = summary(&call, id, used);
        let body = match &kept.body {
            KeptBody::Whole(body) => ReplyBody::Whole(body.clone(), settled),
            KeptBody::Stream { events, held } => {
                let (events, held) = (events.clone(), held.clone());
                ReplyBody::Stream(pieces(call, events, held, settled, &self.tracker))
            }
        };
        Reply { summary, body }
    }

    /// A giving that goes well and saves nothing yet.
    fn given(&self, call: &Authorised, id: &CallId, source: AnswerSource) -> Given {
        let took = self.reserver.clock.monotonic().saturating_sub(call.began);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Given { call: id.clone(), source, saved: Saved::default(), outcome: CallOutcome::Completed, duration_ms }
    }

    /// Replies with the stream of another call.
    fn start(self: &Arc<Self>, call: Box<Authorised>, follower: Follower, of: (CallId, Target)) -> Reply {
        let id = self.reserver.new_call();
        let summary = summary(&call, id.clone(), CacheUse::Shared);
        let slot = Slot::default();
        let work = Arc::clone(self).pass(call, follower, (id, of), slot.clone());
        Reply { summary, body: ReplyBody::Stream(Pieces::new(work, slot, &self.tracker)) }
    }

    async fn pass(
        self: Arc<Self>,
        call: Box<Authorised>,
        mut follower: Follower,
        (id, (of, target)): (CallId, (CallId, Target)),
        slot: Slot,
    ) {
        let end = self.pass_on(&call, &mut follower, &slot).await;
        let mut given = self.given(&call, &id, AnswerSource::Shared { call: of });
        match &end {
            Ok(kept) => given.saved = kept.made.saves,
            Err(why) => given.outcome = CallOutcome::NotBilled { reason: why.to_string() },
        }
        let recorded = self.reserver.give(&call, &target, given).await;
        slot.put(recorded.and_then(|settled| end.map(|kept| last(&call, &kept, &settled)))).await;
    }

    /// Passes on what comes until the answer is whole.
    pub(super) async fn pass_on(
        &self,
        call: &Authorised,
        follower: &mut Follower,
        slot: &Slot,
    ) -> Result<Arc<Kept>, Error> {
        loop {
            let heard = tokio::select! {
                biased;
                () = slot.left().wait() => return Err(broke_off()),
                heard = follower.hear() => heard,
                () = self.cut.cancelled() => return Err(stops()),
                () = tokio::time::sleep(self.keep_alive_every) => {
                    slot.put(Ok(call.dialect.keep_alive())).await;
                    continue;
                }
            };
            match heard {
                Heard::Piece(piece) => slot.put(Ok(piece)).await,
                Heard::Whole(kept) => return Ok(kept),
                Heard::Failed => {
                    let why = "the call whose answer this one shares broke off; nothing was billed to this one";
                    return Err(Error::UpstreamBroke(why.to_owned()));
                }
            }
        }
    }
}

/// The last piece of another call's stream.
pub(super) fn last(call: &Authorised, kept: &Kept, settled: &Settled) -> Bytes {
    let held = match &kept.body {
        KeptBody::Stream { held, .. } => held.clone(),
        KeptBody::Whole(_) => None,
    };
    call.dialect.end(held, &settled.total())
}

/// What comes of following another call.
#[allow(clippy::large_enum_variant)] // taken apart at once
pub(super) enum Followed {
    To(Reply),
    Nowhere(Box<Authorised>),
}

/// Under what the answer to `call` is kept; none if it may not be given twice.
fn key(call: &Authorised) -> Option<CacheKey> {
    let says_all = call.request.stands_alone() && call.dialect.builds_on(&call.request).is_none();
    let idle = call.dialect.idle_fields(&call.request).filter(|_| says_all)?;
    Some(key_of(call, call.request.body.digest(idle)))
}

/// Under what the answer to `call` would be kept if this stood for its body.
pub(super) fn key_of(call: &Authorised, body: [u8; blake3::OUT_LEN]) -> CacheKey {
    let targets: Vec<_> = call.plan.targets.iter().map(|to| (&to.target, &to.provider)).collect();
    CacheKey::of(&Asked {
        tenant: &call.key.holder.tenant,
        scope: &call.key.holder.scope,
        operation: call.dialect.operation(),
        model: &call.request.model,
        targets: &targets,
        price: &call.plan.price,
        output_max: call.plan.estimate.output_max,
        terms: &call.plan.cache,
        body,
    })
}

pub(super) fn summary(call: &Authorised, id: CallId, used: CacheUse) -> CallSummary {
    CallSummary {
        call: id,
        attempts: 0,
        overhead: Duration::ZERO,
        tenant: call.key.holder.tenant.clone(),
        clamped_to: None,
        media_type: call.dialect.media_type(&call.request),
        spared: Spared::default(),
        cache: Some(used),
        degraded: call.degraded,
    }
}

/// A kept stream, whose giving is on record.
fn pieces(
    call: Box<Authorised>,
    mut events: Bytes,
    held: Option<Bytes>,
    settled: Settled,
    tracker: &TaskTracker,
) -> Pieces {
    let slot = Slot::default();
    let to = slot.clone();
    let work = async move {
        // All of it: its permit lasts until the answer has gone.
        let call = call;
        while !events.is_empty() && !to.left().is_set() {
            to.put(Ok(events.split_to(events.len().min(PIECE_BYTES_MAX)))).await;
        }
        to.put(Ok(call.dialect.end(held, &settled.total()))).await;
    };
    Pieces::new(work, slot, tracker)
}

pub(super) fn stops() -> Error {
    Error::Unavailable("this gateway is stopping".to_owned())
}
