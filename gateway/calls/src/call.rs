//! One model call, from the accepted request to the last byte. Each stage is a type that one module makes of the one
//! before, so the order below cannot be left:
//!
//! | stage | made by | what holds then |
//! |---|---|---|
//! | [`Accepted`] | a face's door | the key is good, freshly; the call has a permit; its body has come |
//! | `Planned` | `planned.rs` | it is read, routed, and its worst case is known |
//! | `Authorised` | `authorised.rs` | the caller may call the model at that cost |
//! | | `claimed.rs` | *where the caller names the call by an idempotency key:* no other call with this key is made, now or later; or the answer to the one that was is given |
//! | | `given.rs` | *where the model's policy says so:* an answer that another call got is given, and that is in the log; or this call's own answer will be for others too |
//! | `Reserved` | `reserved.rs` | the worst case is reserved; `CallStarted` is in the log |
//! | `Answered` | `answered.rs` | the provider answers. The request was checked once more when the connection was ready for its body, because reserving may have waited and a process may have been stopped for a while |
//! | [`Settled`](crate::Settled) | `settle.rs` | `CallFinished` is in the log |
//!
//! Every `Reserved` becomes a `Settled`, also that of an attempt without an answer; another attempt follows only if certainly
//! nothing was billed (`asking.rs`, `attempts.rs`), or races it where the route hedges. `reply.rs` and `relay.rs`
//! pass the answer back, and the last byte of both is made from the `Settled`.

use std::sync::Arc;

use steward_aggregates::catalog::Catalogs;
use steward_ports::clock::Clock;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::admission::Admission;
use crate::cache::{Cache, Common, Leader};
use crate::claims::Claims;
use crate::config::Config;
use crate::contents::Contents;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::run_to_end::Left;
use crate::targets::Targets;
use crate::tenant_secrets::TenantSecrets;
use crate::upstream::Providers;

mod accepted;
mod alike;
mod answered;
mod asking;
mod attempts;
mod authorised;
mod card;
mod claimed;
mod failure;
mod given;
mod manners;
mod pieces;
mod planned;
mod relay;
mod reply;
mod reserved;
mod scopes;
mod settle;
mod shadow;
mod shaped;
mod shared;
mod stand_in;
mod translation;

pub use accepted::Accepted;
pub use pieces::Pieces;
pub use reply::{CallSummary, KeptPieces, Reply, ReplyBody};

use answered::{Answered, CallAnswer, Sender, Stop};
use asking::Asker;
use authorised::{Authorised, authorise};
use given::{Giver, Look};
use manners::Manners;
use planned::Planner;
use relay::{AfterIt, Relay};
use reserved::Reserver;
use settle::Settler;
use shadow::Shadows;

/// The stages, each with what it needs and no more.
pub(crate) struct Pipeline {
    access: Arc<Access>,
    metrics: Metrics,
    planner: Planner,
    giver: Arc<Giver>,
    asker: Arc<Asker>,
    shadows: Shadows,
    claims: Claims,
    contents: Arc<Contents>,
    settler: Settler,
    relay: Arc<Relay>,
    /// Cuts the calls that run.
    cut: CancellationToken,
}

/// What the stages need of the process.
pub(crate) struct Parts {
    pub(crate) access: Arc<Access>,
    pub(crate) catalogs: Arc<Live<Catalogs>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) providers: Providers,
    pub(crate) targets: Targets,
    pub(crate) secrets: Arc<TenantSecrets>,
    pub(crate) contents: Arc<Contents>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tasks that must record the end of a call.
    pub(crate) tracker: TaskTracker,
    /// Cuts the calls that run.
    pub(crate) cut: CancellationToken,
}

impl Pipeline {
    /// The answers that are kept.
    pub(crate) fn cache(&self) -> Cache {
        self.giver.cache.clone()
    }

