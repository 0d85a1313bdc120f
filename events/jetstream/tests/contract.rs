//! The contract of every log, against a real server: one node, one node that syncs every append, and three.

mod support;

use std::net::TcpListener;
use std::sync::Arc;

use futures::future::join_all;
use steward_events::testing::log_contract;
use steward_jetstream::server::{Cluster, Durability, Options, Server};
use steward_jetstream::{Connection, JetStreamLog, Role, provision};
use support::{Bus, SHARDS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_the_contract() {
    let bus = Bus::start().await;
    log_contract(bus.log(Role::Aggregates).await).await;
    bus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_that_syncs_every_append_keeps_the_contract() {
    let bus = Bus::start_with(|options| Options { durability: Durability::Strict, ..options }).await;
    log_contract(bus.log(Role::Aggregates).await).await;
    bus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_keep_the_contract() {
    let cluster = ThreeNodes::start().await;
    let admin = Connection::connect(&cluster.servers[0].credentials(Role::Admin)).await.unwrap();
    provision::provision(&admin, SHARDS, provision::Options { replicas: 3 }).await.unwrap();
    let mut credentials = cluster.servers[0].credentials(Role::Aggregates);
    credentials.url = cluster.servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let log = JetStreamLog::connect(&credentials, SHARDS).await.unwrap();
    log_contract(Arc::new(log)).await;
    for server in cluster.servers {
        server.stop().await.unwrap();
    }
}

struct ThreeNodes {
    servers: Vec<Server>,
    _dirs: Vec<tempfile::TempDir>,
}

impl ThreeNodes {
    async fn start() -> Self {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        // All of them let the same users in.
        let secrets = dirs[0].path().join("nats/secrets.json");
        Server::start(Options::new(dirs[0].path())).await.unwrap().stop().await.unwrap();
        for dir in &dirs[1..] {
            std::fs::create_dir(dir.path().join("nats")).unwrap();
            std::fs::copy(&secrets, dir.path().join("nats/secrets.json")).unwrap();
        }
        let starting = dirs.iter().enumerate().map(|(at, dir)| {
            let cluster = Cluster { node: format!("node-{at}"), port: ports[at], ports: ports.clone() };
            Server::start(Options { cluster: Some(cluster), ..Options::new(dir.path()) })
        });
        let servers = join_all(starting).await.into_iter().map(Result::unwrap).collect();
        Self { servers, _dirs: dirs }
    }
}
