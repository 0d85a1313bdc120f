//! Commands and queries over a real server: one service a noun, answers in kind, refusals and failures told apart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use steward_events::ids::Ids;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_jetstream::{JetStreamBus, Role, serve};
use steward_ports::bus::{BusError, CommandBus, CommandService, Failure, QueryService};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use support::Bus;
use tokio_util::sync::CancellationToken;

/// Answers with what it was asked; the verb says how.
struct Echo;

#[async_trait]
impl CommandService for Echo {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        match request.verb.as_str() {
            "set" => Ok(Reply {
                accepted: true,
                events: vec!["ledger.budget_set".to_owned()],
                position: Position(7),
                answer: serde_json::json!({
                    "by": request.principal, "of": request.tenant, "for": request.envelope.on_behalf_of,
                    "body": String::from_utf8_lossy(&request.body),
                }),
                rejection: None,
                message: None,
            }),
            "remove" => Ok(Reply::refused(Rejection::not_found("budget", &"acme"), Position(3))),
            _ => Err(Failure("the log is\nunavailable".to_owned())),
        }
    }
}

#[async_trait]
impl QueryService for Echo {
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        Ok(match request.verb.as_str() {
            "report" => Ok(Bytes::from(vec![b'x'; 3 * 1024 * 1024])),
            _ => Err(Rejection::UnknownTenant { tenant: request.tenant }),
        })
    }
}

fn request(principal: &str, noun: &str, verb: &str) -> Request {
    let ids = RandomIds::default();
    Request {
        tenant: "acme".parse().unwrap(),
        principal: principal.parse().unwrap(),
        noun: noun.to_owned(),
        verb: verb.to_owned(),
        envelope: Envelope {
            command: ids.unique().parse().unwrap(),
            issued_at: SystemClock::default().now(),
            on_behalf_of: None,
            causation: None,
            correlation: ids.unique().parse().unwrap(),
            traceparent: None,
        },
        format: Format::Json,
        body: Bytes::from_static(b"{}"),
    }
}

async fn serving(bus: &Bus, shutdown: &CancellationToken) -> Vec<tokio::task::JoinHandle<()>> {
    let commands = bus.connect(Role::AggregatesResponder).await;
    let queries = bus.connect(Role::ProjectorsResponder).await;
    vec![
        serve::commands(&commands, &["budget", "lease"], Arc::new(Echo), &serve::Requests::default(), shutdown.clone())
            .await
            .unwrap(),
        serve::queries(&queries, &["cost", "task"], Arc::new(Echo), &serve::Requests::default(), shutdown.clone())
            .await
            .unwrap(),
    ]
}

#[tokio::test]
async fn commands_and_queries_are_answered_in_kind() {
    let bus = Bus::start().await;
    let shutdown = CancellationToken::new();
    let serving = serving(&bus, &shutdown).await;
    let gateway = JetStreamBus::over(&bus.connect(Role::Gateway).await);

    for format in [Format::Json, Format::MessagePack] {
        let reply = gateway.command(Request { format, ..request("p_1", "budget", "set") }).await.unwrap();
        assert!(reply.accepted);
        assert_eq!((reply.position, reply.answer["by"].as_str()), (Position(7), Some("p_1")));
        let refused = gateway.command(Request { format, ..request("p_1", "budget", "remove") }).await.unwrap();
        assert_eq!(refused.rejection, Some(Rejection::not_found("budget", &"acme")));
    }
    let failed = gateway.command(request("sys_gateway", "lease", "grant")).await.unwrap_err();
    assert_eq!(failed.to_string(), "cmd.acme.sys_gateway.lease.grant failed: 503 the log is unavailable");

    let report = gateway.query(request("p_1", "cost", "report")).await.unwrap().unwrap();
    assert_eq!(report.len(), 3 * 1024 * 1024);
    let refused = gateway.query(request("p_1", "task", "list")).await.unwrap().unwrap_err();
    assert_eq!(refused, Rejection::UnknownTenant { tenant: "acme".parse().unwrap() });

    let nobody = gateway.command(request("p_1", "agent", "define")).await.unwrap_err();
    assert!(matches!(nobody, BusError::NobodyListens { .. }), "{nobody}");

    shutdown.cancel();
    for task in serving {
        task.await.unwrap();
    }
    let nobody = gateway.command(request("p_1", "budget", "set")).await.unwrap_err();
    assert!(matches!(nobody, BusError::NobodyListens { .. }), "{nobody}");
    bus.stop().await;
}

#[tokio::test]
async fn many_at_once_are_answered_each_its_own() {
    let bus = Bus::start().await;
    let shutdown = CancellationToken::new();
    let _serving = serving(&bus, &shutdown).await;
    let gateway = JetStreamBus::over(&bus.connect(Role::Gateway).await);
    let asked = (0..500).map(|number| {
        let gateway = gateway.clone();
        async move {
            let body = Bytes::from(format!("{{\"n\":{number}}}"));
            let reply =
                gateway.command(Request { body: body.clone(), ..request("p_1", "budget", "set") }).await.unwrap();
            assert_eq!(reply.answer["body"].as_str().unwrap().as_bytes(), body);
        }
    });
    join_all(asked).await;
    bus.stop().await;
}

/// What any NATS client sees, without a line of Steward's.
#[tokio::test]
async fn a_plain_client_discovers_services_and_reads_refusal_headers() {
    let bus = Bus::start().await;
    let shutdown = CancellationToken::new();
    let _serving = serving(&bus, &shutdown).await;
    let admin = bus.connect_plainly(Role::Admin).await;
    let inbox = admin.new_inbox();
    let mut answers = admin.subscribe(inbox.clone()).await.unwrap();
    admin.publish_with_reply("$SRV.INFO", inbox, Bytes::new()).await.unwrap();
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        let answer = tokio::time::timeout(Duration::from_secs(5), answers.next()).await.unwrap().unwrap();
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        for endpoint in info["endpoints"].as_array().unwrap() {
            found.insert(format!("{} {}", info["name"].as_str().unwrap(), endpoint["subject"].as_str().unwrap()));
        }
    }
    assert!(found.contains("budget cmd.*.*.budget.set"), "{found:?}");
    assert!(found.contains("cost qry.*.*.cost.report"), "{found:?}");

    let gateway = bus.connect_plainly(Role::Gateway).await;
    let refused = gateway.request("cmd.acme.p_1.budget.remove", "{}".into()).await.unwrap();
    let headers = refused.headers.unwrap();
    assert_eq!(headers.get("Nats-Service-Error-Code").unwrap().as_str(), "404");
    assert_eq!(headers.get("Nats-Service-Error").unwrap().as_str(), "there is no budget acme");
    let reply: Reply = serde_json::from_slice(&refused.payload).unwrap();
    assert!(reply.rejection.is_some());

    let mut wrong = HeaderMap::new();
    wrong.insert("steward-issued-at", "yesterday");
    let refused = gateway.request_with_headers("cmd.acme.p_1.budget.set", wrong, "{}".into()).await.unwrap();
    assert_eq!(refused.headers.unwrap().get("Nats-Service-Error-Code").unwrap().as_str(), "400");
    assert!(String::from_utf8_lossy(&refused.payload).contains("steward-issued-at"));
    bus.stop().await;
}
