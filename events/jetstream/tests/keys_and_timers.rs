//! Data keys are kept once and destroyed for good; timers ring in time, once, after a crash too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::time::Duration;

use futures::StreamExt;
use steward_events::sealed::KeyDigest;
use steward_jetstream::server::{Options, Server};
use steward_jetstream::{JetStreamTimers, JetStreamVault, Role};
use steward_ports::clock::{Clock, SystemClock};
use steward_ports::keys::{Held, KeyVault};
use steward_ports::timers::{Due, TimerKey, Timers};
use support::Bus;

#[tokio::test]
async fn a_key_is_kept_once_and_destroyed_for_good() {
    let bus = Bus::start().await;
    let vault = JetStreamVault::over(&bus.connect(Role::Aggregates).await);
    let name = "person.acme.p_1";
    assert_eq!(vault.get(name).await.unwrap(), Held::Nothing);
    let (one, two) = tokio::join!(
        vault.put_if_absent(name, b"first wrapped key of p_1".to_vec()),
        vault.put_if_absent(name, b"other wrapped key of p_1".to_vec()),
    );
    assert_eq!(one.unwrap(), two.unwrap());
    let Held::Key(kept) = vault.get(name).await.unwrap() else { panic!("no key") };
    assert!(holds(&bus, &kept));
    assert!(vault.get("person.*.p_1").await.is_err());
    assert!(vault.put_if_absent("tenant.>", vec![1]).await.is_err());

    // Only effects destroy.
    let workers = JetStreamVault::over(&bus.connect(Role::Workers).await);
    let destroyed = Some(KeyDigest::of(&kept));
    assert_eq!(workers.destroy(name).await.unwrap(), destroyed);
    assert_eq!(workers.destroy(name).await.unwrap(), destroyed, "told again");
    assert_eq!(vault.get(name).await.unwrap(), Held::Destroyed);
    assert_eq!(vault.put_if_absent(name, b"another wrapped key of p_1".to_vec()).await.unwrap(), Held::Destroyed);
    assert!(!holds(&bus, &kept), "the destroyed key is still on disk");
    assert_eq!(workers.destroy("person.acme.p_2").await.unwrap(), None, "there was none");
    assert_eq!(vault.put_if_absent("person.acme.p_2", vec![1; 72]).await.unwrap(), Held::Destroyed);
    bus.stop().await;
}

/// True if the server's files hold these bytes.
fn holds(bus: &Bus, bytes: &[u8]) -> bool {
    fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let store = bus.dir.path().join("nats/jetstream");
    files(&store).iter().any(|path| std::fs::read(path).unwrap().windows(bytes.len()).any(|part| part == bytes))
}

fn key(kind: &str, id: &str) -> TimerKey {
    TimerKey { tenant: "acme".parse().unwrap(), kind: kind.to_owned(), id: id.parse().unwrap() }
}

type Ringing = futures::stream::BoxStream<'static, Box<dyn Due>>;

async fn rings(due: &mut Ringing) -> Box<dyn Due> {
    tokio::time::timeout(Duration::from_secs(10), due.next()).await.expect("in time").expect("no end")
}

async fn is_silent(due: &mut Ringing) -> bool {
    tokio::time::timeout(Duration::from_millis(700), due.next()).await.is_err()
}

#[tokio::test]
async fn timers_ring_in_time_and_once() {
    let bus = Bus::start().await;
    let timers = JetStreamTimers::over(&bus.connect(Role::Workers).await);
    let clock = SystemClock::default();
    let mut leases = timers.due("lease-expiry").await.unwrap();
    let mut others = timers.due("retry").await.unwrap();

    let at = clock.now().plus(Duration::from_millis(300));
    timers.set(&key("lease-expiry", "l-1"), at, b"turn 7".to_vec()).await.unwrap();
    let rung = rings(&mut leases).await;
    assert!(clock.now() >= at, "it rang early");
    assert!(clock.now().since(at) < Duration::from_secs(2), "it rang late");
    assert_eq!((rung.key(), rung.at(), rung.payload()), (&key("lease-expiry", "l-1"), at, &b"turn 7"[..]));
    rung.done().await.unwrap();
    assert!(is_silent(&mut leases).await);
    assert!(is_silent(&mut others).await);
    bus.stop().await;
}

#[tokio::test]
async fn a_timer_is_moved_cancelled_and_past() {
    let bus = Bus::start().await;
    let timers = JetStreamTimers::over(&bus.connect(Role::Workers).await);
    let clock = SystemClock::default();
    let mut due = timers.due("retry").await.unwrap();
    let soon = clock.now().plus(Duration::from_millis(400));
    for id in ["moved", "cancelled"] {
        timers.set(&key("retry", id), soon, id.as_bytes().to_vec()).await.unwrap();
    }
    let later = clock.now().plus(Duration::from_millis(1_500));
    timers.set(&key("retry", "moved"), later, b"moved".to_vec()).await.unwrap();
    timers.cancel(&key("retry", "cancelled")).await.unwrap();
    let long_ago = steward_events::timestamp::Timestamp(1);
    timers.set(&key("retry", "past"), long_ago, Vec::new()).await.unwrap();

    let past = rings(&mut due).await;
    assert_eq!((past.key().id.as_str(), past.at()), ("past", long_ago));
    past.done().await.unwrap();
    let moved = rings(&mut due).await;
    assert_eq!((moved.key().id.as_str(), moved.at()), ("moved", later));
    assert!(clock.now() >= later);
    moved.done().await.unwrap();
    assert!(is_silent(&mut due).await);
    assert!(timers.set(&key("a.b", "x"), soon, Vec::new()).await.is_err());
    bus.stop().await;
}

#[tokio::test]
async fn timers_and_those_who_hear_them_survive_a_killed_server() {
    let mut bus = Bus::start().await;
    let timers = JetStreamTimers::over(&bus.connect(Role::Workers).await);
    let mut due = timers.due("retry").await.unwrap();
    let at = SystemClock::default().now().plus(Duration::from_millis(300));
    timers.set(&key("retry", "x"), at, b"kept".to_vec()).await.unwrap();
    let server = bus.server.take().unwrap();
    let status = std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap();
    assert!(status.success());
    drop(server);
    tokio::time::sleep(Duration::from_millis(400)).await;

    bus.server = Some(Server::start(Options::new(bus.dir.path())).await.unwrap());
    let rung = rings(&mut due).await;
    assert_eq!(rung.payload(), b"kept");
    rung.done().await.unwrap();
    timers.set(&key("retry", "y"), SystemClock::default().now(), b"after".to_vec()).await.unwrap();
    assert_eq!(rings(&mut due).await.payload(), b"after");
    bus.stop().await;
}
