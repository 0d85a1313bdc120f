//! The current span as a `traceparent` header, and back (<https://www.w3.org/TR/trace-context/>).

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::span::Id;
use tracing::{Dispatch, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::ids;

const HEADER: &str = "traceparent";

/// What to send along so that the receiver's spans are children of the current one.
pub fn current_traceparent() -> Option<String> {
    let span = Span::current();
    let ids = span.with_subscriber(|(id, dispatch)| ids::of(id, dispatch)).flatten();
    let context = ids.map_or_else(|| span.context(), |ids| Context::new().with_remote_span_context(ids));
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    headers.remove(HEADER)
}

/// Makes `span` a child of the sender's span. Call it before the span is entered. What is no `traceparent` is ignored:
/// it comes from outside.
pub fn follow(span: &Span, traceparent: &str) {
    let headers = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let sender = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let ids = sender.span().span_context().clone();
    if ids.is_valid() {
        span.with_subscriber(|(id, dispatch)| ids::follow(id, dispatch, ids));
        // Refused only if the span has begun or no collector gets it; then there is nothing to follow.
        let _ = span.set_parent(sender);
    }
}

/// A span's ids, for log lines.
pub(crate) fn ids(id: &Id, dispatch: &Dispatch) -> Option<SpanContext> {
    let sent = || Some(tracing_opentelemetry::get_otel_context(id, dispatch)?.span().span_context().clone());
    ids::of(id, dispatch).or_else(sent).filter(SpanContext::is_valid)
}
