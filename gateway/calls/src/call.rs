//! One model call, from the accepted request to the last byte. Each stage is a type that one module makes of the one
//! before, so the order below cannot be left:
//!
//! | stage | made by | what holds then |
//! |---|---|---|
//! | [`Accepted`] | a face's door | the key is good, freshly; the call has a permit; its body has come |
//! | `Planned` | `planned.rs` | it is read, routed, and its worst case is known |
//! | `Authorised` | `authorised.rs` | the caller may call the model at that cost |
//! | | | *here a cache would be asked, and equal calls coalesced: before anything is reserved* |
//! | `Reserved` | `reserved.rs` | the worst case is reserved; `CallStarted` is in the log |
//! | `Answered` | `answered.rs` | the provider answers. The request was checked once more when the connection was ready for its body, because reserving may have waited and a process may have been stopped for a while |
//! | [`Settled`](crate::Settled) | `settle.rs` | `CallFinished` is in the log |
//!
//! Every `Reserved` becomes a `Settled`, also that of an attempt without an answer; on to the next target only if certainly
//! nothing was billed (*a hedge would race a second attempt here, with a reservation of its own*). `reply.rs` and `relay.rs`
//! pass the answer back, and the last byte of both is made from the `Settled`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::catalog::Catalogs;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::admission::Admission;
use crate::config::Config;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::run_to_end::Left;
use crate::upstream::Providers;

mod accepted;
mod answered;
mod authorised;
mod failure;
mod manners;
mod pieces;
mod planned;
mod relay;
mod reply;
mod reserved;
mod settle;

pub use accepted::Accepted;
pub use pieces::Pieces;
pub use reply::{CallSummary, Reply, ReplyBody};

use answered::{Answered, CallAnswer, Sender, Stop, Unanswered};
use authorised::{Authorised, authorise};
use manners::Manners;
use planned::Planner;
use relay::Relay;
use reserved::Reserver;
use settle::Settler;

/// The stages, each with what it needs and no more.
pub(crate) struct Pipeline {
    access: Arc<Access>,
    metrics: Metrics,
    planner: Planner,
    reserver: Reserver,
    sender: Sender,
    settler: Settler,
    relay: Arc<Relay>,
    /// Cuts the calls that run.
    cut: CancellationToken,
    attempts_max: NonZeroU32,
}

/// What the stages need of the process.
pub(crate) struct Parts {
    pub(crate) access: Arc<Access>,
    pub(crate) catalogs: Arc<Live<Catalogs>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) providers: Providers,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tasks that must record the end of a call.
    pub(crate) tracker: TaskTracker,
    /// Cuts the calls that run.
    pub(crate) cut: CancellationToken,
}

impl Pipeline {
    pub(crate) fn new(parts: Parts, config: &Config) -> Self {
        let Parts { access, catalogs, admission, providers, metrics, clock, tracker, cut } = parts;
        let settler = Settler { metrics: metrics.clone(), clock: Arc::clone(&clock) };
        let relay = Relay {
            settler: settler.clone(),
            clock: Arc::clone(&clock),
            tracker,
            cut: cut.clone(),
            keep_alive_every: config.keep_alive_every,
            read_on_max: config.abandoned_time_max,
        };
        let wait_max: Duration = config.admission.wait_max + config.record_wait_max;
        Self {
            planner: Planner::new(catalogs, Arc::clone(&clock), config.fresh_wait_max),
            reserver: Reserver { access: Arc::clone(&access), admission, clock: Arc::clone(&clock), wait_max },
            sender: Sender {
                access: Arc::clone(&access),
                providers,
                settler: settler.clone(),
                clock,
                manners: Manners::default(),
                read_on_max: config.abandoned_time_max,
            },
            relay: Arc::new(relay),
            settler,
            access,
            metrics,
            cut,
            attempts_max: config.attempts_max,
        }
    }

    /// Makes the call. Must run to its end even if the client has gone, which `left` tells until the answer begins:
    /// what was started must be recorded.
    pub(crate) async fn run(
        &self,
        accepted: Accepted,
        dialect: &'static dyn Dialect,
        left: &Left,
    ) -> Result<Reply, Error> {
        let stop = Stop { left, cut: &self.cut };
        let planned = self.planner.plan(accepted, dialect).await?;
        let authorised = authorise(&self.access, &self.metrics, planned).await?;
        let Answered { reserved, answer } = self.first_that_answers(&authorised, stop).await?;
        match answer {
            CallAnswer::Whole(body, measured) => {
                reply::whole(&self.settler, authorised, reserved, (body, measured)).await
            }
            CallAnswer::Unusable(measured, why) => {
                Err(reply::unusable(&self.settler, &authorised, reserved, (measured, why)).await)
            }
            CallAnswer::Stream(events) => Ok(Relay::start(&self.relay, authorised, reserved, events)),
        }
    }

    /// Tries the route's targets in order until one answers; only the first for what no other can know.
    async fn first_that_answers(&self, call: &Authorised, stop: Stop<'_>) -> Result<Answered, Error> {
        let mut failed = Error::NoSuchModel(call.request.model.to_string());
        let is_bound = call.dialect.is_bound(&call.request);
        for (number, target) in (1..=self.attempts_max.get()).zip(&call.plan.targets) {
            let reserved = self.reserver.reserve(call, target, number).await?;
            match self.sender.send(call, target, reserved, stop).await {
                Ok(answered) => return Ok(answered),
                // One that cannot even be asked for it holds nothing that it builds on.
                Err(Unanswered::TryNext(why)) if !matches!(why, Error::BadRequest { .. }) && is_bound => {
                    return Err(why);
                }
                Err(Unanswered::TryNext(why)) => failed = why,
                Err(Unanswered::GiveUp(why)) => return Err(why),
            }
        }
        Err(failed)
    }
}
