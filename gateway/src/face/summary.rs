//! What the answers of all faces to model calls say in their headers: which call it was, and what it came to.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use steward_calls::dialect::prompt::Spared;
use steward_calls::{CallSummary, Error, Reply, ReplyBody, Settled};

use super::cache_header;

/// A reply with its headers; `failed` makes the last event of a stream that fails.
pub(super) fn respond(Reply { summary, body }: Reply, failed: impl Fn(Error) -> Bytes + Send + 'static) -> Response {
    match body {
        ReplyBody::Whole(body, settled) => {
            let mut response = Response::new(Body::from(body));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(summary.media_type));
            set_summary(headers, &summary);
            say_settled(headers, &settled);
            response
        }
        ReplyBody::Stream(pieces) => streamed(pieces, &summary, failed),
        ReplyBody::Kept(pieces) => streamed(pieces, &summary, failed),
    }
}

fn streamed(
    pieces: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    summary: &CallSummary,
    failed: impl Fn(Error) -> Bytes + Send + 'static,
) -> Response {
    let pieces = pieces.map(move |piece| Ok::<_, Infallible>(piece.unwrap_or_else(&failed)));
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would hold back every piece.
    headers.insert(const { named("x-accel-buffering") }, HeaderValue::from_static("no"));
    set_summary(headers, summary);
    response
}

/// What is known of a call when its answer begins.
fn set_summary(headers: &mut HeaderMap, summary: &CallSummary) {
    set(headers, const { named("x-steward-call-id") }, &summary.call);
    set(headers, const { named("x-steward-attempts") }, &summary.attempts);
    set(
        headers,
        const { named("x-steward-overhead-ms") },
        &format_args!("{:.3}", summary.overhead.as_secs_f64() * 1e3),
    );
    cache_header::say(headers, summary);
    if let Some(saved) = saved(summary.spared) {
        set(headers, const { named("x-steward-saved") }, &saved);
    }
    if let Some(output) = summary.clamped_to {
        set(headers, const { named("x-steward-max-tokens-clamped") }, &output);
    }
    if let Some(why) = summary.degraded {
        set(headers, const { named("x-steward-degraded") }, &why);
    }
}

/// What was spared of a request, in words: `compressed=1234B, trimmed=2 turns`; none if it was sent as it came.
fn saved(spared: Spared) -> Option<String> {
    let Spared { compressed_bytes, trimmed_turns, .. } = spared;
    let compressed = (compressed_bytes > 0).then(|| format!("compressed={compressed_bytes}B"));
    let turns = if trimmed_turns == 1 { "turn" } else { "turns" };
    let trimmed = (trimmed_turns > 0).then(|| format!("trimmed={trimmed_turns} {turns}"));
    let all: Vec<String> = compressed.into_iter().chain(trimmed).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// What a call came to.
fn say_settled(headers: &mut HeaderMap, settled: &Settled) {
    let tokens = settled.tokens();
    set(headers, const { named("x-steward-input-tokens") }, &tokens.input.0);
    set(headers, const { named("x-steward-cached-tokens") }, &tokens.cached.0);
    set(headers, const { named("x-steward-output-tokens") }, &tokens.output.0);
    set(headers, const { named("x-steward-reasoning-tokens") }, &tokens.reasoning.0);
    set(headers, const { named("x-steward-response-cost") }, &settled.cost());
    if let Some(left) = settled.budget_left() {
        set(headers, const { named("x-steward-budget-remaining") }, &left);
    }
}

/// A header's name, which is checked when this is compiled.
pub(super) const fn named(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Sets a header whose value is ours: numbers, ids, amounts.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}
