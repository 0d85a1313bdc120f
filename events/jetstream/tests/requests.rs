//! Floods of requests over a real server: each is begun in turn or refused at once, and others are answered meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use steward_events::event::DenialKind;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::ids::Ids;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_jetstream::{JetStreamBus, Role, serve};
use steward_ports::bus::{CommandBus, CommandService, Failure};
use steward_ports::clock::{Clock, RandomIds, SystemClock};
use support::Bus;
use tokio_util::sync::CancellationToken;

/// How long each request is worked on.
const WORK: Duration = Duration::from_millis(300);

/// Takes its time, and keeps what it hears of refusals.
#[derive(Default)]
struct Slow {
    refused: Mutex<Vec<(String, DenialKind)>>,
}

#[async_trait]
impl CommandService for Slow {
    async fn handle(&self, _: Request) -> Result<Reply, Failure> {
        tokio::time::sleep(WORK).await;
        let answer = serde_json::Value::Null;
        Ok(Reply { accepted: true, events: vec![], position: Position(1), answer, rejection: None, message: None })
    }

    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, _: &str) {
        self.refused.lock().unwrap().push((format!("{tenant}/{principal}"), kind));
    }
}

fn request(tenant: &str, principal: &str, bytes: usize) -> Request {
    let ids = RandomIds::default();
    Request {
        tenant: tenant.parse().unwrap(),
        principal: principal.parse().unwrap(),
        noun: "budget".to_owned(),
        verb: "set".to_owned(),
        envelope: Envelope {
            command: ids.unique().parse().unwrap(),
            issued_at: SystemClock::default().now(),
            on_behalf_of: None,
            causation: None,
            correlation: ids.unique().parse().unwrap(),
            traceparent: None,
        },
        format: Format::Json,
        body: Bytes::from(vec![b' '; bytes]),
    }
}

fn bounds() -> serve::Requests {
    serve::Requests {
        body_bytes_max: 1_000,
        begun_max: 16,
        begun_per_tenant_max: 4,
        begun_per_principal_max: 4,
        waiting_max: 64,
        waiting_per_tenant_max: 16,
        waiting_per_principal_max: 8,
        waiting_bytes_max: 64_000,
    }
}

#[tokio::test]
async fn a_flood_is_refused_at_once_and_others_are_answered() {
    let bus = Bus::start().await;
    let (shutdown, slow) = (CancellationToken::new(), Arc::new(Slow::default()));
    let responder = bus.connect(Role::AggregatesResponder).await;
    serve::commands(&responder, &["budget"], Arc::clone(&slow) as _, &bounds(), shutdown.clone()).await.unwrap();
    let gateway = JetStreamBus::over(&bus.connect(Role::Gateway).await);
    let flood = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let send = |number: usize| {
                let (gateway, request) = (gateway.clone(), request("acme", &format!("p_{}", number % 3), 2));
                async move { gateway.command(request).await.unwrap().rejection }
            };
            join_all((0..100).map(send)).await
        })
    };
    tokio::time::sleep(WORK / 3).await;
    let began = Instant::now();
    assert!(gateway.command(request("globex", "p_0", 2)).await.unwrap().accepted);
    assert!(began.elapsed() < WORK * 2, "it waited behind another tenant: {:?}", began.elapsed());
    let answers = flood.await.unwrap();
    let busy = |rejection: &&Option<Rejection>| matches!(rejection, Some(Rejection::Busy { .. }));
    let refused = answers.iter().filter(busy).count();
    // Four begun and sixteen waiting; a place may have come free while they arrived.
    assert!((60..=80).contains(&refused), "{refused} of 100");
    let heard = slow.refused.lock().unwrap().clone();
    assert_eq!(heard.len(), refused);
    assert!(heard.iter().all(|(who, kind)| who.starts_with("acme/") && *kind == DenialKind::TooMuch));
    shutdown.cancel();
    bus.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_wants_its_answer_elsewhere_is_not_begun() {
    let bus = Bus::start().await;
    let (shutdown, slow) = (CancellationToken::new(), Arc::new(Slow::default()));
    let responder = bus.connect(Role::AggregatesResponder).await;
    serve::commands(&responder, &["budget"], Arc::clone(&slow) as _, &bounds(), shutdown.clone()).await.unwrap();
    let gateway = JetStreamBus::over(&bus.connect(Role::Gateway).await);
    let began = Instant::now();
    let refused = gateway.command(request("acme", "p_1", 1_001)).await.unwrap().rejection;
    assert!(matches!(&refused, Some(Rejection::Invalid { field, .. }) if field == "body"), "{refused:?}");
    assert!(began.elapsed() < WORK, "it waited for its turn");
    let plain = bus.connect_plainly(Role::Gateway).await;
    for _ in 0..3 {
        let reply = "evt.00.acme.ledger.main";
        plain.publish_with_reply("cmd.acme.p_1.budget.set", reply, "{}".into()).await.unwrap();
    }
    plain.flush().await.unwrap();
    let of = |kind: DenialKind| slow.refused.lock().unwrap().iter().filter(|(_, found)| *found == kind).count();
    for _ in 0..250 {
        if of(DenialKind::Violation) == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((of(DenialKind::Violation), of(DenialKind::TooMuch)), (3, 1));
    shutdown.cancel();
    bus.stop().await;
}
