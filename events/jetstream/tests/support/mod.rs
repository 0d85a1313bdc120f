//! A real server for each test, ended with it.

#![allow(dead_code, unreachable_pub, clippy::expect_used)] // each test file uses a part of it

use std::net::TcpListener;
use std::sync::Arc;

use futures::future::join_all;
use steward_jetstream::server::{Cluster, Options, Server};
use steward_jetstream::{Connection, JetStreamLog, Role, provision};
use steward_ports::log::EventLog;
use tempfile::TempDir;

pub struct Bus {
    pub server: Option<Server>,
    pub dir: TempDir,
}

pub const SHARDS: u16 = 2;

impl Bus {
    pub async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    pub async fn start_with(change: impl FnOnce(Options) -> Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(change(Options::new(dir.path()))).await.expect("a server");
        let admin = Connection::connect(&server.credentials(Role::Admin)).await.expect("admin");
        provision::provision(&admin, SHARDS, provision::Options::default()).await.expect("streams");
        admin.close().await;
        Self { server: Some(server), dir }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub async fn connect(&self, role: Role) -> Connection {
        Connection::connect(&self.server().credentials(role)).await.expect("a connection")
    }

    /// As any NATS client would, without what this crate adds.
    pub async fn connect_plainly(&self, role: Role) -> async_nats::Client {
        let password = self.server().secrets().password(role).to_owned();
        let options = async_nats::ConnectOptions::with_user_and_password(role.user().to_owned(), password);
        options.custom_inbox_prefix(role.inbox()).connect(self.server().url()).await.expect("a connection")
    }

    pub async fn log(&self, role: Role) -> Arc<dyn EventLog> {
        Arc::new(JetStreamLog::over(&self.connect(role).await, SHARDS))
    }

    pub async fn stop(mut self) {
        self.server.take().expect("it runs").stop().await.expect("stopped");
    }
}

/// A test that fails must not leave its server behind.
impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            kill(server);
        }
    }
}

/// Three servers on this machine, every stream on all of them.
pub struct ThreeNodes {
    pub servers: Vec<Option<Server>>,
    pub dirs: Vec<TempDir>,
    clusters: Vec<Cluster>,
    ports: Vec<u16>,
}

impl ThreeNodes {
    pub async fn start() -> Self {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a temporary directory")).collect();
        let mut free = free_ports(6);
        let ports = free.split_off(3);
        let clusters = (0..3).map(|at| Cluster { node: format!("node-{at}"), port: free[at], ports: free.clone() });
        let clusters: Vec<Cluster> = clusters.collect();
        // All of them let the same users in.
        let first = Server::start(Options::new(dirs[0].path())).await.expect("a server");
        first.stop().await.expect("stopped");
        for dir in &dirs[1..] {
            std::fs::create_dir(dir.path().join("nats")).expect("a directory");
            let secrets = "nats/secrets.json";
            std::fs::copy(dirs[0].path().join(secrets), dir.path().join(secrets)).expect("copied");
        }
        let mut nodes = Self { servers: vec![None, None, None], dirs, clusters, ports };
        let servers = join_all((0..3).map(|at| nodes.start_node(at))).await;
        nodes.servers = servers.into_iter().map(Some).collect();
        let admin = Connection::connect(&nodes.credentials(Role::Admin)).await.expect("admin");
        let options = provision::Options { replicas: 3, ..Default::default() };
        provision::provision(&admin, SHARDS, options).await.expect("streams");
        nodes
    }

    pub async fn start_node(&self, at: usize) -> Server {
        let (cluster, port) = (Some(self.clusters[at].clone()), Some(self.ports[at]));
        let options = Options { cluster, port, ..Options::new(self.dirs[at].path()) };
        Server::start(options).await.expect("a server")
    }

    /// For all three.
    pub fn credentials(&self, role: Role) -> steward_jetstream::Credentials {
        let mut credentials = self.servers.iter().flatten().next().expect("one runs").credentials(role);
        let urls = self.ports.iter().map(|port| format!("nats://127.0.0.1:{port}"));
        credentials.url = urls.collect::<Vec<_>>().join(",");
        credentials
    }

    pub async fn log(&self, role: Role) -> JetStreamLog {
        JetStreamLog::connect(&self.credentials(role), SHARDS).await.expect("a log")
    }

    pub async fn stop(mut self) {
        for server in self.servers.iter_mut().filter_map(Option::take) {
            server.stop().await.expect("stopped");
        }
    }
}

impl Drop for ThreeNodes {
    fn drop(&mut self) {
        for server in self.servers.iter().flatten() {
            kill(server);
        }
    }
}

/// Ends a server as a crash would.
pub fn kill(server: &Server) {
    let _ = std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status();
}

fn free_ports(count: usize) -> Vec<u16> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let listeners: Vec<TcpListener> = (0..count).map(|_| bind()).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}
