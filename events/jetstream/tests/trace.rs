//! A trace goes on over the bus: the sender's context travels in the header, and what is done for it joins it.
//!
//! The back end here is as small as can be: a span's context is the header that it followed. The binary's is
//! OpenTelemetry, which has tests of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::ids::Ids;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_jetstream::{JetStreamBus, Role, serve};
use steward_ports::bus::{CommandBus, CommandService, Failure, QueryService};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use steward_ports::trace::{self, Propagation};
use support::Bus;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

static FOLLOWED: Mutex<Option<HashMap<u64, String>>> = Mutex::new(None);

fn install() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
    trace::install(Propagation {
        follow: |span, header| {
            let id = span.id().expect("every span is recorded").into_u64();
            FOLLOWED.lock().unwrap().get_or_insert_default().insert(id, header.to_owned());
        },
        current: || {
            let id = Span::current().id()?.into_u64();
            FOLLOWED.lock().unwrap().as_ref()?.get(&id).cloned()
        },
        recorded: true,
    });
}

/// Tells in which trace it works.
struct Tells;

fn told(request: &Request) -> Value {
    json!({ "header": request.envelope.traceparent, "current": trace::current_traceparent(),
        "span": Span::current().metadata().map(tracing::Metadata::name),
        "correlation": request.envelope.correlation })
}

#[async_trait]
impl CommandService for Tells {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        let answer = told(&request);
        let (events, position) = (Vec::new(), Position(1));
        Ok(Reply { accepted: true, events, position, answer, rejection: None, message: None })
    }
}

#[async_trait]
impl QueryService for Tells {
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        Ok(Ok(Bytes::from(told(&request).to_string())))
    }
}

fn request(noun: &str, verb: &str, traceparent: Option<&str>) -> Request {
    let ids = RandomIds::default();
    let envelope = Envelope {
        command: ids.unique().parse().unwrap(),
        issued_at: SystemClock::default().now(),
        on_behalf_of: None,
        causation: None,
        correlation: "req_1".parse().unwrap(),
        traceparent: traceparent.map(str::to_owned),
    };
    let (tenant, principal) = ("acme".parse().unwrap(), "p_1".parse().unwrap());
    let (noun, verb, body) = (noun.to_owned(), verb.to_owned(), Bytes::from_static(b"{}"));
    Request { tenant, principal, noun, verb, envelope, format: Format::Json, body }
}

#[tokio::test]
async fn work_for_a_request_joins_its_senders_trace() {
    install();
    let bus = Bus::start().await;
    let shutdown = CancellationToken::new();
    let (commands, queries) =
        (bus.connect(Role::AggregatesResponder).await, bus.connect(Role::ProjectorsResponder).await);
    serve::commands(&commands, &["budget"], Arc::new(Tells), &serve::Requests::default(), shutdown.clone())
        .await
        .unwrap();
    serve::queries(&queries, &["cost"], Arc::new(Tells), &serve::Requests::default(), shutdown.clone()).await.unwrap();
    let sender = JetStreamBus::over(&bus.connect(Role::Gateway).await);
    let command = async |traceparent| sender.command(request("budget", "set", traceparent)).await.unwrap().answer;
    let joined =
        |header: &str| json!({ "header": header, "current": header, "span": "process", "correlation": "req_1" });

    let alone = command(None).await;
    assert_eq!((&alone["header"], &alone["current"]), (&Value::Null, &Value::Null), "nothing is made up");
    assert_eq!(command(Some(OTHER)).await, joined(OTHER), "what the request says");

    let span = tracing::info_span!("sender");
    trace::follow(&span, Some(SENDER));
    assert_eq!(command(None).instrument(span.clone()).await, joined(SENDER), "else the sender's current span");
    assert_eq!(command(Some(OTHER)).instrument(span.clone()).await, joined(OTHER));
    let asked = sender.query(request("cost", "report", None)).instrument(span).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&asked).unwrap(), joined(SENDER));

    // Any NATS client can say it, and hostile text harms nobody.
    let plain = bus.connect_plainly(Role::Gateway).await;
    for (header, expected) in [(SENDER, 200), (&*"x".repeat(10_000), 400)] {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", header);
        let answer = plain.request_with_headers("cmd.acme.p_1.budget.set", headers, "{}".into()).await.unwrap();
        let code =
            answer.headers.as_ref().and_then(|h| h.get("Nats-Service-Error-Code")).map(|c| c.as_str().to_owned());
        assert_eq!(code.unwrap_or_else(|| "200".to_owned()), expected.to_string());
    }
    bus.stop().await;
}
