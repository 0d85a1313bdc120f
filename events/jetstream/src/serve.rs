//! The server's side: one NATS service a noun or view, found by discovery, balanced by queue group.
//!
//! Whoever answers to a reply subject that the caller chose can be made to write elsewhere. So the reply must be an inbox
//! of the caller, by its subject; and the connection that answers may publish to inboxes only, which the server sees to.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Service, ServiceExt};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use steward_events::BoxError;
use steward_events::command::COMMANDS;
use steward_events::event::DenialKind;
use steward_events::id::{PrincipalId, SystemPart, TenantId};
use steward_events::request::Request;
use steward_ports::bus::{CommandService, Failure, QueryService};
use steward_queries::QUERIES;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use answer::ServiceAnswer;
use work::Work;

mod answer;
mod queue;
mod work;

pub use answer::status;
pub use queue::Requests;

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
    let rows = COMMANDS.iter().map(|spec| ServedRow {
        kind: "cmd",
        sender: ANYBODY,
        noun: spec.noun,
        verb: spec.verb,
        help: spec.help,
    });
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
    let rows = QUERIES.iter().map(|spec| ServedRow {
        kind: "qry",
        // What one part of Steward may ask is heard from nobody else: nobody else may write that subject.
        sender: spec.only.map_or(ANYBODY, SystemPart::principal),
        noun: spec.view,
        verb: spec.verb,
        help: spec.help,
    });
    start(responder, views, rows.collect(), Arc::new(Queries(service)), bounds, shutdown).await
}

/// In the place of a sender in the subject of an endpoint.
const ANYBODY: &str = "*";

/// What both tables say of one endpoint.
struct ServedRow {
    kind: &'static str,
    /// Who is heard.
    sender: &'static str,
    noun: &'static str,
    verb: &'static str,
    help: &'static str,
}

/// Commands and queries differ in how they are answered.
#[async_trait]
trait Responds: Send + Sync + 'static {
    async fn respond(&self, request: Request) -> Result<ServiceAnswer, Failure>;

    /// True if an answer takes moments of the processor. Then what arrives together is worked on in the one task that
    /// listens, without a wake of another, and what follows from it leaves together: a message by itself costs its
    /// sender, the server and its receiver a system call each. What takes long gets tasks of its own.
    fn is_brief(&self) -> bool;

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

    fn is_brief(&self) -> bool {
        true
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

    fn is_brief(&self) -> bool {
        false
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
        let subject = format!("{}.*.{}.{}.{}", row.kind, row.sender, row.noun, row.verb);
        let help = HashMap::from([("help".to_owned(), row.help.to_owned())]);
        endpoints.push(service.endpoint_builder().name(row.verb).metadata(help).add(subject).await?);
    }
    Ok((service, endpoints))
}

/// One service: all its endpoints, until the shutdown and then until what was begun is answered.
async fn serve(mut work: Work, service: Service, endpoints: Vec<Endpoint>, shutdown: CancellationToken) {
    let mut requests = futures::stream::select_all(endpoints);
    let mut ending = pin!(shutdown.cancelled());
    loop {
        work.begin();
        tokio::select! {
            () = &mut ending => break,
            Some(()) = work.ended() => {}
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
            if work.ended().await.is_none() {
                break;
            }
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

/// The bytes of one part of an answer.
const PART_BYTES_MAX: usize = crate::MESSAGE_BYTES_MAX / 2;

/// `body` in pieces that fit into messages; one, maybe empty, at least.
fn parts(body: &Bytes) -> Vec<Bytes> {
    let ends = (0..body.len().max(1)).step_by(PART_BYTES_MAX);
    ends.map(|from| body.slice(from..body.len().min(from + PART_BYTES_MAX))).collect()
}
