//! Routes, the bounds of connections, and what every request gets.
//!
//! Knows what is served where and how a connection may behave. It must not know what a request means.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use steward_events::id::CorrelationId;
use tokio::net::TcpStream;
use tower::Service;
use tracing::Instrument;

use crate::config::Config;
use crate::error::Error;
use crate::gateway::Edge;
use crate::limits::BodyRoom;
use crate::{api, openai, trace};

mod unread;

use unread::Unread;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;

/// Where a connection comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The request's id: in every answer, in the log as correlation.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) CorrelationId);

/// Serves one connection, within bounds.
pub(crate) fn connection(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    config: &Config,
) -> http1::Connection<
    TokioIo<Unread<TcpStream>>,
    impl hyper::service::HttpService<hyper::body::Incoming, ResBody = Body, Error = std::convert::Infallible, Future: Send>
    + use<>,
> {
    // Else a small chunk of a stream waits for the acknowledgement of the one before: 40 ms.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.receive_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Unread::new(stream, config.upstream.client_stall_max)), service)
}

/// What is served where.
pub(crate) fn router(edge: &Arc<Edge>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai::chat_completions))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{model}", get(openai::model))
        .route("/api/v1/tenants/{tenant}/{operation}", get(api::ask_in_url).post(api::order_or_ask))
        .route("/openapi.json", get(api::serve_openapi))
        .route("/asyncapi.json", get(api::serve_asyncapi))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/health", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(edge), observe))
        .with_state(Arc::clone(edge))
}

/// Gives the request its id, times it and counts it.
async fn observe(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let began = edge.clock.monotonic();
    let id = request_id(&edge, &request);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "other".to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = trace::request(request.method().as_str(), &route, &id);
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    steward_ports::trace::follow(&span, traceparent);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    let took = edge.clock.monotonic().saturating_sub(began);
    edge.metrics.answered(&route, response.status().as_u16());
    tracing::debug!(
        parent: &span,
        http.route = route,
        http.response.status_code = response.status().as_u16(),
        request.id = %id,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", value);
    }
    if route.starts_with("/v1/") {
        headers.insert("openai-processing-ms", HeaderValue::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
        headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    }
    response
}

/// The caller's, if it belongs to a chain already; else a new one.
fn request_id(edge: &Edge, request: &Request) -> CorrelationId {
    let given = request.headers().get("steward-correlation").and_then(|value| value.to_str().ok()?.parse().ok());
    given.unwrap_or_else(|| {
        // Prefix and unique part are tokens.
        #[allow(clippy::expect_used)]
        CorrelationId::new(format!("req_{}", edge.ids.unique())).expect("a unique id is a token")
    })
}

async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let stopped = edge.keys.authority().stopped().or_else(|| edge.catalogs.stopped());
    let why_not = if edge.draining.load(Ordering::Relaxed) {
        Some("draining".to_owned())
    } else if let Some(why) = stopped {
        Some(format!("a view has stopped: {why}"))
    } else if edge.caught_up.load(Ordering::Relaxed) {
        (edge.readiness)().err()
    } else {
        Some("the log is not read to its end yet".to_owned())
    };
    match why_not {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn show_metrics(State(edge): State<Arc<Edge>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], (edge.page)()).into_response()
}

async fn no_such_path(request: Request) -> Response {
    refuse(&request, &Error::NoSuchPath(request.uri().path().chars().take(200).collect()))
}

async fn no_such_method(request: Request) -> Response {
    refuse(&request, &Error::NoSuchMethod(request.uri().path().chars().take(200).collect()))
}

/// In the manner of the API that the path belongs to.
fn refuse(request: &Request, error: &Error) -> Response {
    match request.extensions().get::<RequestId>() {
        Some(RequestId(id)) if !request.uri().path().starts_with("/v1/") => error.problem(id),
        _ => error.openai(),
    }
}

/// Reads a body, no longer and no slower than configured, as far as there is `room` for it.
pub(crate) async fn read_body(edge: &Edge, body: Body, room: &mut BodyRoom) -> Result<Bytes, Error> {
    let length_max = edge.config.body_bytes_max;
    let said = usize::try_from(hyper::body::Body::size_hint(&body).lower()).unwrap_or(usize::MAX);
    if said > length_max {
        return Err(Error::TooLarge(length_max));
    }
    // At once, before it comes: whoever says how much it is need not send it in vain.
    room.grow(said)?;
    let reading = collect(body, said, length_max, room);
    tokio::time::timeout(edge.config.receive_time_max, reading).await.unwrap_or(Err(Error::TooSlow))
}

/// Puts the pieces of `body` together. There is room for the first `said` bytes.
async fn collect(mut body: Body, said: usize, length_max: usize, room: &mut BodyRoom) -> Result<Bytes, Error> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Error::BadRequest { param: None, message: format!("the body broke off: {error}") })?;
        let Ok(piece) = frame.into_data() else { continue };
        length += piece.len();
        if length > length_max {
            return Err(Error::TooLarge(length_max));
        }
        room.grow(length.saturating_sub(said).min(piece.len()))?;
        // Most bodies come in one piece, which needs no copy.
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}
