//! The same on a real nats-server: two handlers, each with a connection of its own.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use steward_events::event::AggregateKind;
use steward_jetstream::server::{Options, Server};
use steward_jetstream::{Connection, JetStreamLog, Role, provision};
use steward_ports::bus::CommandService;
use steward_ports::clock::{Clock, SystemClock};
use steward_ports::log::EventLog;

use crate::support::{HandlerEnv, SHARDS, TIME_MAX, accepted};

const COMMANDS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handlers_on_a_real_server_decide_each_command_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    let admin = Connection::connect(&server.credentials(Role::Admin)).await.unwrap();
    provision::provision(&admin, SHARDS, provision::Options::default()).await.unwrap();
    let credentials = server.credentials(Role::Aggregates);
    let log = async || {
        let connection = Connection::connect(&credentials).await.unwrap();
        Arc::new(JetStreamLog::over(&connection, SHARDS)) as Arc<dyn EventLog>
    };
    let logs = [log().await, log().await];
    // On its own task, so that the server ends also when an assertion fails.
    let outcome = tokio::spawn(race(logs)).await;
    server.stop().await.unwrap();
    outcome.unwrap();
}

async fn race([first, second]: [Arc<dyn EventLog>; 2]) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut env = HandlerEnv::on(first, clock).await;
    let again = env.start("operator-secret").await;
    assert!(!again.first && again.key.is_some());
    let one = env.handler();
    env.log = second;
    let handlers = [one, env.handler()];
    for handler in &handlers {
        handler.caught_up(TIME_MAX).await.unwrap();
    }
    let began = Instant::now();
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..COMMANDS {
        let request = env.account(&format!("bot-{number}"));
        for handler in &handlers {
            let (handler, request) = (Arc::clone(handler), request.clone());
            sent.spawn(async move { accepted(handler.handle(request).await) });
        }
    }
    while let Some(reply) = sent.join_next().await {
        assert_eq!(reply.unwrap().events, ["identity.account_created"]);
    }
    let taken = began.elapsed();
    assert_eq!(env.events(AggregateKind::Identity, "main").await.len(), COMMANDS);
    println!("nats: {COMMANDS} commands, each sent to two rivals, in {taken:?}");

    let began = Instant::now();
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..COMMANDS {
        let (handler, request) = (Arc::clone(&handlers[0]), env.account(&format!("alone-{number}")));
        sent.spawn(async move { accepted(handler.handle(request).await) });
    }
    while let Some(reply) = sent.join_next().await {
        assert_eq!(reply.unwrap().events.len(), 1);
    }
    let commits = env.commits(AggregateKind::Identity, "main").await.len();
    println!("nats: {COMMANDS} commands to one handler in {:?}; {commits} commits in all", began.elapsed());

    let bot = accepted(handlers[0].handle(env.account("bot-1")).await);
    assert!(bot.events.is_empty(), "it is there already, and the leader confirmed it");
    let give = json!({"to": bot.answer["principal"], "role": "billing", "on": "acme"});
    accepted(handlers[0].handle(env.op("grant", "give", &give)).await);
    let budget = json!({"scope": "acme", "limit": "$1.00"});
    let who = bot.answer["principal"].as_str().unwrap();
    accepted(handlers[1].handle(env.command("acme", who, "budget", "set", &budget)).await);
}
