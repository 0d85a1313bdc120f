//! What goes back to a face: the call's summary, and an answer whose last byte exists only once the call is settled.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use steward_events::event::{CallOutcome, Target};
use steward_events::id::{CallId, TenantId};

use super::authorised::Authorised;
use super::pieces::Pieces;
use super::reserved::Reserved;
use super::settle::Settler;
use crate::cache::{CacheUse, Leader, Made};
use crate::dialect::Measured;
use crate::dialect::prompt::Spared;
use crate::error::Error;
use crate::meter::Meter;
use crate::settled::Settled;

/// A call that is answered.
pub struct Reply {
    /// What is known when the answer begins.
    pub summary: CallSummary,
    /// The answer.
    pub body: ReplyBody,
}

/// What is known of a call when its answer begins.
#[derive(Clone, Debug)]
pub struct CallSummary {
    /// The attempt that is answered.
    pub call: CallId,
    /// How many attempts there were.
    pub attempts: u32,
    /// Time in the gateway before it was sent.
    pub overhead: Duration,
    /// Whose money it is.
    pub tenant: TenantId,
    /// Output tokens of one choice, if that is less than the caller wanted.
    pub clamped_to: Option<u64>,
    /// What a whole answer is, as `Content-Type` names it.
    pub media_type: &'static str,
    /// What was spared of the request before it was sent.
    pub spared: Spared,
    /// What kept and shared answers had to do with it; none where the model has none.
    pub cache: Option<CacheUse>,
    /// Why another model stood in for the one that was asked, in one word; none if that one answered.
    pub degraded: Option<&'static str>,
}

/// A streamed answer that is kept when it is whole.
pub type KeptPieces = BoxStream<'static, Result<Bytes, Error>>;

/// An answer in the caller's dialect.
pub enum ReplyBody {
    /// At once; the call's end is recorded.
    Whole(Bytes, Settled),
    /// Piece by piece. An error is the last piece: the face says it in its own words.
    Stream(Pieces),
    /// Piece by piece, and kept when it is whole.
    Kept(KeptPieces),
}

impl CallSummary {
    pub(super) fn of(call: &Authorised, reserved: &Reserved) -> Self {
        Self {
            call: reserved.call().clone(),
            attempts: reserved.number,
            overhead: reserved.overhead,
            tenant: call.key.holder.tenant.clone(),
            clamped_to: reserved.output.clamped.then(|| reserved.output.each()),
            media_type: call.dialect.media_type(&call.request),
            spared: call.plan.spared,
            cache: None,
            degraded: call.degraded,
        }
    }
}

/// Why an answer cannot be given again.
pub(super) const TOO_LONG: &str = "its answer is too long to be kept";

/// Settles a call that was answered at once, and only then replies.
pub(super) async fn whole(
    settler: &Settler,
    call: Box<Authorised>,
    reserved: Reserved,
    (body, measured): (Bytes, Measured),
    leader: Option<Leader>,
) -> Result<Reply, Error> {
    let (tokens, outcome) = Meter::from(measured).whole(&call.plan.estimate);
    let (summary, target) = (CallSummary::of(&call, &reserved), reserved.target.clone());
    let settled = settler.settle(reserved, tokens, outcome, leader.as_ref()).await?;
    let kept = leader.and_then(|leader| leader.end_whole(&body, made(summary.call.clone(), target, &settled)));
    if let Some(claim) = &call.claim {
        claim.end(&summary.call, kept.as_deref().ok_or(TOO_LONG)).await;
    }
    Ok(Reply { summary, body: ReplyBody::Whole(body, settled) })
}

/// A call that was answered and settled, as others hear of it.
pub(super) fn made(call: CallId, target: Target, settled: &Settled) -> Made {
    Made { call, target, saves: settled.whole() }
}

/// Settles a call whose answer cannot be passed on, for what is known of it.
pub(super) async fn unusable(
    settler: &Settler,
    call: &Authorised,
    reserved: Reserved,
    (measured, why): (Measured, &'static str),
) -> Error {
    let provider = reserved.target.provider.clone();
    let meter = Meter::from(measured);
    let (tokens, outcome) = if meter.is_said() {
        meter.whole(&call.plan.estimate)
    } else {
        (meter.probable(&call.plan.estimate), CallOutcome::estimated(why))
    };
    let settled = settler.settle(reserved, tokens, outcome, None).await;
    settled.err().unwrap_or_else(|| Error::UpstreamBroke(format!("provider {provider}: {why}")))
}
