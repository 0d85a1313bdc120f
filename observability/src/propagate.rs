//! The current span as a `traceparent` header, and back (<https://www.w3.org/TR/trace-context/>).

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const HEADER: &str = "traceparent";

/// What to send along so that the receiver's spans are children of the current one.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.remove(HEADER)
}

/// Makes `span` a child of the sender's span. Call it before the span is entered. What is no `traceparent` is ignored:
/// it comes from outside.
pub fn follow(span: &Span, traceparent: &str) {
    let headers = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let sender = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    if sender.span().span_context().is_valid() {
        // Refused only if the span has begun or nobody traces it; then there is nothing to follow.
        let _ = span.set_parent(sender);
    }
}
