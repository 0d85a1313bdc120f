//! The contract of every log, against a real server: one node, one node that syncs every append, and three.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::sync::Arc;
use std::time::Duration;

use steward_jetstream::Durability;
use steward_jetstream::server::Options;
use steward_jetstream::{JetStreamLog, Role};
use steward_ports::testing::log_contract;
use support::{Bus, ThreeNodes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_the_contract() {
    let bus = Bus::start().await;
    log_contract(bus.log(Role::Aggregates).await).await;
    bus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_paced_followers_keeps_the_contract() {
    let bus = Bus::start().await;
    let log = JetStreamLog::connect(&bus.server().credentials(Role::Aggregates), support::SHARDS).await.unwrap();
    log_contract(Arc::new(log.paced(Duration::from_millis(10)))).await;
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
    log_contract(Arc::new(cluster.log(Role::Aggregates).await)).await;
    cluster.stop().await;
}
