//! A server of our own that dies while its steward lives is there again, on the same port, with all that it held.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

mod support;

use std::process::Command;
use std::time::Duration;

use steward_events::digest::CommitHash;
use steward_events::event::AggregateKind;
use steward_events::quantity::{Position, Shard};
use steward_events::stream::StreamName;
use steward_jetstream::server::Supervised;
use steward_jetstream::{Connection, JetStreamLog, Role};
use steward_ports::append::append;
use steward_ports::log::EventLog;
use steward_ports::testing::commit;
use support::{Bus, SHARDS};
use tokio::time::{Instant, sleep};

fn kill_9(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// Waits for another process than `dead`; sees on the way that it was not ready.
async fn runs_again(server: &Supervised, dead: u32, check: &impl Fn() -> Result<(), String>) -> u32 {
    let (until, mut was_away) = (Instant::now() + Duration::from_secs(20), false);
    while Instant::now() < until {
        was_away |= check().is_err();
        if let Some(pid) = server.pid().filter(|pid| *pid != dead) {
            assert!(was_away, "it was never told that the server was away");
            assert_eq!(check(), Ok(()));
            return pid;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not run again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_on_after_its_server_was_killed() {
    let mut bus = Bus::start().await;
    let credentials = bus.server().credentials(Role::Aggregates);
    let log = JetStreamLog::connect(&credentials, SHARDS).await.unwrap();
    let server = bus.server.take().unwrap().supervise();
    let check = server.check();
    assert_eq!(check(), Ok(()));

    let id = "s-1".parse().unwrap();
    let stream = StreamName { shard: Shard(0), tenant: "acme".parse().unwrap(), kind: AggregateKind::Tenant, id };
    let (mut position, mut prev, mut pid) = (Position(0), CommitHash::default(), server.pid().unwrap());
    for version in 1..=3 {
        let mine = commit(&stream, version, prev, &format!("life {version}"));
        let appended = append(&log, position, &mine).await.unwrap();
        (position, prev) = (appended.position, appended.hash);
        kill_9(pid);
        // The next is sent while the server is away, or only just back: either way it is recorded once.
        pid = runs_again(&server, pid, &check).await;
    }
    // The same connection, by itself.
    let read = log.load(&stream, Position(0)).await.unwrap();
    assert_eq!(read.iter().map(|stored| stored.position).max(), Some(position));
    assert_eq!(read.len(), 3);
    let again = Connection::connect(&credentials).await.unwrap();
    again.close().await;

    server.stop().await.unwrap();
    assert!(Connection::connect(&credentials).await.is_err(), "stopped for good");
    let cmdline = std::fs::read(format!("/proc/{pid}/cmdline"));
    assert!(cmdline.map_or(true, |line| line.is_empty()), "no process is left");
}

#[tokio::test]
async fn an_adopted_server_is_supervised_too() {
    let mut bus = Bus::start().await;
    let dead = bus.server().pid();
    drop(bus.server.take());
    let options = steward_jetstream::server::Options::new(bus.dir.path());
    let server = steward_jetstream::server::Server::start(options).await.unwrap();
    assert!(server.was_adopted());
    let url = server.url().to_owned();
    let server = server.supervise();
    let check = server.check();
    kill_9(dead);
    runs_again(&server, dead, &check).await;
    assert_eq!(steward_jetstream::server::url(bus.dir.path()).unwrap(), Some(url), "the same port");
    server.stop().await.unwrap();
}
