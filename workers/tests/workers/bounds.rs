//! How much is done at once, and for whom.

use std::time::Duration;

use steward_workers::Config;

use crate::env::{WorkersEnv, eventually};
use crate::gateway::{Do, Gateway};

#[tokio::test(flavor = "multi_thread")]
async fn parallel_tasks_are_bounded_and_tenants_take_turns() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await;
    let env = env.with_tenant("acme").await.with_tenant("globex").await.with_tenant("initech").await;
    for of in ["acme", "globex", "initech"] {
        for number in 1..=4 {
            env.submit(of, &format!("t_{of}_{number}"), None).await;
        }
    }
    let bounds = |all: u32, each: u32| Config {
        tasks_concurrent_max: all.try_into().unwrap(),
        tasks_per_tenant_max: each.try_into().unwrap(),
        claim_timeout: Duration::from_mins(1),
        ..env.config()
    };
    let process = env.start_with(bounds(5, 2), env.bus());
    eventually("five calls", async || env.gateway.open() == 5).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(env.gateway.open_most(), 5);
    let mut each = [0; 3];
    for call in env.gateway.calls() {
        let of = ["acme", "globex", "initech"].iter().position(|of| call.idempotency_key.contains(of)).unwrap();
        each[of] += 1;
        assert!(
            call.idempotency_key.contains("_1-") || call.idempotency_key.contains("_2-"),
            "first come, first served"
        );
    }
    assert_eq!(each, [2, 2, 1]);
    drop(process);
}
