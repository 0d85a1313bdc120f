//! The place in a trace of spans that go nowhere.
//!
//! Without a collector a span is known by its ids only, and these only where a header or a log line names them: few spans
//! are ever asked, so they get theirs when they are.

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::span::Id;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::registry::{LookupSpan, SpanRef};
use tracing_subscriber::{Layer, Registry};

/// Stands where the layer that hands spans to a collector would, so that these functions know that there is none.
pub(crate) struct IdsOnly;

impl<S: Subscriber> Layer<S> for IdsOnly {}

/// A span's ids, kept with it.
struct Own(SpanContext);

/// Whose child it is, in another process.
struct Sender(SpanContext);

fn registry(dispatch: &Dispatch) -> Option<&Registry> {
    dispatch.downcast_ref::<IdsOnly>()?;
    dispatch.downcast_ref::<Registry>()
}

/// The ids of a span; none if spans go to a collector, or nowhere at all.
pub(crate) fn of(id: &Id, dispatch: &Dispatch) -> Option<SpanContext> {
    Some(place(&registry(dispatch)?.span(id)?))
}

/// Makes a span whose ids nobody has asked for a child of `sender`.
pub(crate) fn follow(id: &Id, dispatch: &Dispatch, sender: SpanContext) {
    if let Some(span) = registry(dispatch).and_then(|registry| registry.span(id)) {
        span.extensions_mut().replace(Sender(sender));
    }
}

fn place(span: &SpanRef<'_, Registry>) -> SpanContext {
    let (own, sender) = {
        let kept = span.extensions();
        (kept.get::<Own>().map(|Own(ids)| ids.clone()), kept.get::<Sender>().map(|Sender(ids)| ids.clone()))
    };
    if let Some(own) = own {
        return own;
    }
    let random = RandomIdGenerator::default();
    let (trace, flags) = match sender.or_else(|| span.parent().map(|parent| place(&parent))) {
        Some(above) => (above.trace_id(), above.trace_flags()),
        None => (random.new_trace_id(), TraceFlags::SAMPLED),
    };
    let own = SpanContext::new(trace, random.new_span_id(), flags, false, TraceState::NONE);
    let mut kept = span.extensions_mut();
    // Another thread may have asked meanwhile.
    if let Some(Own(first)) = kept.get_mut::<Own>() {
        return first.clone();
    }
    kept.insert(Own(own.clone()));
    own
}
