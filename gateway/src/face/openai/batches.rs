//! Batches: the model calls in a file, made within a day. The workers make them, one by one, through the paths of this face;
//! no provider's own batches are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use steward_events::command::{CancelBatch, SubmitBatch};
use steward_events::event::{BatchMetadata, BatchProblem, FilePurpose};
use steward_events::id::BatchId;
use steward_events::permission::Permission;
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::sealed::Content;
use steward_events::timestamp::Timestamp;
use steward_queries::{BatchPage, BatchQuery, BatchRow, BatchState, FileRow, ListBatches};

use super::files::{find, seconds};
use super::upload::kept_for;
use super::{OpenAi, fields, page, page_rows};
use crate::error::Error;
use crate::face::management::{ManagementCaller, ask, decide};

/// The one span that a batch has for its lines.
const WINDOW: &str = "24h";

/// How many rows a page has if the caller does not say, and the most.
const PAGE_ROWS: (u32, u32) = (20, 100);

/// What a caller sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    output_expires_after: Option<ExpiresAfter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: u64,
}

/// The paths of batches, below `root`.
pub(super) fn paths_below(root: &str) -> Router<Arc<OpenAi>> {
    Router::new()
        .route(&format!("{root}/batches"), get(list).post(create))
        .route(&format!("{root}/batches/{{batch}}"), get(show))
        .route(&format!("{root}/batches/{{batch}}/cancel"), post(cancel))
}

/// `POST /v1/batches`.
async fn create(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let made = async {
        let caller = face.caller(&parts).await?;
        // Before anything is said of the request.
        face.management.access.may(&caller.key, &submitting()).await?;
        let (body, _memory) = face.door.read(&parts.headers, body, &caller.key).await?;
        let submit = submit(&face, &caller, read(&body)?).await?;
        let reply = decide(&caller, submit).await?;
        let batch = reply.answer["batch"].as_str().unwrap_or_default().to_owned();
        shown_at(&caller, &batch, Some(reply.position)).await
    };
    face.finish(&parts, made.await)
}

fn submitting() -> Permission {
    // A row of the table of commands.
    #[allow(clippy::expect_used)]
    Permission::new("batch", "submit").expect("two tokens")
}

fn read(body: &[u8]) -> Result<Asked, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is no batch: {error}; send input_file_id, endpoint and completion_window");
        steward_calls::Error::BadRequest { param: None, message }.into()
    })
}

/// What is asked, as a command. What a batch needs later, its caller holds already: it would fail a day later else.
async fn submit(face: &OpenAi, caller: &ManagementCaller<'_>, asked: Asked) -> Result<SubmitBatch, Error> {
    let endpoint = asked.endpoint.parse().map_err(|error| Error::bad("endpoint", format!("{error}")))?;
    if asked.completion_window != WINDOW {
        return Err(Error::bad("completion_window", format!("must be {WINDOW}")));
    }
    let output_kept_s = match asked.output_expires_after {
        None => None,
        Some(after) if after.anchor != "created_at" => {
            return Err(Error::bad("output_expires_after.anchor", "must be created_at"));
        }
        Some(after) => Some(kept_for("output_expires_after.seconds", Some(after.seconds))?.as_secs()),
    };
    let metadata = match asked.metadata.filter(|metadata| !metadata.is_empty()) {
        None => None,
        Some(notes) => {
            let metadata = BatchMetadata::new(notes).map_err(|error| Error::bad("metadata", error.to_string()))?;
            Some(Content::Plain(metadata))
        }
    };
    let access = &face.management.access;
    access.may_call_something(&caller.key).await?;
    access.may(&caller.key, &Permission::file_create()).await?;
    let FileRow { file, purpose, .. } = find(caller, &asked.input_file_id).await?;
    if purpose != FilePurpose::Batch {
        let message = format!("{file} is for {purpose}: keep the calls as a file with the purpose batch");
        return Err(Error::bad("input_file_id", message));
    }
    let scope = Some(caller.key.place());
    Ok(SubmitBatch { batch: None, endpoint, input_file: file, scope, metadata, output_kept_s })
}

