//! Anthropic's API: `/v1/messages`, `/v1/messages/count_tokens`. Its shapes of refusals and headers stay here; those of
//! requests and answers are the dialect's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::HeaderMap;
use http::request::Parts;
use serde_json::json;
use steward_calls::Calls;
use steward_calls::dialect::Dialect;
use steward_calls::dialect::anthropic::{Anthropic, to_count, with_betas};

use super::{Bundles, Face, HotRoute, no_such_method, summary};
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

mod describe;
mod refusal;

/// The face.
pub(super) const FACE: Face =
    Face { root: "/v1/messages/", routes, hot, refuse: refusal::refuse, describe: describe::paths };

/// What its paths need.
struct Messages {
    door: Arc<Door>,
    calls: Arc<Calls>,
}

/// Where messages are made.
const MESSAGES: &str = "/v1/messages";
/// Where their tokens are counted.
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

fn state(Bundles { door, calls, .. }: &Bundles) -> Arc<Messages> {
    Arc::new(Messages { door: Arc::clone(door), calls: Arc::clone(calls) })
}

fn hot(bundles: &Bundles) -> Vec<HotRoute> {
    let face = state(bundles);
    let handle = move |request| messages(State(Arc::clone(&face)), request).boxed();
    vec![HotRoute { path: MESSAGES, handle: Box::new(handle) }]
}

fn routes(bundles: &Bundles) -> Router {
    Router::new()
        .route(MESSAGES, post(messages))
        .route(COUNT_TOKENS, post(counted))
        .method_not_allowed_fallback(no_such_method(refusal::refuse))
        .with_state(state(bundles))
}

/// `POST /v1/messages`.
async fn messages(State(face): State<Arc<Messages>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let replied = async {
        let mut accepted = face.door.accept(&parts, body).await?;
        accepted.body = with_betas(accepted.body, &betas(&parts.headers));
        Ok(summary::respond(face.calls.make(&Anthropic, accepted).await?, failed))
    };
    finish(&parts, replied.await)
}

/// The features that the caller asks for, of all headers that say so.
fn betas(headers: &HeaderMap) -> String {
    let said = headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    said.collect::<Vec<_>>().join(",")
}

/// `POST /v1/messages/count_tokens`: exact as far as the model's vocabulary is known here, else an estimate. Nothing
/// is called.
async fn counted(State(face): State<Arc<Messages>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let counted = async {
        let accepted = face.door.accept(&parts, body).await?;
        let tokens = face.calls.count_tokens(&accepted.key, &to_count(&accepted.body)?).await?;
        Ok(Json(json!({ "input_tokens": tokens })).into_response())
    };
    finish(&parts, counted.await)
}

/// What every answer of this face says, good or not.
fn finish(parts: &Parts, answered: Result<Response, Error>) -> Response {
    let arrival = Arrival::of(parts);
    let mut response = answered.unwrap_or_else(|error| refusal::refuse(&error, arrival));
    refusal::describe(response.headers_mut(), arrival);
    response
}

/// The last event of a stream that failed.
fn failed(error: steward_calls::Error) -> Bytes {
    let mut event = BytesMut::new();
    Anthropic.put_event(&mut event, refusal::body(&error.into(), None).to_string().as_bytes());
    event.freeze()
}
