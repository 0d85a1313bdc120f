//! Where requests go: what every request to it begins with, and the connections to it that wait to be used again.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{HeaderValue, Uri};
use reqwest::Url;
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;

use super::IDLE_MAX;
use super::connection::Connection;

/// Connections that wait at once; further ones are closed.
const WAITING_MAX: usize = 256;
/// How often connections are closed that have waited too long.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// One address that requests are posted to.
pub(crate) struct Endpoint {
    /// For the connector: scheme, host and port.
    pub(super) uri: Uri,
    /// For TLS; none if it is not used.
    pub(super) server: Option<ServerName<'static>>,
    /// The first lines of every request.
    start: String,
    home: Arc<Home>,
}

/// Where connections wait.
#[derive(Default)]
pub(super) struct Home(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Since when each.
    connections: Vec<(Instant, Connection)>,
    /// Whether somebody looks after them.
    is_swept: bool,
}

impl Endpoint {
    /// Where `url` leads, if this client can go there: `http` or `https`, without a user's name.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let server = match url.scheme() {
            "http" => None,
            "https" => Some(ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?),
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let start = format!(
            "POST {}{query} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: steward/{}\r\naccept: */*\r\n\
             accept-encoding: identity\r\ncontent-type: application/json\r\n",
            url.path(),
            env!("CARGO_PKG_VERSION")
        );
        let uri = format!("{}://{authority}/", url.scheme()).parse().ok()?;
        Some(Self { uri, server, start, home: Arc::default() })
    }

    /// The head of a request with so many bytes of body; none if one of `headers` cannot stand in one.
    pub(super) fn head(&self, headers: &[(&'static str, String)], length: usize) -> Option<String> {
        let more: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut head = String::with_capacity(self.start.len() + more + 64);
        head.push_str(&self.start);
        for (name, value) in headers {
            HeaderValue::from_str(value).ok()?;
            head.extend([name, ": ", value, "\r\n"]);
        }
        // Writing to a text cannot fail.
        let _ = write!(head, "content-length: {length}\r\n\r\n");
        Some(head)
    }

    /// A connection that waits and can be used.
    pub(super) fn idle(&self) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.home.lock().connections.pop()?;
            // The last that came is the first to go: if it is too old, so are all.
            if since.elapsed() > IDLE_MAX {
                self.home.lock().connections.clear();
            } else if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Where a connection to it may wait.
    pub(super) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home)
    }
}

impl Home {
    /// Puts a connection aside.
    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let mut waiting = self.lock();
        if waiting.connections.len() >= WAITING_MAX {
            return;
        }
        waiting.connections.push((Instant::now(), connection));
        if !waiting.is_swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            waiting.is_swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that have waited too long, until none waits.
async fn sweep(home: Weak<Home>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(home) = home.upgrade() else { return };
        let mut waiting = home.lock();
        waiting.connections.retain(|(since, _)| since.elapsed() <= IDLE_MAX);
        if waiting.connections.is_empty() {
            waiting.is_swept = false;
            return;
        }
    }
}