/// `GET /v1/batches`.
async fn list(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let listed = async {
        let caller = face.caller(&parts).await?;
        let fields = fields(&parts)?;
        let said = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let limit = Some(page_rows(said("limit"), PAGE_ROWS.0, PAGE_ROWS.1)?);
        let wanted = ListBatches { limit, after: said("after").map(str::to_owned), ..ListBatches::default() };
        let found: BatchPage = ask(&caller, ("batch", "list"), &wanted).await?;
        let rows: Vec<Value> = found.rows.iter().map(shown).collect();
        Ok(Json(page(&rows, found.next.is_some())).into_response())
    };
    face.finish(&parts, listed.await)
}

/// `GET /v1/batches/{batch}`.
async fn show(State(face): State<Arc<OpenAi>>, Path(batch): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = async { shown_at(&face.caller(&parts).await?, &batch, None).await };
    face.finish(&parts, found.await)
}

/// `POST /v1/batches/{batch}/cancel`.
async fn cancel(State(face): State<Arc<OpenAi>>, Path(batch): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let cancelled = async { cancelled(&face, &parts, &batch).await };
    face.finish(&parts, cancelled.await)
}

async fn cancelled(face: &OpenAi, parts: &Parts, batch: &str) -> Result<Response, Error> {
    let caller = face.caller(parts).await?;
    let BatchRow { batch, .. } = found(&caller, batch, None).await?;
    let reason = "asked for by its owner".to_owned();
    let reply = decide(&caller, CancelBatch { batch: batch.clone(), reason }).await?;
    shown_at(&caller, batch.as_str(), Some(reply.position)).await
}

async fn shown_at(
    caller: &ManagementCaller<'_>,
    batch: &str,
    min_position: Option<Position>,
) -> Result<Response, Error> {
    Ok(Json(shown(&found(caller, batch, min_position).await?)).into_response())
}

/// The batch that a request names. What is no id is as one that is not there.
async fn found(caller: &ManagementCaller<'_>, batch: &str, min_position: Option<Position>) -> Result<BatchRow, Error> {
    let shown: String = batch.chars().take(80).collect();
    let batch: BatchId = batch.parse().map_err(|_| Rejection::not_found("batch", &shown))?;
    ask(caller, ("batch", "show"), &BatchQuery { batch, min_position }).await
}

/// A batch as OpenAI's API shows it.
fn shown(row: &BatchRow) -> Value {
    let ended = |state: BatchState| (row.state == state).then_some(row.ended_at).flatten().map(seconds);
    let at = |moment: Option<Timestamp>| moment.map(seconds);
    let errors = (!row.problems.is_empty())
        .then(|| json!({ "object": "list", "data": row.problems.iter().map(problem).collect::<Vec<_>>() }));
    json!({
        "id": row.batch,
        "object": "batch",
        "endpoint": row.endpoint,
        "errors": errors,
        "input_file_id": row.input_file,
        "completion_window": WINDOW,
        "status": row.state,
        "output_file_id": row.output_file,
        "error_file_id": row.error_file,
        "created_at": seconds(row.submitted_at),
        "in_progress_at": at(row.started_at),
        "expires_at": seconds(row.expires),
        "finalizing_at": at(row.finalizing_at),
        "completed_at": ended(BatchState::Completed),
        "failed_at": ended(BatchState::Failed),
        "expired_at": ended(BatchState::Expired),
        "cancelling_at": at(row.cancelling_at),
        "cancelled_at": ended(BatchState::Cancelled),
        "request_counts": {
            "total": row.lines, "completed": row.counts.completed, "failed": row.counts.failed,
        },
        "metadata": (!row.metadata.is_empty()).then_some(&row.metadata),
    })
}

fn problem(BatchProblem { code, message, line }: &BatchProblem) -> Value {
    json!({ "code": code, "message": message, "param": null, "line": line })
}
