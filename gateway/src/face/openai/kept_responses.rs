//! Responses: made, and where they are kept here shown, listed, stopped and forgotten.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::json;
use steward_calls::dialect::Dialect;
use steward_calls::dialect::openai_responses::OpenAiResponses;
use steward_calls::{OfResponse, PageOf, Responded, Responses};
use steward_events::id::CorrelationId;

use super::calls::RESPONSES;
use super::{OpenAi, page, page_rows, respond};
use crate::error::Error;
use crate::observe::Arrival;

/// The paths of responses that are kept, below `root`.
pub(super) fn paths(router: Router<Arc<OpenAi>>, root: &str) -> Router<Arc<OpenAi>> {
    router
        .route(&format!("{root}/responses/input_tokens"), post(input_tokens))
        .route(&format!("{root}/responses/{{response}}"), get(show).delete(forget))
        .route(&format!("{root}/responses/{{response}}/cancel"), post(cancel))
        .route(&format!("{root}/responses/{{response}}/input_items"), get(input_items))
}

/// `POST /v1/responses`.
pub(super) async fn make(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let replied = async {
        let accepted = face.door.accept(&parts, body).await?;
        Ok(match face.responses.make(accepted).await? {
            Responded::Made(reply) => respond(reply, &RESPONSES),
            Responded::Underway(shown) => json_body(shown),
        })
    };
    face.finish(&parts, replied.await)
}

/// `POST /v1/responses/input_tokens`: exact as far as the model's vocabulary is known here, else an estimate. Nothing is called.
async fn input_tokens(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let counted = async {
        let accepted = face.door.accept(&parts, body).await?;
        let request = OpenAiResponses.read(&accepted.body).map_err(steward_calls::Error::from)?;
        if let Some(field) = OpenAiResponses.builds_on(&request) {
            return Err(Error::bad(field, "names what was said before: send that too, to have it counted"));
        }
        let tokens = face.calls.count_tokens(&accepted.key, &request.into()).await?;
        Ok(axum::Json(json!({ "object": "response.input_tokens", "input_tokens": tokens })).into_response())
    };
    face.finish(&parts, counted.await)
}

/// `GET /v1/responses/{response}`.
async fn show(State(face): State<Arc<OpenAi>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let shown = face.of_kept(&parts, &id, async |all, of| all.show(of).await.map(json_body)).await;
    face.finish(&parts, shown)
}

/// `DELETE /v1/responses/{response}`.
async fn forget(State(face): State<Arc<OpenAi>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let forgotten = face.of_kept(&parts, &id, async |all, of| {
        all.forget(of).await?;
        Ok(axum::Json(json!({ "id": of.id, "object": "response", "deleted": true })).into_response())
    });
    let forgotten = forgotten.await;
    face.finish(&parts, forgotten)
}

/// `POST /v1/responses/{response}/cancel`.
async fn cancel(State(face): State<Arc<OpenAi>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let stopped = face.of_kept(&parts, &id, async |all, of| all.cancel(of).await.map(json_body)).await;
    face.finish(&parts, stopped)
}

/// What a list is asked for.
#[derive(Deserialize)]
struct Asked {
    limit: Option<String>,
    after: Option<String>,
    order: Option<String>,
}

/// `GET /v1/responses/{response}/input_items`.
async fn input_items(State(face): State<Arc<OpenAi>>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let listed = async {
        let asked = Query::<Asked>::try_from_uri(&parts.uri);
        let Query(Asked { limit, after, order }) = asked.map_err(|error| Error::bad("limit", error.to_string()))?;
        let ascending = match order.as_deref() {
            Some("asc") => true,
            None | Some("desc") => false,
            Some(_) => return Err(Error::bad("order", "must be asc or desc")),
        };
        let limit = page_rows(limit.as_deref(), 20, 100)? as usize;
        let asked = PageOf { limit, after, ascending };
        let list = async |all: &Responses, of: OfResponse<'_>| {
            let (items, has_more) = all.input(of, asked).await?;
            Ok(axum::Json(page(&items, has_more)).into_response())
        };
        face.of_kept(&parts, &id, list).await
    };
    let listed = listed.await;
    face.finish(&parts, listed)
}

impl OpenAi {
    /// What `of` makes of a response of this id, for whoever asks.
    async fn of_kept(
        &self,
        parts: &Parts,
        id: &str,
        of: impl AsyncFnOnce(&Responses, OfResponse<'_>) -> Result<Response, steward_calls::Error>,
    ) -> Result<Response, Error> {
        let key = self.door.authenticate(parts).await?;
        let request: CorrelationId = Arrival::of(parts).id.clone();
        Ok(of(&self.responses, OfResponse { key: &key, id, request: &request }).await?)
    }
}

fn json_body(body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
