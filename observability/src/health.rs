//! `/livez`, `/readyz` and `/metrics` for processes that have no other door.
//!
//! Knows names of checks and the reasons they give. Must not know what is checked.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::probes::Probes;

/// Connections served at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send its headers.
const HEADERS_TIME_MAX: Duration = Duration::from_secs(5);
/// How long open connections may go on when the process stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What has to be well for this process to be given work.
#[derive(Default)]
pub struct Health {
    checks: Mutex<Vec<(&'static str, Check)>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

/// A check that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotReady {
    /// Which.
    pub check: &'static str,
    /// Why not.
    pub reason: String,
}

impl Health {
    /// Adds a check. It is called on each question, so it must not wait: it looks at what is known already.
    pub fn check(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(check)));
    }

    /// What does not hold now; nothing means ready.
    pub fn not_ready(&self) -> Vec<NotReady> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter_map(|(check, holds)| Some(NotReady { check, reason: holds().err()? })).collect()
    }

    /// Each check, and whether it holds.
    pub(crate) fn all(&self) -> Vec<(&'static str, bool)> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().map(|(check, holds)| (*check, holds().is_ok())).collect()
    }

    /// The body of `/readyz`, and whether it says yes.
    pub fn report(&self) -> (bool, serde_json::Value) {
        let not_ready = self.not_ready();
        (not_ready.is_empty(), serde_json::json!({ "ready": not_ready.is_empty(), "not_ready": not_ready }))
    }
}

/// Serves the three addresses until told to stop.
///
/// # Errors
/// If connections can no longer be accepted.
pub async fn serve(
    listener: TcpListener,
    probes: Probes,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Most likely too many open files: other parts may give some back.
                tracing::warn!(error = %error, "a connection to the health address could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let probes = probes.clone();
        let answers = service_fn(move |request: Request<Incoming>| {
            let response = answer(&request, &probes);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TIME_MAX)
            .serve_connection(TokioIo::new(stream), answers);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, graceful.shutdown()).await;
    Ok(())
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn answer(request: &Request<Incoming>, probes: &Probes) -> Response<Full<Bytes>> {
    let Some(found) = probes.page(request.uri().path()) else {
        return page(StatusCode::NOT_FOUND, "text/plain", "there are /livez, /readyz and /metrics\n".to_owned());
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let status = StatusCode::from_u16(found.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    page(status, found.content_type, found.body)
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
