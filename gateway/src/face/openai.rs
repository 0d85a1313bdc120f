//! OpenAI's API: `/v1/chat/completions`, `/v1/responses`, `/v1/models`. Its shapes of refusals and headers stay here; those
//! of requests and answers are the dialects'.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::request::Parts;
use serde_json::{Value, json};
use steward_calls::dialect::Dialect;
use steward_calls::dialect::openai_chat::OpenAiChat;
use steward_calls::{Calls, Reply};
use steward_events::id::ModelId;
use steward_ports::clock::Clock;

use super::{Bundles, Face, HotRoute, no_such_method, summary};
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

mod describe;
mod refusal;
mod responses;

/// The face.
pub(super) const FACE: Face = Face { root: "/v1/", routes, hot, refuse: refusal::refuse, describe: describe::paths };

/// What its paths need.
struct OpenAi {
    door: Arc<Door>,
    calls: Arc<Calls>,
    clock: Arc<dyn Clock>,
}

/// Where chats are completed.
const CHAT_COMPLETIONS: &str = "/v1/chat/completions";

fn state(Bundles { door, calls, clock, .. }: &Bundles) -> Arc<OpenAi> {
    Arc::new(OpenAi { door: Arc::clone(door), calls: Arc::clone(calls), clock: Arc::clone(clock) })
}

fn hot(bundles: &Bundles) -> Vec<HotRoute> {
    let face = state(bundles);
    let of_responses = Arc::clone(&face);
    let chat = move |request| chat_completions(State(Arc::clone(&face)), request).boxed();
    let response = move |request| responses::create(State(Arc::clone(&of_responses)), request).boxed();
    vec![
        HotRoute { path: CHAT_COMPLETIONS, handle: Box::new(chat) },
        HotRoute { path: responses::RESPONSES, handle: Box::new(response) },
    ]
}

fn routes(bundles: &Bundles) -> Router {
    Router::new()
        .route(CHAT_COMPLETIONS, post(chat_completions))
        .route(responses::RESPONSES, post(responses::create))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .method_not_allowed_fallback(no_such_method(refusal::refuse_known_path))
        .with_state(state(bundles))
}

/// `POST /v1/chat/completions`.
async fn chat_completions(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let replied = async {
        let accepted = face.door.accept(&parts, body).await?;
        Ok(respond(face.calls.make(&OpenAiChat, accepted).await?, failed))
    };
    face.finish(&parts, replied.await)
}

/// `GET /v1/models`: what this key may call, and nothing else.
async fn models(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let listed = async {
        let key = face.door.authenticate(&parts).await?;
        let data: Vec<Value> = face.calls.models(&key)?.iter().map(shown).collect();
        Ok(Json(json!({ "object": "list", "data": data })).into_response())
    };
    face.finish(&parts, listed.await)
}

/// `GET /v1/models/{model}`.
async fn model(State(face): State<Arc<OpenAi>>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = async {
        let key = face.door.authenticate(&parts).await?;
        let found = face.calls.models(&key)?.into_iter().find(|id| id.as_str() == name);
        let found = found.ok_or(steward_calls::Error::NoSuchModel(name))?;
        Ok(Json(shown(&found)).into_response())
    };
    face.finish(&parts, found.await)
}

fn shown(id: &ModelId) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "steward" })
}

impl OpenAi {
    /// What every answer of this face says, good or not.
    fn finish(&self, parts: &Parts, answered: Result<Response, Error>) -> Response {
        let arrival = Arrival::of(parts);
        let mut response = answered.unwrap_or_else(|error| refusal::refuse(&error, arrival));
        let took = self.clock.monotonic().saturating_sub(arrival.at);
        refusal::describe(response.headers_mut(), took);
        response
    }
}

/// The answer; `failed` says in a stream that it failed.
fn respond(reply: Reply, failed: fn(steward_calls::Error) -> Bytes) -> Response {
    let tenant = reply.summary.tenant.clone();
    let mut response = summary::respond(reply, failed);
    summary::set(response.headers_mut(), "openai-organization", &tenant);
    response
}

/// The last event of a chat's stream that failed.
fn failed(error: steward_calls::Error) -> Bytes {
    let mut event = BytesMut::new();
    OpenAiChat.put_event(&mut event, refusal::body(&error.into()).to_string().as_bytes());
    event.freeze()
}
