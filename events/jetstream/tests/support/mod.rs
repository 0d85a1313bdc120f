//! A real server for each test, ended with it.
#![allow(dead_code, missing_docs, clippy::expect_used)]

use std::sync::Arc;

use steward_events::log::EventLog;
use steward_jetstream::server::{Options, Server};
use steward_jetstream::{Connection, JetStreamLog, Role, provision};
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
            let _ = std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status();
        }
    }
}
