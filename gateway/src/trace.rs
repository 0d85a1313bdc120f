//! The span of one request.
//!
//! How a span joins a trace of another process is in `steward_ports::trace`; an attempt's span is in `steward-calls`.

use steward_events::id::CorrelationId;
use tracing::Span;
use tracing::field::Empty;

/// The span of one request.
pub(crate) fn request(method: &str, route: &str, id: &CorrelationId) -> Span {
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
