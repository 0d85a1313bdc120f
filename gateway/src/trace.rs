//! The span of one request.
//!
//! How a span joins a trace of another process is in `steward_ports::trace`; an attempt's span is in `steward-calls`.

use steward_events::id::CorrelationId;
use steward_ports::trace::is_recorded;
use tracing::Span;
use tracing::field::Empty;

/// The span of one request: all that a collector of traces wants to know, or what log lines need if there is none.
pub(crate) fn request(method: &str, route: &str, id: &CorrelationId) -> Span {
    if !is_recorded() {
        return tracing::info_span!("request", http.route = route, request.id = %id);
    }
    tracing::info_span!(
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request.id = %id,
    )
}
