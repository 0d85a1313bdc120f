//! `/livez`, `/readyz`, `/metrics`: how this process is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use steward_aggregates::catalog::Catalogs;
use steward_calls::Access;
use steward_ports::live::Live;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics, Page};

/// How long one attempt to catch up with the log takes at most at the start.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two attempts.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(50);

/// Tells whether something is well, or why not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How the whole process is, of which the gateway may be a part.
#[derive(Clone)]
pub struct ProcessStatus {
    /// The gateway's counters.
    pub metrics: Metrics,
    /// What `/metrics` shows.
    pub page: Page,
    /// What else has to be well for `/readyz` to say yes. Called on each request, so it must not wait.
    pub readiness: Readiness,
}

impl Default for ProcessStatus {
    /// The gateway is alone: its own counters, and nothing else that has to be well.
    fn default() -> Self {
        let metrics = Metrics::default();
        Self { page: metrics::own_page(&metrics), metrics, readiness: Arc::new(|| Ok(())) }
    }
}

/// What is known of the gateway and of its process.
pub(crate) struct Status {
    access: Arc<Access>,
    catalogs: Arc<Live<Catalogs>>,
    process: ProcessStatus,
    /// All that was in the log at the start is known here.
    caught_up: AtomicBool,
    /// No new work is wanted.
    draining: AtomicBool,
}

impl Status {
    pub(crate) fn new(access: Arc<Access>, catalogs: Arc<Live<Catalogs>>, process: ProcessStatus) -> Self {
        Self { access, catalogs, process, caught_up: AtomicBool::new(false), draining: AtomicBool::new(false) }
    }

    /// No new work is wanted from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes when all that was in the log at the start is known here; tries until then.
    pub(crate) async fn catch_up(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (keys, catalogs) = tokio::join!(
                self.access.authority().caught_up(CATCH_UP_TIME_MAX),
                self.catalogs.caught_up(CATCH_UP_TIME_MAX)
            );
            match keys.and(catalogs) {
                Ok(()) => return self.caught_up.store(true, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "not ready: the log is not read to its end yet"),
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining".to_owned());
        }
        if let Some(why) = self.access.authority().stopped().or_else(|| self.catalogs.stopped()) {
            return Err(format!("a view has stopped: {why}"));
        }
        if !self.caught_up.load(Ordering::Relaxed) {
            return Err("the log is not read to its end yet".to_owned());
        }
        (self.process.readiness)()
    }
}

/// The paths.
pub(crate) fn routes(status: Arc<Status>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/health", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
        .with_state(status)
}

async fn ready(State(status): State<Arc<Status>>) -> Response {
    match status.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn show_metrics(State(status): State<Arc<Status>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], (status.process.page)()).into_response()
}
