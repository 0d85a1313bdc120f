use steward_events::sealed::DataKey;
use steward_ports::contents::{ContentStore, MemoryContents};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// A clock that is set by hand.
#[derive(Default)]
struct TestClock(Mutex<Duration>);

impl TestClock {
    fn goes_on(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(0).plus(self.monotonic())
    }
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// What gateways share.
struct World {
    clock: Arc<TestClock>,
    store: Arc<dyn ContentStore>,
    key: DataKey,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        Self { store: Arc::new(MemoryContents::new(Arc::clone(&clock) as _)), clock, key: DataKey::from_bytes([7; 32]) }
    }

    /// One gateway, which lets a tenant keep so many bytes.
    fn gateway(&self, bytes_max: u64) -> TenantContents {
        let tally = Arc::new(Tally::new(Arc::clone(&self.clock) as _, bytes_max));
        TenantContents::with("acme".parse().unwrap(), Arc::clone(&self.store), self.key.clone(), tally)
    }
}

async fn keep(contents: &TenantContents, id: &str, bytes: usize, kept_for: Duration) {
    contents.put_parts(("answer", id), &vec![7; bytes], kept_for).await.unwrap();
}

async fn kept(contents: &TenantContents) -> Option<u64> {
    match contents.check_room().await {
        Ok(()) => None,
        Err(Error::KeepsTooMuch { kept, .. }) => Some(kept),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn who_keeps_too_much_keeps_no_more_until_it_ends() {
    let world = World::new();
    let contents = world.gateway(2_000);
    keep(&contents, "a", 1_000, HOUR).await;
    assert_eq!(kept(&contents).await, None);
    keep(&contents, "b", 1_000, HOUR * 5).await;
    assert_eq!(kept(&contents).await, Some(2_000 + 2 * OVERHEAD_BYTES));
    world.clock.goes_on(HOUR * 2);
    assert_eq!(kept(&contents).await, None, "the first one has ended");
}

#[tokio::test]
async fn what_is_removed_counts_no_more() {
    let contents = World::new().gateway(2_000);
    keep(&contents, "a", 3_000, HOUR).await;
    assert_eq!(kept(&contents).await, Some(3_000 + OVERHEAD_BYTES));
    contents.remove_parts("answer", "a").await.unwrap();
    contents.remove_parts("answer", "a").await.unwrap();
    assert_eq!(kept(&contents).await, None);
    keep(&contents, "b", 2_000, HOUR).await;
    assert_eq!(kept(&contents).await, Some(2_000 + OVERHEAD_BYTES), "nothing was taken off twice");
}

#[tokio::test]
async fn gateways_count_together_and_no_byte_twice() {
    let world = World::new();
    let gateways = [world.gateway(0), world.gateway(0), world.gateway(0)];
    for round in 1..=10_u64 {
        for (number, gateway) in gateways.iter().enumerate() {
            keep(gateway, &format!("{round}-{number}"), 100, HOUR * 48).await;
        }
        // Each adds what it counted while others do; who was later does so in the next round.
        for _ in 0..gateways.len() {
            world.clock.goes_on(ADD_EVERY);
            for gateway in &gateways {
                kept(gateway).await;
            }
        }
        world.clock.goes_on(ADD_EVERY);
        for gateway in &gateways {
            assert_eq!(kept(gateway).await, Some(round * 3 * (100 + OVERHEAD_BYTES)));
        }
    }
    let fresh = world.gateway(0);
    assert_eq!(kept(&fresh).await, Some(30 * (100 + OVERHEAD_BYTES)), "one that was just started knows it");
}

#[tokio::test]
async fn a_tenant_has_its_own_tally() {
    let world = World::new();
    let tallies = Tallies::new(Arc::clone(&world.clock) as _, 500);
    let of = |tenant: &str| {
        let tenant = tenant.parse().unwrap();
        let tally = tallies.of(&tenant);
        TenantContents::with(tenant, Arc::clone(&world.store), world.key.clone(), tally)
    };
    keep(&of("acme"), "a", 1_000, HOUR).await;
    assert_eq!(kept(&of("acme")).await, Some(1_000 + OVERHEAD_BYTES));
    assert_eq!(kept(&of("other")).await, None);
}
