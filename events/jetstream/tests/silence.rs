//! A server that falls silent without closing: a client notices by itself and comes back by another way.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod support;

use std::sync::Arc;
use std::time::Duration;

use steward_jetstream::{Connection, Role};
use support::Bus;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// Far below what a client takes that asks once a minute, and far above what one takes that asks every few seconds.
const NOTICED_WITHIN: Duration = Duration::from_secs(45);

/// Passes connections on to `server` until it is told to freeze: those that are there then stay open and say nothing.
async fn freezing_proxy(server: String, frozen: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, mut frozen) = (server.clone(), frozen.clone());
            let new = *frozen.borrow();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    () = async { _ = frozen.wait_for(|frozen| *frozen).await.map(drop) }, if !new => std::future::pending().await,
                }
            });
        }
    });
    format!("nats://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_silent_server_comes_back() {
    let bus = Bus::start().await;
    let mut credentials = bus.server().credentials(Role::Gateway);
    let (freeze, frozen) = watch::channel(false);
    let server = credentials.url.trim_start_matches("nats://").to_owned();
    credentials.url = freezing_proxy(server, frozen).await;
    let connection = Arc::new(Connection::connect(&credentials).await.unwrap());
    connection.flush().await.unwrap();

    freeze.send(true).unwrap();
    let since = Instant::now();
    while connection.flush().await.is_err() {
        assert!(since.elapsed() < NOTICED_WITHIN, "after {:?} it still waits for a silent server", since.elapsed());
    }
    bus.stop().await;
}
