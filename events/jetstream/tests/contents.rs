//! Contents on a real server keep the contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::sync::Arc;

use steward_jetstream::{JetStreamContents, Role};
use steward_ports::testing::content_contract;
use support::Bus;

#[tokio::test]
async fn contents_on_jetstream_keep_the_contract() {
    let bus = Bus::start().await;
    let gateway = bus.connect(Role::Gateway).await;
    content_contract(Arc::new(JetStreamContents::over(&gateway))).await;
    bus.stop().await;
}
