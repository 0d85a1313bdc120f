//! Placed tenants are opened, once, whatever happens to the worker.

use std::time::Duration;

use steward_events::event::{Event, TenantEvent};

use crate::env::{WorkersEnv, eventually};
use crate::gateway::{Do, Gateway};

async fn opened(env: &WorkersEnv, tenant: &str) -> usize {
    let events = env.events(tenant).await;
    events.iter().filter(|event| matches!(event, Event::Tenant(TenantEvent::Created { .. }))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placed_tenant_is_opened_once_despite_restarts() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await;
    // Placed while nobody looks.
    env.place("acme").await;
    let first = env.start();
    eventually("acme opens", async || opened(&env, "acme").await == 1).await;
    env.place("globex").await;
    eventually("globex opens", async || opened(&env, "globex").await == 1).await;
    first.stop().await;
    let before = env.desk.asked("tenant.open").await.len();

    env.place("initech").await;
    let second = env.start();
    eventually("initech opens", async || opened(&env, "initech").await == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        env.desk.asked("tenant.open").await.len(),
        before + 1,
        "a restart opens what is missing and nothing else"
    );
    for tenant in ["acme", "globex", "initech"] {
        assert_eq!(opened(&env, tenant).await, 1);
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_open_a_tenant_once() {
    let env = WorkersEnv::new(Gateway::start(|_| Do::Hang).await).await;
    let both = (env.start(), env.start());
    for number in 0..20 {
        env.place(&format!("tenant{number}")).await;
    }
    for number in 0..20 {
        eventually("it opens", async || opened(&env, &format!("tenant{number}")).await == 1).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..20 {
        assert_eq!(opened(&env, &format!("tenant{number}")).await, 1);
    }
    drop(both);
}
