//! Placed tenants are opened, once, whatever happens to the worker.

use std::time::Duration;

use steward_events::event::{Event, TenantEvent};

use crate::gateway::{Do, Gateway};
use crate::world::{World, eventually};

async fn opened(world: &World, tenant: &str) -> usize {
    let events = world.events(tenant).await;
    events.iter().filter(|event| matches!(event, Event::Tenant(TenantEvent::Created { .. }))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placed_tenant_is_opened_also_after_a_restart_and_only_once() {
    let world = World::new(Gateway::start(|_| Do::Hang).await).await;
    // Placed while nobody looks.
    world.place("acme").await;
    let first = world.start();
    eventually("acme opens", async || opened(&world, "acme").await == 1).await;
    world.place("globex").await;
    eventually("globex opens", async || opened(&world, "globex").await == 1).await;
    first.stop().await;
    let before = world.desk.asked("tenant.open").await.len();

    world.place("initech").await;
    let second = world.start();
    eventually("initech opens", async || opened(&world, "initech").await == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        world.desk.asked("tenant.open").await.len(),
        before + 1,
        "a restart opens what is missing and nothing else"
    );
    for tenant in ["acme", "globex", "initech"] {
        assert_eq!(opened(&world, tenant).await, 1);
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_open_a_tenant_once() {
    let world = World::new(Gateway::start(|_| Do::Hang).await).await;
    let both = (world.start(), world.start());
    for number in 0..20 {
        world.place(&format!("tenant{number}")).await;
    }
    for number in 0..20 {
        eventually("it opens", async || opened(&world, &format!("tenant{number}")).await == 1).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..20 {
        assert_eq!(opened(&world, &format!("tenant{number}")).await, 1);
    }
    drop(both);
}
