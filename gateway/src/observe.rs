//! What every request gets, whatever it asks for: an id, a span, its time and its count.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::request::Parts;
use steward_events::id::CorrelationId;
use steward_events::ids::Ids;
use steward_ports::clock::Clock;
use tracing::Instrument;

use crate::metrics::Metrics;
use crate::trace;

/// What is needed to observe.
pub(crate) struct Observer {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) metrics: Metrics,
}

/// A request as it came in.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// Its id: in every answer, in the log as correlation.
    pub(crate) id: CorrelationId,
    /// When, by the monotonic clock.
    pub(crate) at: Duration,
}

impl Arrival {
    /// The one that [`observe`] gave.
    pub(crate) fn of(parts: &Parts) -> &Self {
        // The middleware stands before every route.
        #[allow(clippy::expect_used)]
        parts.extensions.get::<Self>().expect("every request has its id")
    }
}

/// Gives the request its id, times it and counts it.
pub(crate) async fn observe(State(observer): State<Arc<Observer>>, mut request: Request, next: Next) -> Response {
    let at = observer.clock.monotonic();
    let id = request_id(&*observer.ids, &request);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "other".to_owned());
    request.extensions_mut().insert(Arrival { id: id.clone(), at });
    let span = trace::request(request.method().as_str(), &route, &id);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    steward_ports::trace::follow(&span, traceparent);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    let took = observer.clock.monotonic().saturating_sub(at);
    observer.metrics.answered(&route, response.status().as_u16());
    tracing::debug!(
        parent: &span,
        http.route = route,
        http.response.status_code = response.status().as_u16(),
        request.id = %id,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The caller's, if it belongs to a chain already; else a new one.
fn request_id(ids: &dyn Ids, request: &Request) -> CorrelationId {
    let given = request.headers().get("steward-correlation").and_then(|value| value.to_str().ok()?.parse().ok());
    given.unwrap_or_else(|| {
        // Prefix and unique part are tokens.
        #[allow(clippy::expect_used)]
        CorrelationId::new(format!("req_{}", ids.unique())).expect("a unique id is a token")
    })
}
