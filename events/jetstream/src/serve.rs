//! The server's side: one NATS service a noun or view, found by discovery, balanced by queue group.
//!
//! Whoever answers to a reply subject that the caller chose can be made to write elsewhere. So the reply must be an inbox
//! of the caller, by its subject; and the connection that answers may publish to inboxes only, which the server sees to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Service, ServiceExt};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use steward_events::BoxError;
use steward_events::command::COMMANDS;
use steward_events::event::DenialKind;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::query::QUERIES;
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_ports::bus::{CommandService, Failure, QueryService};
use steward_ports::clock::{RandomIds, SystemClock};
use steward_ports::trace;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::connection::Connection;
use crate::envelope::{self, Sender};
use answer::ServiceAnswer;
use queue::{Full, Place, Queue};

mod answer;
mod queue;

pub use answer::status;
pub use queue::Requests;

/// How many senders are told apart when what they do wrong is logged.
const SENDERS_MAX: usize = 1_024;

/// How long what was begun may take after a shutdown.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves these nouns' commands until `shutdown`; returns once it listens. The task ends when what was begun is answered.
///
/// # Errors
/// If the bus does not take the subscriptions.
pub async fn commands(
    responder: &Connection,
    nouns: &[&str],
    service: Arc<dyn CommandService>,
    bounds: &Requests,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    let rows = COMMANDS.iter().map(|spec| ServedRow { kind: "cmd", noun: spec.noun, verb: spec.verb, help: spec.help });
    start(responder, nouns, rows.collect(), Arc::new(Commands(service)), bounds, shutdown).await
}

/// Serves these views' queries until `shutdown`; returns once it listens.
///
/// # Errors
/// If the bus does not take the subscriptions.
pub async fn queries(
    responder: &Connection,
    views: &[&str],
    service: Arc<dyn QueryService>,
    bounds: &Requests,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    let rows = QUERIES.iter().map(|spec| ServedRow { kind: "qry", noun: spec.view, verb: spec.verb, help: spec.help });
    start(responder, views, rows.collect(), Arc::new(Queries(service)), bounds, shutdown).await
}

/// What both tables say of one endpoint.
struct ServedRow {
    kind: &'static str,
    noun: &'static str,
    verb: &'static str,
    help: &'static str,
}

/// Commands and queries differ in how they are answered.
#[async_trait]
trait Responds: Send + Sync + 'static {
    async fn respond(&self, request: Request) -> Result<ServiceAnswer, Failure>;

    /// Hears of a request that was refused before it came that far.
    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str);
}

struct Commands(Arc<dyn CommandService>);

#[async_trait]
impl Responds for Commands {
    async fn respond(&self, request: Request) -> Result<ServiceAnswer, Failure> {
        let format = request.format;
        self.0.handle(request).await.map(|reply| ServiceAnswer::reply(&reply, format))
    }

    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str) {
        self.0.refused(tenant, principal, kind, why);
    }
}

struct Queries(Arc<dyn QueryService>);

#[async_trait]
impl Responds for Queries {
    async fn respond(&self, request: Request) -> Result<ServiceAnswer, Failure> {
        let format = request.format;
        Ok(match self.0.answer(request).await? {
            Ok(body) => ServiceAnswer::good(body, format),
            Err(rejection) => ServiceAnswer::rejected(rejection, format),
        })
    }

    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str) {
        self.0.refused(tenant, principal, kind, why);
    }
}

async fn start(
    connection: &Connection,
    nouns: &[&str],
    rows: Vec<ServedRow>,
    responds: Arc<dyn Responds>,
    bounds: &Requests,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    if let Some(unknown) = nouns.iter().find(|noun| !rows.iter().any(|row| row.noun == **noun)) {
        return Err(format!("{unknown:?} is in no table of commands or queries").into());
    }
    let mut serving = Vec::new();
    for noun in nouns {
        let own: Vec<&ServedRow> = rows.iter().filter(|row| row.noun == *noun).collect();
        serving.push(listen(connection, noun, &own).await?);
    }
    connection.flush().await?;
    let (client, bounds) = (connection.clone(), bounds.clone());
    Ok(tokio::spawn(async move {
        let each = serving.into_iter().map(|(service, endpoints)| {
            let work = Work::new(client.clone(), Arc::clone(&responds), bounds.clone());
            serve(work, service, endpoints, shutdown.clone())
        });
        join_all(each).await;
        if let Err(error) = client.flush().await {
            tracing::warn!(error, "the last answers may not have left");
        }
    }))
}

