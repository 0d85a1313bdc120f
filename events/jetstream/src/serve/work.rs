//! Requests of one service from when they come to when they are answered: taken or refused at once, begun in turn.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use steward_events::event::DenialKind;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_ports::bus::Failure;
use steward_ports::clock::{RandomIds, SystemClock};
use steward_ports::trace;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::Responds;
use super::answer::{self, ServiceAnswer};
use super::queue::{Full, Place, Queue, Requests};
use crate::connection::Connection;
use crate::envelope::{self, Sender};

/// How many senders are told apart when what they do wrong is logged.
const SENDERS_MAX: usize = 1_024;

/// A request whose sender is known.
struct Arrived {
    request: async_nats::service::Request,
    sender: Sender,
}

/// Requests that wait or are being worked on.
pub(super) struct Work {
    connection: Arc<Connection>,
    responds: Arc<dyn Responds>,
    ids: Arc<RandomIds>,
    body_bytes_max: usize,
    waiting: Queue<Arrived>,
    /// What was begun; each ends with its place, also one that broke.
    begun: FuturesUnordered<BoxFuture<'static, Place>>,
    misbehaved: OnceASecond,
}

impl Work {
    pub(super) fn new(connection: Connection, responds: Arc<dyn Responds>, bounds: Requests) -> Self {
        Self {
            connection: Arc::new(connection),
            responds,
            ids: Arc::default(),
            body_bytes_max: bounds.body_bytes_max,
            waiting: Queue::new(bounds),
            begun: FuturesUnordered::new(),
            misbehaved: OnceASecond::default(),
        }
    }

    /// Lets a request wait for its turn, or refuses it. Never waits for others to end, so nothing gathers before it.
    pub(super) async fn take(&mut self, request: async_nats::service::Request) {
        let Some(sender) = self.sender(&request) else { return };
        let bytes = request.message.payload.len();
        let (tenant, principal) = (sender.tenant.clone(), sender.principal.clone());
        let (request, why) = if bytes > self.body_bytes_max {
            let most = self.body_bytes_max;
            (request, Rejection::invalid("body", format!("has {bytes} bytes; at most {most} are allowed")))
        } else {
            match self.waiting.push(&tenant, &principal, bytes, Arrived { request, sender }) {
                Ok(()) => return,
                Err(Full { request: Arrived { request, .. }, whose }) => {
                    let reason = format!("too many requests of {whose} wait; send it again in a moment");
                    (request, Rejection::Busy { reason })
                }
            }
        };
        self.responds.refused(&tenant, &principal, DenialKind::TooMuch, &why.to_string());
        let answer = ServiceAnswer::rejected(why, envelope::format(&request.message));
        if let Err(error) = answer.send(&self.connection, &request).await {
            tracing::warn!(tenant.id = %tenant, %error, "a refusal could not be sent");
        }
    }

    /// Who sends, if it is known and wants its answer in an inbox of its own.
    fn sender(&mut self, request: &async_nats::service::Request) -> Option<Sender> {
        let subject = request.message.subject.as_str();
        let Some(reply) = request.message.reply.as_ref().map(Subject::as_str) else {
            tracing::debug!(subject, "a request that wants no answer is not decided: send it as a request");
            return None;
        };
        let sender = match envelope::read_subject(subject) {
            Ok(sender) => sender,
            // Who sends is not known, so no inbox is known to be theirs.
            Err(malformed) => {
                tracing::debug!(subject, reason = malformed.reason, "a subject that cannot be read");
                return None;
            }
        };
        let Sender { tenant, principal, .. } = &sender;
        if answer::is_inbox_of(reply, tenant, principal) {
            return Some(sender);
        }
        let why = "a reply subject that is not an inbox of the sender";
        self.responds.refused(tenant, principal, DenialKind::Violation, why);
        if let Some(more) = self.misbehaved.notes((tenant, principal), Instant::now()) {
            tracing::warn!(
                tenant.id = %tenant, principal.id = %principal, more,
                "requests are dropped: their reply subject is not an inbox of the sender"
            );
        }
        None
    }

    /// Begins all whose turn it is.
    pub(super) fn begin(&mut self) {
        while let Some((place, Arrived { request, sender })) = self.waiting.next() {
            let (responds, connection) = (Arc::clone(&self.responds), Arc::clone(&self.connection));
            let ids = Arc::clone(&self.ids);
            let is_brief = responds.is_brief();
            let handled = async move { handle(&connection, request, sender, &*responds, &ids).await };
            // The panic was reported when it happened.
            self.begun.push(if is_brief {
                AssertUnwindSafe(handled).catch_unwind().map(|_| place).boxed()
            } else {
                AbortOnDropHandle::new(tokio::spawn(handled)).map(|_| place).boxed()
            });
        }
    }

    /// Goes on with what was begun until one of it has ended; none if nothing is begun.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let place = self.begun.next().await?;
        self.waiting.end(&place);
        Some(())
    }
}

/// Lets one in a second pass for each sender, and counts the others.
#[derive(Default)]
struct OnceASecond(HashMap<(TenantId, PrincipalId), (Instant, u64)>);

impl OnceASecond {
    /// How many were held back before, if this one passes.
    fn notes(&mut self, (tenant, principal): (&TenantId, &PrincipalId), now: Instant) -> Option<u64> {
        let whose = (tenant.clone(), principal.clone());
        let recent = |since: &Instant| now.duration_since(*since) < Duration::from_secs(1);
        if self.0.len() >= SENDERS_MAX && !self.0.contains_key(&whose) {
            self.0.retain(|_, (since, _)| recent(since));
            if self.0.len() >= SENDERS_MAX {
                return None;
            }
        }
        match self.0.get_mut(&whose) {
            Some((since, more)) if recent(since) => {
                *more += 1;
                None
            }
            known => {
                let more = known.map_or(0, |(_, more)| *more);
                self.0.insert(whose, (now, 0));
                Some(more)
            }
        }
    }
}

async fn handle(
    connection: &Connection,
    request: async_nats::service::Request,
    sender: Sender,
    responds: &dyn Responds,
    ids: &RandomIds,
) {
    let message = &request.message;
    let subject = message.subject.as_str();
    let clock = SystemClock::default();
    let body = message.payload.clone();
    let answer = match envelope::read_request(sender, message.headers.as_ref(), body, &clock, ids) {
        Ok(request) => {
            let span = span(&request);
            let answer = responds.respond(request).instrument(span.clone()).await;
            tracing::debug!(parent: &span, subject, ok = answer.is_ok(), "processed");
            answer
        }
        Err(malformed) => Ok(ServiceAnswer::malformed(malformed)),
    };
    let sent = match answer {
        Ok(answer) => answer.send(connection, &request).await,
        Err(Failure(reason)) => answer::fail(&request, &reason).await,
    };
    if let Err(error) = sent {
        tracing::warn!(subject, %error, "an answer could not be sent");
    }
}

/// The span of one request: a child of the sender's, wherever that is. Log lines need what it is about; the rest is for
/// those who look at traces.
fn span(request: &Request) -> Span {
    let span = if trace::is_recorded() {
        full_span(request)
    } else {
        tracing::info_span!("process", tenant.id = %request.tenant, request.id = %request.envelope.correlation)
    };
    trace::follow(&span, request.envelope.traceparent.as_deref());
    span
}

fn full_span(request: &Request) -> Span {
    tracing::info_span!(
        "process",
        otel.name = format!("process {}.{}", request.noun, request.verb),
        otel.kind = "server",
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = format!("{}.{}", request.noun, request.verb),
        tenant.id = %request.tenant,
        request.id = %request.envelope.correlation,
    )
}
