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
use steward_events::query::QUERIES;
use steward_events::request::Request;
use steward_ports::bus::{CommandService, Failure, QueryService};
use steward_ports::clock::{RandomIds, SystemClock};
use steward_ports::trace;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::connection::Connection;
use crate::envelope;
use answer::ServiceAnswer;

mod answer;

pub use answer::status;

/// Requests of one noun or view that are worked on at once; the others wait in the subscription.
pub const IN_FLIGHT_MAX: usize = 1_024;

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
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    let rows = COMMANDS.iter().map(|spec| ServedRow { kind: "cmd", noun: spec.noun, verb: spec.verb, help: spec.help });
    start(responder, nouns, rows.collect(), Arc::new(Commands(service)), shutdown).await
}

/// Serves these views' queries until `shutdown`; returns once it listens.
///
/// # Errors
/// If the bus does not take the subscriptions.
pub async fn queries(
    responder: &Connection,
    views: &[&str],
    service: Arc<dyn QueryService>,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, BoxError> {
    let rows = QUERIES.iter().map(|spec| ServedRow { kind: "qry", noun: spec.view, verb: spec.verb, help: spec.help });
    start(responder, views, rows.collect(), Arc::new(Queries(service)), shutdown).await
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
}

struct Commands(Arc<dyn CommandService>);

#[async_trait]
impl Responds for Commands {
    async fn respond(&self, request: Request) -> Result<ServiceAnswer, Failure> {
        let format = request.format;
        self.0.handle(request).await.map(|reply| ServiceAnswer::reply(&reply, format))
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
}

async fn start(
    connection: &Connection,
    nouns: &[&str],
    rows: Vec<ServedRow>,
    responds: Arc<dyn Responds>,
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
    let client = connection.clone();
    Ok(tokio::spawn(async move {
        let each = serving.into_iter().map(|(service, endpoints)| {
            serve(client.clone(), service, endpoints, Arc::clone(&responds), shutdown.clone())
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
async fn serve(
    connection: Connection,
    service: Service,
    endpoints: Vec<Endpoint>,
    responds: Arc<dyn Responds>,
    shutdown: CancellationToken,
) {
    let mut work = Work {
        connection,
        responds,
        ids: Arc::new(RandomIds::default()),
        permits: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
        begun: JoinSet::new(),
    };
    let mut requests = futures::stream::select_all(endpoints);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            request = requests.next() => match request {
                Some(request) => work.begin(request).await,
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
            work.begin(request).await;
        }
        while work.begun.join_next().await.is_some() {}
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, finished).await.is_err() {
        let name = service.info().await.name;
        tracing::warn!(service = name, "requests were left unanswered at the shutdown");
    }
    if let Err(error) = service.stop().await {
        tracing::debug!(%error, "the service was stopped already");
    }
}

/// Requests that are being worked on.
struct Work {
    connection: Connection,
    responds: Arc<dyn Responds>,
    ids: Arc<RandomIds>,
    permits: Arc<Semaphore>,
    begun: JoinSet<()>,
}

impl Work {
    /// Begins one as soon as there is room.
    async fn begin(&mut self, request: async_nats::service::Request) {
        while self.begun.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
        let (responds, connection, ids) = (Arc::clone(&self.responds), self.connection.clone(), Arc::clone(&self.ids));
        self.begun.spawn(async move {
            handle(&connection, request, &*responds, &ids).await;
            drop(permit);
        });
    }
}

async fn handle(
    connection: &Connection,
    request: async_nats::service::Request,
    responds: &dyn Responds,
    ids: &RandomIds,
) {
    let message = &request.message;
    let subject = message.subject.as_str();
    let Some(reply) = message.reply.as_ref().map(Subject::as_str) else {
        tracing::debug!(subject, "a request that wants no answer is not decided: send it as a request");
        return;
    };
    let sender = match envelope::read_subject(subject) {
        Ok(sender) => sender,
        // Who sends is not known, so no inbox is known to be theirs.
        Err(malformed) => {
            tracing::debug!(subject, reason = malformed.reason, "a subject that cannot be read");
            return;
        }
    };
    if !answer::is_inbox_of(reply, &sender.tenant, &sender.principal) {
        tracing::warn!(tenant.id = %sender.tenant, principal.id = %sender.principal, reply, "a reply subject that is not the sender's");
        return;
    }
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
