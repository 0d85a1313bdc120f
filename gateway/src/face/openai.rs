//! OpenAI's API: the calls of models in [`calls`], and `/v1/models`. Its shapes of refusals and headers stay here; those of
//! requests and answers are the dialects'.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::request::Parts;
use serde_json::{Value, json};
use steward_calls::dialect::{Dialect, naming};
use steward_calls::{Calls, Reply, Responses};
use steward_events::event::ModelSpec;
use steward_events::id::ModelId;
use steward_events::request::Format;
use steward_ports::clock::Clock;

use super::management::ManagementCaller;
use super::{Bundles, Face, HotRoute, Management, no_such_method, summary};
use crate::config::FileBounds;
use crate::door::Door;
use crate::error::Error;
use crate::observe::Arrival;

mod azure;
mod batches;
mod calls;
mod describe;
mod files;
mod kept_responses;
mod refusal;
mod responses;
mod upload;

pub(super) use azure::FACE as AZURE;
use calls::{CALLS, CHAT_COMPLETIONS, ModelCall, RESPONSES};

/// The face.
pub(super) const FACE: Face = Face { root: "/v1/", routes, hot, refuse: refusal::refuse, describe: describe::paths };

/// What its paths need.
struct OpenAi {
    door: Arc<Door>,
    calls: Arc<Calls>,
    responses: Arc<Responses>,
    management: Arc<Management>,
    files: FileBounds,
    clock: Arc<dyn Clock>,
}

fn state(Bundles { door, calls, responses, management, files, clock }: &Bundles) -> Arc<OpenAi> {
    Arc::new(OpenAi {
        door: Arc::clone(door),
        calls: Arc::clone(calls),
        responses: Arc::clone(responses),
        management: Arc::clone(management),
        files: *files,
        clock: Arc::clone(clock),
    })
}

fn hot(bundles: &Bundles) -> Vec<HotRoute> {
    let face = state(bundles);
    let handle = move |request| {
        let face = Arc::clone(&face);
        async move { face.call(&CHAT_COMPLETIONS, None, request).await }.boxed()
    };
    vec![HotRoute { path: "/v1/chat/completions", handle: Box::new(handle) }]
}

fn routes(bundles: &Bundles) -> Router {
    paths_below("/v1")
        .method_not_allowed_fallback(no_such_method(refusal::refuse_known_path))
        .with_state(state(bundles))
}

/// All paths, below `root`.
fn paths_below(root: &str) -> Router<Arc<OpenAi>> {
    let mut router = Router::new();
    // Responses may be kept, so they have a handler of their own.
    for call in CALLS.iter().filter(|call| call.path != RESPONSES.path) {
        let handle =
            async move |State(face): State<Arc<OpenAi>>, request: Request| face.call(call, None, request).await;
        router = router.route(&format!("{root}{}", call.path), post(handle));
    }
    router = router.route(&format!("{root}{}", RESPONSES.path), post(kept_responses::make));
    router = kept_responses::paths(router, root)
        .route(&format!("{root}/models"), get(models))
        .route(&format!("{root}/models/{{model}}"), get(model));
    router = router.merge(files::paths_below(root)).route(&format!("{root}/files"), post(upload::create));
    router.merge(batches::paths_below(root))
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
        let found = face.calls.models(&key)?.into_iter().find(|(id, _)| id.as_str() == name);
        let found = found.ok_or(steward_calls::Error::NoSuchModel(name))?;
        Ok(Json(shown(&found)).into_response())
    };
    face.finish(&parts, found.await)
}

/// OpenAI's four fields, and beside them what is known of the model, under the names that others use for it.
fn shown((id, spec): &(ModelId, ModelSpec)) -> Value {
    let ModelSpec { context_max, output_max, operations, features, ends, tokenizer: _ } = spec;
    let mut shown = json!({
        "id": id, "object": "model", "created": 0, "owned_by": "steward",
        "context_length": context_max, "max_output_tokens": output_max,
    });
    if !operations.is_empty() {
        shown["operations"] = json!(operations);
    }
    if !features.is_empty() {
        shown["features"] = json!(features);
    }
    if let Some(ends) = ends {
        shown["deprecation_date"] = json!(ends);
    }
    shown
}

/// The fields of the query in a URL.
fn fields(parts: &Parts) -> Result<Vec<(String, String)>, Error> {
    let read = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(fields) = read.map_err(|error| Error::bad("query", error.to_string()))?;
    Ok(fields)
}

/// How many rows a page of a list has: `said`, or `usual` if nothing is said.
fn page_rows(said: Option<&str>, usual: u32, most: u32) -> Result<u32, Error> {
    let Some(said) = said else { return Ok(usual) };
    let number = said.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Error::bad("limit", format!("must be a number from 1 to {most}")))
}

/// A page as OpenAI's lists are.
fn page(data: &[Value], has_more: bool) -> Value {
    let id = |row: Option<&Value>| row.map_or(Value::Null, |row| row["id"].clone());
    let (first, last) = (id(data.first()), id(data.last()));
    json!({ "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more })
}

impl OpenAi {
    /// The one who sends this, for what is recorded of its tenant.
    async fn caller<'a>(&'a self, parts: &'a Parts) -> Result<ManagementCaller<'a>, Error> {
        let key = self.door.authenticate(parts).await?;
        let (tenant, format) = (key.holder.tenant.clone(), Format::MessagePack);
        Ok(ManagementCaller { management: &self.management, parts, key, tenant, format })
    }

    /// Calls a model: the one that the path names, if it does, else the one that the body names.
    async fn call(&self, call: &ModelCall, model: Option<&str>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let replied = async {
            let mut accepted = self.door.accept(&parts, body).await?;
            if let Some(model) = model {
                accepted.body = naming(&accepted.body, model)?;
            }
            Ok(respond(self.calls.make(call.dialect, accepted).await?, call))
        };
        self.finish(&parts, replied.await)
    }

    /// What every answer of this face says, good or not.
    fn finish(&self, parts: &Parts, answered: Result<Response, Error>) -> Response {
        let arrival = Arrival::of(parts);
        let mut response = answered.unwrap_or_else(|error| refusal::refuse(&error, arrival));
        let took = self.clock.monotonic().saturating_sub(arrival.at);
        refusal::describe(response.headers_mut(), took);
        response
    }
}

fn respond(reply: Reply, &ModelCall { dialect, failure, .. }: &ModelCall) -> Response {
    let tenant = reply.summary.tenant.clone();
    let mut response = summary::respond(reply, move |error| failed(dialect, &failure(&refusal::body(&error.into()))));
    summary::set(response.headers_mut(), const { summary::named("openai-organization") }, &tenant);
    response
}

/// The last event of a stream that failed.
fn failed(dialect: &dyn Dialect, says: &Value) -> Bytes {
    let mut event = BytesMut::new();
    dialect.put_event(&mut event, says.to_string().as_bytes());
    event.freeze()
}