    pub(crate) fn new(parts: Parts, config: &Config) -> Self {
        let Parts { access, catalogs, admission, providers, targets, secrets, contents, metrics, clock, tracker, cut } =
            parts;
        let targets = Arc::new(targets);
        let settler = Settler { metrics: metrics.clone(), clock: Arc::clone(&clock) };
        let relay = Arc::new(Relay {
            settler: settler.clone(),
            clock: Arc::clone(&clock),
            tracker,
            cut: cut.clone(),
            keep_alive_every: config.keep_alive_every,
            read_on_max: config.abandoned_time_max,
        });
        let reserver = Reserver::new(&access, &admission, &clock, config);
        let giver = Arc::new(Giver {
            access: Arc::clone(&access),
            cache: cache(config.cache_bytes_max, (&contents, &clock), &relay.tracker),
            metrics: metrics.clone(),
            reserver: Arc::clone(&reserver),
            tracker: relay.tracker.clone(),
            cut: cut.clone(),
            keep_alive_every: config.keep_alive_every,
        });
        let asker = Arc::new(Asker {
            reserver,
            sender: Sender {
                access: Arc::clone(&access),
                providers,
                secrets,
                settler: settler.clone(),
                clock: Arc::clone(&clock),
                manners: Manners::default(),
                read_on_max: config.abandoned_time_max,
            },
            targets: Arc::clone(&targets),
            clock: Arc::clone(&clock),
            config: config.targets.clone(),
            attempts_max: config.attempts_max,
        });
        Self {
            planner: Planner {
                access: Arc::clone(&access),
                admission: Arc::clone(&admission),
                catalogs,
                targets,
                clock: Arc::clone(&clock),
                fresh_wait_max: config.fresh_wait_max,
            },
            giver,
            shadows: Shadows::new(Arc::clone(&asker), Arc::clone(&relay), admission),
            asker,
            claims: Claims { clock, kept_for: config.idempotency_kept_for, wait_max: config.idempotency_wait_max },
            contents,
            relay,
            settler,
            access,
            metrics,
            cut,
        }
    }

    /// Makes the call. Must run to its end even if the client has gone, which `left` tells until the answer begins:
    /// what was started must be recorded.
    pub(crate) async fn run(
        self: &Arc<Self>,
        accepted: Accepted,
        dialect: &'static dyn Dialect,
        left: &Left,
    ) -> Result<Reply, Error> {
        let (anew, claimed) = (accepted.anew, accepted.claimed());
        let planned = self.planner.plan(accepted, dialect).await?;
        let authorised = authorise(&self.access, &self.metrics, planned).await?;
        if let Some((key, body)) = claimed {
            return Box::pin(self.run_claimed(authorised, (&key, &body), left)).await;
        }
        let (authorised, used, leader) = match self.giver.look(authorised, anew, left).await? {
            Look::Given(reply) => return Ok(reply),
            // Boxed, as all that few calls need: what could happen to a call is room that every call takes.
            Look::Make(call, used, Some(leader)) => match Box::pin(self.look_alike(call, used, leader)).await? {
                Look::Given(reply) => return Ok(reply),
                Look::Make(call, used, leader) => (call, used, leader),
            },
            Look::Make(call, used, None) => (call, used, None),
        };
        if let Some(used) = used {
            self.metrics.cache(used);
        }
        let mut reply = self.answer(authorised, leader, left).await?;
        reply.summary.cache = used;
        Ok(reply)
    }

    /// Has the call answered by a provider; what comes is for those too who follow `leader`.
    async fn answer(&self, mut call: Box<Authorised>, leader: Option<Leader>, left: &Left) -> Result<Reply, Error> {
        self.asker.reserver.count_texts(&mut call).await;
        let stop = Stop { left, cut: &self.cut, leader: leader.as_ref(), claimed: call.claim.is_some(), lost: None };
        let Answered { reserved, answer } = self.asker.first_that_answers(&call, stop).await?;
        // An answer that a short budget cut short is its caller's only.
        let is_full = reserved.output.each() >= call.plan.estimate.output_max;
        let leader = leader.filter(|_| is_full || call.claim.is_some());
        let shadow = self.shadows.of(&call, &reserved);
        match answer {
            CallAnswer::Whole(body, measured) => {
                let reply = reply::whole(&self.settler, call, reserved, (body, measured), leader).await;
                if let Some(shadow) = shadow {
                    shadow.start();
                }
                reply
            }
            CallAnswer::Unusable(measured, why) => {
                Err(Box::pin(reply::unusable(&self.settler, &call, reserved, (measured, why))).await)
            }
            CallAnswer::Stream(events) => {
                let after = shadow.map(|shadow| -> AfterIt { Box::new(move || shadow.start()) });
                Ok(Relay::start(&self.relay, call, reserved, (events, leader, after)))
            }
        }
    }
}

/// The answers that are kept: here so many bytes, and those that all gateways have in common.
fn cache(bytes_max: usize, (contents, clock): (&Arc<Contents>, &Arc<dyn Clock>), tracker: &TaskTracker) -> Cache {
    let common = Common::new(Arc::clone(contents), Arc::clone(clock), tracker.clone());
    Cache::new(bytes_max, Arc::clone(clock), Some(common))
}
