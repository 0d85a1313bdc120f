//! One model call, from the parsed request to the last byte. The stages, in order, and where each is:
//!
//! 1. authenticate, freshly (`auth.rs`, from the face)
//! 2. a place among the calls that run (`limits.rs`, from the face)
//! 3. parse (`openai/request.rs`)
//! 4. route and estimate the worst case (`call/plan.rs`, `call/estimate.rs`)
//! 5. authorise `model:invoke` with the model and that cost
//! 6. *here a cache would be asked, and equal calls coalesced: before anything is reserved*
//! 7. reserve; `CallStarted` is in the log (`admission.rs`)
//! 8. connect to the provider; when the connection is ready for the body, confirm freshness and authorise once more,
//!    because reserving may have waited and a process may have been stopped for a while
//! 9. send; if certainly nothing was billed, on to the next target, from 7
//!    (`call/attempt.rs`; *a hedge would race a second attempt here, with a reservation of its own*)
//! 10. pass the answer back, metered and cut off when the reservation is used up (`call/stream.rs`, `call/whole.rs`)
//! 11. finish: `CallFinished` is in the log (`call/attempt.rs`)
//! 12. only then the last byte
//!
//! Rates over time are budgets, so they are part of 7.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue};
use steward_aggregates::authority::Context;
use steward_events::id::{CorrelationId, ModelId};
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::rejection::Rejection;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::auth::Known;
use crate::error::Error;
use crate::gateway::Edge;
use crate::limits::{BodyRoom, Place};
use crate::metrics::Running;
use crate::openai::ChatRequest;
use crate::provider::{Answer, LastLook, Withdrawn};

mod attempt;
mod estimate;
mod meter;
mod plan;
mod stream;
mod whole;

use attempt::Started;
use plan::Plan;

/// Who calls, and with what the call is held.
pub(crate) struct Caller {
    /// Who.
    pub(crate) known: Known,
    /// The request's id.
    pub(crate) request: CorrelationId,
    /// When it came, by the monotonic clock.
    pub(crate) began: Duration,
    /// Its place among the calls that run.
    pub(crate) _place: Place,
    /// The room that its body takes.
    pub(crate) _room: BodyRoom,
    /// Cancelled when the client breaks off before its answer begins.
    pub(crate) gone: CancellationToken,
}

/// What every stage of one call reads.
struct Call {
    edge: Arc<Edge>,
    caller: Caller,
    ask: ChatRequest,
    plan: Plan,
    /// Counted as running until all of the call is over.
    _running: Running,
}

/// Makes the call. Runs to its end even if the client has gone: what was started must be recorded.
pub(crate) async fn run(edge: Arc<Edge>, caller: Caller, body: Bytes) -> Result<Response, Error> {
    let ask = ChatRequest::read(&body)?;
    let plan = plan::plan(&edge, &caller.known, &ask).await;
    // Who may not use a model is told so, also if it has no route or price.
    let worst = plan.as_ref().map_or(NanoDollars(0), |plan| plan.estimate.worst().money);
    if may_invoke(&edge, &caller.known, &ask.model, worst).is_err() {
        edge.keys.confirm_now(caller.known.shard).await?;
        may_invoke(&edge, &caller.known, &ask.model, worst)?;
    }
    let running = edge.metrics.run();
    let call = Call { edge, caller, ask, plan: plan?, _running: running };
    let sent = attempt::first_that_answers(&call).await?;
    match sent.answer {
        Answer::Whole(whole) => whole::answer(call, sent.started, whole).await,
        Answer::Stream(events) => Ok(stream::answer(call, sent.started, events)),
    }
}

fn may_invoke(edge: &Edge, known: &Known, model: &ModelId, cost: NanoDollars) -> Result<(), Rejection> {
    let Known { holder, .. } = known;
    let context = Context { model: Some(model.clone()), cost: Some(cost) };
    let (permission, scope) = (Permission::model_invoke(), holder.scope.clone());
    edge.keys.authorise(holder, &holder.tenant, permission, scope, context)
}

impl Call {
    /// Since the request came.
    fn elapsed(&self) -> Duration {
        self.edge.clock.monotonic().saturating_sub(self.caller.began)
    }

    /// Whether the call may be made, as far as this gateway has heard.
    fn may(&self) -> Result<(), Rejection> {
        may_invoke(&self.edge, &self.caller.known, &self.ask.model, self.plan.estimate.worst().money)
    }

    /// Ends with why the call may not be made any more, as soon as this gateway hears of it.
    async fn withdrawn(&self) -> Error {
        self.edge.keys.until_withdrawn(self.caller.known.shard, || self.may()).await.into()
    }

    /// Stage 8, for the provider's connection to ask; the other end hears why the call may not be made any more.
    fn last_look(&self) -> (LastLook, oneshot::Receiver<Error>) {
        let (tell, hears) = oneshot::channel();
        let (edge, known) = (Arc::clone(&self.edge), self.caller.known.clone());
        let (model, worst) = (self.ask.model.clone(), self.plan.estimate.worst().money);
        let look = async move {
            let fresh = edge.keys.confirm(known.shard).await.map_err(Error::from);
            let allowed = fresh.and_then(|()| may_invoke(&edge, &known, &model, worst).map_err(Error::from));
            allowed.map_err(|why| {
                // Nobody hears it if the caller has gone.
                let _ = tell.send(why);
                Withdrawn
            })
        };
        (look.boxed(), hears)
    }
}

/// What every answer says of its call.
fn describe(headers: &mut HeaderMap, call: &Call, started: &Started) {
    set(headers, "x-steward-call-id", started.call());
    set(headers, "x-steward-attempts", &started.number);
    set(headers, "x-steward-overhead-ms", &format!("{:.3}", started.overhead.as_secs_f64() * 1e3));
    set(headers, "openai-organization", &call.caller.known.holder.tenant);
    if started.clamped {
        set(headers, "x-steward-max-tokens-clamped", &started.output_each);
    }
}

/// Sets a header whose value is ours: numbers, ids, amounts.
fn set(headers: &mut HeaderMap, name: &'static str, value: &impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}
