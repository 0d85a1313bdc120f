//! The OpenAI-compatible face: `/v1/chat/completions`, `/v1/models`. Foreign shapes stay here.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use steward_aggregates::authority::Context;
use steward_events::id::{CorrelationId, ModelId};
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::auth::{Known, bearer};
use crate::call::{self, Caller};
use crate::error::Error;
use crate::gateway::Edge;
use crate::server::{Peer, RequestId, read_body};

mod answer;
#[cfg(test)]
mod any_json;
mod chunk;
mod fields;
mod generated;
mod request;
mod size;
mod usage;

pub(crate) use answer::WholeAnswer;
pub(crate) use chunk::Chunk;
pub(crate) use fields::Fields;
pub(crate) use request::{ChatRequest, LimitField};

/// `POST /v1/chat/completions`.
pub(crate) async fn chat_completions(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    chat(edge, parts, body).await.unwrap_or_else(|error| error.openai())
}

async fn chat(edge: Arc<Edge>, parts: Parts, body: Body) -> Result<Response, Error> {
    let began = edge.clock.monotonic();
    let known = known(&edge, &parts).await?;
    let place = edge.limits.enter(&known.holder.key)?;
    let mut room = edge.limits.room(&known.holder.key);
    let body = read_body(&edge, body, &mut room).await?;
    // After the body: a client that still sends might not see the answer.
    (edge.room.calls)().map_err(Error::Unavailable)?;
    let gone = CancellationToken::new();
    let caller = Caller { known, request: request_id(&parts), began, _place: place, _room: room, gone: gone.clone() };
    // In a task of its own: when the client breaks off, this future is dropped, but what was started at the provider
    // must still be recorded. The guard tells it.
    let guard = gone.drop_guard();
    let running = call::run(Arc::clone(&edge), caller, body).in_current_span();
    let answered = edge.calls.spawn(running).await;
    guard.disarm();
    answered.unwrap_or_else(|error| Err(Error::Unanswered(format!("the call was lost: {error}"))))
}

/// `GET /v1/models`: what this key may call, and nothing else.
pub(crate) async fn models(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match known(&edge, &parts).await {
        Ok(known) => {
            let data: Vec<Value> = callable(&edge, &known).iter().map(shown).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
        Err(error) => error.openai(),
    }
}

/// `GET /v1/models/{model}`.
pub(crate) async fn model(State(edge): State<Arc<Edge>>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = known(&edge, &parts).await.and_then(|known| {
        callable(&edge, &known).into_iter().find(|id| id.as_str() == name).ok_or(Error::NoSuchModel(name))
    });
    found.map_or_else(|error| error.openai(), |id| (StatusCode::OK, Json(shown(&id))).into_response())
}

fn shown(id: &ModelId) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "steward" })
}

fn callable(edge: &Edge, Known { holder, .. }: &Known) -> Vec<ModelId> {
    let mut models: Vec<ModelId> = edge.catalogs.read().models(&holder.tenant).into_keys().cloned().collect();
    models.retain(|model| {
        let context = Context { model: Some(model.clone()), cost: Some(NanoDollars(0)) };
        let (permission, scope) = (Permission::model_invoke(), holder.scope.clone());
        edge.keys.authorise(holder, &holder.tenant, permission, scope, context).is_ok()
    });
    models
}

/// Who calls, if their key is good.
pub(crate) async fn known(edge: &Edge, parts: &Parts) -> Result<Known, Error> {
    let peer = parts.extensions.get::<Peer>().map(|Peer(ip)| *ip);
    edge.keys.find(bearer(&parts.headers)?, peer).await
}

/// The id that the middleware gave.
pub(crate) fn request_id(parts: &Parts) -> CorrelationId {
    // The middleware stands before every route.
    #[allow(clippy::expect_used)]
    parts.extensions.get::<RequestId>().expect("every request has its id").0.clone()
}