async fn listen(
    connection: &Connection,
    noun: &str,
    rows: &[&ServedRow],
) -> Result<(Service, Vec<Endpoint>), BoxError> {
    let verbs: Vec<&str> = rows.iter().map(|row| row.verb).collect();
    let kind = if rows.iter().any(|row| row.kind == "cmd") { "commands" } else { "queries" };
    let service = connection
        .client
        .service_builder()
        .description(format!("Steward's {kind} about {noun}: {}", verbs.join(", ")))
        .start(noun, env!("CARGO_PKG_VERSION"))
        .await?;
    let mut endpoints = Vec::new();
    for row in rows {
        let subject = format!("{}.*.*.{}.{}", row.kind, row.noun, row.verb);
        let help = HashMap::from([("help".to_owned(), row.help.to_owned())]);
        endpoints.push(service.endpoint_builder().name(row.verb).metadata(help).add(subject).await?);
    }
    Ok((service, endpoints))
}

/// One service: all its endpoints, until the shutdown and then until what was begun is answered.
async fn serve(mut work: Work, service: Service, endpoints: Vec<Endpoint>, shutdown: CancellationToken) {
    let mut requests = futures::stream::select_all(endpoints);
    loop {
        work.begin();
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = work.ended() => {}
            request = requests.next() => match request {
                Some(request) => work.take(request).await,
                None => break,
            },
        }
    }
    for endpoint in &mut requests {
        if let Err(error) = endpoint.stop().await {
            tracing::debug!(%error, "the endpoint was closed already");
        }
    }
    let finished = async {
        // What had arrived by then is answered too.
        while let Some(request) = requests.next().await {
            work.take(request).await;
        }
        loop {
            work.begin();
            if work.begun.is_empty() {
                break;
            }
            work.ended().await;
        }
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, finished).await.is_err() {
        let name = service.info().await.name;
        tracing::warn!(service = name, "requests were left unanswered at the shutdown");
    }
    if let Err(error) = service.stop().await {
        tracing::debug!(%error, "the service was stopped already");
    }
}

/// A request whose sender is known.
struct Arrived {
    request: async_nats::service::Request,
    sender: Sender,
}

/// Requests that wait or are being worked on.
struct Work {
    connection: Connection,
    responds: Arc<dyn Responds>,
    ids: Arc<RandomIds>,
    body_bytes_max: usize,
    waiting: Queue<Arrived>,
    begun: JoinSet<()>,
    /// Where places come back, also those of requests that broke.
    ended: (mpsc::UnboundedSender<Place>, mpsc::UnboundedReceiver<Place>),
    misbehaved: OnceASecond,
}

/// Gives its place back when it is dropped.
struct Held {
    place: Place,
    to: mpsc::UnboundedSender<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody takes it back after the end.
        let _ = self.to.send(self.place.clone());
    }
}

impl Work {
    fn new(connection: Connection, responds: Arc<dyn Responds>, bounds: Requests) -> Self {
        Self {
            connection,
            responds,
            ids: Arc::default(),
            body_bytes_max: bounds.body_bytes_max,
            waiting: Queue::new(bounds),
            begun: JoinSet::new(),
            ended: mpsc::unbounded_channel(),
            misbehaved: OnceASecond::default(),
        }
    }

    /// Lets a request wait for its turn, or refuses it. Never waits for others to end, so nothing gathers before it.
    async fn take(&mut self, request: async_nats::service::Request) {
        let Some(sender) = self.sender(&request) else { return };
        let bytes = request.message.payload.len();
        let Sender { tenant, principal, .. } = sender.clone();
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
    fn begin(&mut self) {
        while self.begun.try_join_next().is_some() {}
        while let Some((place, Arrived { request, sender })) = self.waiting.next() {
            let held = Held { place, to: self.ended.0.clone() };
            let (responds, connection) = (Arc::clone(&self.responds), self.connection.clone());
            let ids = Arc::clone(&self.ids);
            self.begun.spawn(async move {
                handle(&connection, request, sender, &*responds, &ids).await;
                drop(held);
            });
        }
    }

    /// Waits until a request has ended.
    async fn ended(&mut self) {
        if let Some(place) = self.ended.1.recv().await {
            self.waiting.end(&place);
        }
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

/// The span of one request: a child of the sender's, wherever that is.
fn span(request: &Request) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {}.{}", request.noun, request.verb),
        otel.kind = "server",
        messaging.system = "nats",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = format!("{}.{}", request.noun, request.verb),
        tenant.id = %request.tenant,
        request.id = %request.envelope.correlation,
    );
    trace::follow(&span, request.envelope.traceparent.as_deref());
    span
}

/// The bytes of one part of an answer.
const PART_BYTES_MAX: usize = crate::MESSAGE_BYTES_MAX / 2;

/// `body` in pieces that fit into messages; one, maybe empty, at least.
fn parts(body: &Bytes) -> Vec<Bytes> {
    let ends = (0..body.len().max(1)).step_by(PART_BYTES_MAX);
    ends.map(|from| body.slice(from..body.len().min(from + PART_BYTES_MAX))).collect()
}
