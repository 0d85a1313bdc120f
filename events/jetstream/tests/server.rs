//! A server of our own: started, adopted after a crash, replaced when it is not as wanted, stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are tests

use std::process::Command;
use std::time::Duration;

use steward_jetstream::Durability;
use steward_jetstream::server::{Options, Server, ServerError};
use steward_jetstream::{ConnectError, Connection, Credentials, Role, provision};

/// What `kill -9` of the parent does: the server goes on, nobody answers for it any more.
fn abandon(server: Server) -> u32 {
    let pid = server.pid();
    drop(server);
    pid
}

fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn an_orphan_is_adopted_and_then_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    assert!(!server.was_adopted());
    let url = server.url().to_owned();
    assert_eq!(steward_jetstream::server::url(dir.path()).unwrap().as_deref(), Some(server.url()));
    assert!(server.is_running().await);
    let pid = abandon(server);
    assert!(is_alive(pid));

    let again = Server::start(Options::new(dir.path())).await.unwrap();
    assert!(again.was_adopted());
    assert_eq!((again.pid(), again.url()), (pid, url.as_str()));
    again.stop().await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn an_orphan_configured_differently_is_replaced_and_keeps_its_streams() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    let admin = Connection::connect(&server.credentials(Role::Admin)).await.unwrap();
    provision::provision(&admin, 2, provision::Options::default()).await.unwrap();
    admin.close().await;
    let pid = abandon(server);

    let strict = Options { durability: Durability::Strict, ..Options::new(dir.path()) };
    let server = Server::start(strict).await.unwrap();
    assert!(!server.was_adopted());
    assert_ne!(server.pid(), pid);
    assert!(!is_alive(pid));
    let admin = Connection::connect(&server.credentials(Role::Admin)).await.unwrap();
    let found = provision::provision(&admin, 2, provision::Options::default()).await.unwrap();
    assert_eq!((found.made.len(), found.found.len()), (0, 5));
    let states = provision::states(&admin).await.unwrap();
    let names: Vec<_> = states.iter().map(|state| (state.name.as_str(), state.replicas, state.messages)).collect();
    assert_eq!(names, [("CONTENTS", 1, 0), ("EVT_00", 1, 0), ("EVT_01", 1, 0), ("KEYS", 1, 0), ("TIMERS", 1, 0)]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_orphan_is_replaced_and_reused_pids_are_spared() {
    let dir = tempfile::tempdir().unwrap();
    let pid = abandon(Server::start(Options::new(dir.path())).await.unwrap());
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    // The same id, as if it had been given to another process: this one.
    let state = dir.path().join("nats/server.json");
    let text = std::fs::read_to_string(&state).unwrap().replace(&pid.to_string(), &std::process::id().to_string());
    std::fs::write(&state, text).unwrap();

    let server = Server::start(Options::new(dir.path())).await.unwrap();
    assert!(!server.was_adopted());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_busy_port_is_waited_for_within_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    let url = server.url().to_owned();
    server.stop().await.unwrap();
    let hold = || std::net::TcpListener::bind(url.trim_start_matches("nats://")).unwrap();

    // As a server does that was killed and has yet to die.
    let holder = hold();
    let freed = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(holder);
    });
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    freed.await.unwrap();
    assert_eq!(server.url(), url);
    server.stop().await.unwrap();

    let _holder = hold();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    assert_ne!(server.url(), url);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_directory_has_one_steward() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    assert!(matches!(Server::start(Options::new(dir.path())).await, Err(ServerError::InUse(_))));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_no_server_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { program: Some("/bin/true".into()), ..Options::new(dir.path()) };
    let error = Server::start(options).await.unwrap_err();
    assert!(error.to_string().contains("/bin/true"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_denied_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    let wrong = Credentials::role(server.url(), Role::Gateway, "wrong");
    assert!(matches!(Connection::connect(&wrong).await, Err(ConnectError::Denied { .. })));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn streams_that_differ_from_the_wanted_are_reported_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Options::new(dir.path())).await.unwrap();
    let admin = Connection::connect(&server.credentials(Role::Admin)).await.unwrap();
    provision::provision(&admin, 2, provision::Options::default()).await.unwrap();
    let replicas =
        provision::provision(&admin, 2, provision::Options { replicas: 3, ..Default::default() }).await.unwrap_err();
    assert_eq!(replicas.to_string(), "the stream EVT_00 exists with other settings: num_replicas is 1, must be 3");
    let strict = provision::Options { durability: Durability::Strict, ..Default::default() };
    let refused = provision::provision(&admin, 2, strict).await.unwrap_err();
    assert!(refused.to_string().contains("sync_interval: always"), "{refused}");
    provision::provision(&admin, 2, provision::Options { syncs_always: true, ..strict }).await.unwrap();
    let shards = provision::provision(&admin, 1, provision::Options::default()).await.unwrap_err();
    let why = "the log has 2 shards and 1 are configured; the number cannot change after the first start";
    assert_eq!(shards.to_string(), why);
    server.stop().await.unwrap();
}
