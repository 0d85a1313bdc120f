//! What `nats micro ls | info | stats` see: one service a noun and a view, with its endpoints, counting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use steward_events::command::{COMMANDS, nouns};
use steward_events::id::SystemPart;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_jetstream::{Role, serve};
use steward_ports::bus::{CommandService, Failure, QueryService};
use steward_queries::QUERIES;
use support::Bus;
use tokio_util::sync::CancellationToken;

/// Refuses everything.
struct No;

#[async_trait]
impl CommandService for No {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        Ok(Reply::refused(Rejection::UnknownTenant { tenant: request.tenant }, Position(0)))
    }
}

#[async_trait]
impl QueryService for No {
    async fn answer(&self, _: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        Err(Failure("no views here".to_owned()))
    }
}

/// All answers to one request of discovery.
async fn discover(admin: &async_nats::Client, subject: &str, count: usize) -> Vec<Value> {
    let inbox = admin.new_inbox();
    let mut answers = admin.subscribe(inbox.clone()).await.unwrap();
    admin.publish_with_reply(subject.to_owned(), inbox, Bytes::new()).await.unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let answer = tokio::time::timeout(Duration::from_secs(5), answers.next()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{subject}: {} of {count} answered", found.len())).unwrap();
        found.push(serde_json::from_slice(&answer.payload).unwrap());
    }
    let more = tokio::time::timeout(Duration::from_millis(200), answers.next()).await;
    assert!(more.is_err(), "{subject}: more than {count} answered");
    found
}

fn names(answers: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = answers.iter().map(|answer| answer["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Requests counted by endpoint subject.
async fn counted(admin: &async_nats::Client, count: usize) -> BTreeMap<String, (u64, u64)> {
    let mut requests = BTreeMap::new();
    for stats in discover(admin, "$SRV.STATS", count).await {
        assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
        for endpoint in stats["endpoints"].as_array().unwrap() {
            let number = |name: &str| endpoint[name].as_u64().unwrap();
            let subject = endpoint["subject"].as_str().unwrap().to_owned();
            assert!(requests.insert(subject, (number("num_requests"), number("num_errors"))).is_none());
        }
    }
    requests
}

#[tokio::test]
async fn discovery_finds_every_noun_and_view_with_its_counts() {
    let bus = Bus::start().await;
    let shutdown = CancellationToken::new();
    let views: BTreeSet<&str> = QUERIES.iter().map(|spec| spec.view).collect();
    let views: Vec<&str> = views.into_iter().collect();
    let (commands, queries) =
        (bus.connect(Role::AggregatesResponder).await, bus.connect(Role::ProjectorsResponder).await);
    let commands = serve::commands(&commands, &nouns(), Arc::new(No), &serve::Requests::default(), shutdown.clone())
        .await
        .unwrap();
    let queries =
        serve::queries(&queries, &views, Arc::new(No), &serve::Requests::default(), shutdown.clone()).await.unwrap();
    let mut expected: Vec<&str> = nouns().into_iter().chain(views).collect();
    expected.sort_unstable();

    let admin = bus.connect_plainly(Role::Admin).await;
    let pinged = discover(&admin, "$SRV.PING", expected.len()).await;
    assert_eq!(names(&pinged), expected);
    let informed = discover(&admin, "$SRV.INFO", expected.len()).await;
    let mut subjects = BTreeSet::new();
    for info in &informed {
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        assert!(info["description"].as_str().unwrap().contains(info["name"].as_str().unwrap()));
        for endpoint in info["endpoints"].as_array().unwrap() {
            assert!(!endpoint["metadata"]["help"].as_str().unwrap().is_empty());
            assert!(subjects.insert(endpoint["subject"].as_str().unwrap().to_owned()));
        }
    }
    let command_subjects = COMMANDS.iter().map(|spec| format!("cmd.*.*.{}.{}", spec.noun, spec.verb));
    let query_subjects = QUERIES.iter().map(|spec| {
        let sender = spec.only.map_or("*", SystemPart::principal);
        format!("qry.*.{sender}.{}.{}", spec.view, spec.verb)
    });
    assert_eq!(subjects, command_subjects.chain(query_subjects).collect());
    // A noun with commands and queries is two services: the deciders' and the views'.
    assert_eq!(names(&discover(&admin, "$SRV.PING.budget", 2).await), ["budget", "budget"]);
    assert_eq!(names(&discover(&admin, "$SRV.PING.cost", 1).await), ["cost"]);

    let before = counted(&admin, expected.len()).await;
    assert!(before.values().all(|counts| *counts == (0, 0)), "{before:?}");
    let gateway = bus.connect_plainly(Role::Gateway).await;
    for _ in 0..3 {
        gateway.request("cmd.acme.p_1.budget.set", "{}".into()).await.unwrap();
    }
    gateway.request("qry.acme.p_1.cost.report", "{}".into()).await.unwrap();
    // What is for the gateway itself is heard from nobody else, not even through the gateway.
    for sender in ["p_1", "key_1", "op_key_1", "sys_worker"] {
        let asked = gateway.request(format!("qry.acme.{sender}.secret.open"), "{}".into()).await;
        assert_eq!(asked.unwrap_err().kind(), RequestErrorKind::NoResponders, "{sender}");
    }
    let after = counted(&admin, expected.len()).await;
    assert_eq!(after["cmd.*.*.budget.set"].0, 3);
    assert_eq!(after["qry.*.*.cost.report"], (1, 1), "a failure of the machinery is an error");
    assert_eq!(after.values().map(|counts| counts.0).sum::<u64>(), 4);

    shutdown.cancel();
    commands.await.unwrap();
    queries.await.unwrap();
    // The last subscriptions are given up a moment after the services have ended.
    let nobody = async {
        loop {
            let asked = admin.request("$SRV.PING", Bytes::new());
            match tokio::time::timeout(Duration::from_millis(100), asked).await {
                Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), nobody).await.expect("nothing is found any more");
    bus.stop().await;
}
