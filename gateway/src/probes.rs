//! `/livez`, `/readyz`, `/metrics`: the port through which a process says how it is, and the paths.
//!
//! Knows the paths. It must not know what is well or how that is written: the process does, for all its parts.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use steward_events::BoxError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::door::Door;
use crate::face::Refuse;
use crate::observe::Arrival;
use crate::serve::{ServeBounds, serve};

/// Connections served at once where there are probes alone; more wait.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// How long a client of probes may take to send its headers, and to read its answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long open connections may go on when the process stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// What is asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether it lives.
    Live,
    /// Whether it may be given work, or which of its parts are not well.
    Ready,
    /// What it has counted.
    Metrics,
}

/// What a process answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// False for a no: 503.
    pub well: bool,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// Answers for the whole process. Called on each request, so it must not wait.
pub type Probes = Arc<dyn Fn(Probe) -> ProbeAnswer + Send + Sync>;

/// The paths that anybody may ask for.
fn open_routes(probes: &Probes) -> Router {
    let on = |probe| {
        let probes = Arc::clone(probes);
        get(move || std::future::ready(answer(probes(probe))))
    };
    Router::new().route("/livez", on(Probe::Live)).route("/health", on(Probe::Live)).route("/readyz", on(Probe::Ready))
}

/// The paths where callers come too: what is counted names tenants, so it is for operators.
pub(crate) fn routes(probes: &Probes, door: &Arc<Door>, refuse: Refuse) -> Router {
    let (probes_too, door) = (Arc::clone(probes), Arc::clone(door));
    let metrics = async move |request: Request| {
        let (parts, _) = request.into_parts();
        match door.lets_scrape(&parts).await {
            Ok(()) => answer(probes_too(Probe::Metrics)),
            Err(error) => refuse(&error, Arrival::of(&parts)),
        }
    };
    open_routes(probes).route("/metrics", get(metrics))
}

fn answer(ProbeAnswer { well, content_type, body }: ProbeAnswer) -> Response {
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Serves the probes alone, on a listener that only operators reach, until `shutdown`.
///
/// # Errors
/// If connections can no longer be served.
pub async fn serve_probes(listener: TcpListener, probes: Probes, shutdown: CancellationToken) -> Result<(), BoxError> {
    let elsewhere = async || (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n");
    let metrics = Arc::clone(&probes);
    let metrics = get(move || std::future::ready(answer(metrics(Probe::Metrics))));
    let router = open_routes(&probes).route("/metrics", metrics).fallback(elsewhere);
    let bounds = ServeBounds {
        connections_max: CONNECTIONS_MAX,
        per_address_max: CONNECTIONS_MAX,
        head_time_max: CLIENT_TIME_MAX,
        write_stall_max: CLIENT_TIME_MAX,
    };
    let answer = move |request| {
        let answered = router.clone().oneshot(request);
        async { answered.await.unwrap_or_else(|never| match never {}) }
    };
    let connections = serve(listener, answer, bounds, &shutdown).await?;
    // Whoever still waits after that learns nothing more.
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, connections.shutdown()).await;
    Ok(())
}
