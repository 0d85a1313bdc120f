//! The span of an attempt at a provider, with the names of OpenTelemetry's GenAI conventions: all of those names that a
//! call gives are in this file.

use steward_events::event::TokenUsage;
use steward_events::id::{CallId, ModelId, ProviderId};
use steward_events::quantity::NanoDollars;
use steward_ports::trace::is_recorded;
use tracing::Span;
use tracing::field::Empty;

/// The span of one attempt to call a model, if somebody collects traces. Content is never part of it.
pub(crate) fn attempt(model: &ModelId, upstream_model: &str, provider: &ProviderId, call: &CallId) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    tracing::info_span!(
        "chat",
        otel.name = %format_args!("chat {model}"),
        otel.kind = "client",
        gen_ai.operation.name = "chat",
        gen_ai.request.model = upstream_model,
        gen_ai.provider.name = %provider,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.reasoning.output_tokens = Empty,
        // There is no standard name for cost.
        steward.cost.usd = Empty,
        steward.call.id = %call,
        error.type = Empty,
    )
}

/// What an attempt used.
pub(crate) fn used(span: &Span, tokens: &TokenUsage, cost: NanoDollars) {
    tracing::record_all!(
        span,
        gen_ai.usage.input_tokens = tokens.input.0,
        gen_ai.usage.output_tokens = tokens.output.0,
        gen_ai.usage.cache_read.input_tokens = tokens.cached.0,
        gen_ai.usage.reasoning.output_tokens = tokens.reasoning.0,
        steward.cost.usd = cost.as_dollars_f64(),
    );
}

/// That an attempt failed, and of what.
pub(crate) fn failed(span: &Span, reason: &str) {
    span.record("error.type", reason);
}
