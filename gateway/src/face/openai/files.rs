//! Files: what callers keep here for a while. Which there are is recorded; what they hold lies beside the log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::{StreamExt, stream};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use steward_events::command::RemoveFile;
use steward_events::id::FileId;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_queries::{FilePage, FileQuery, FileRow, ListFiles, Order};

use super::{OpenAi, fields, page, page_rows};
use crate::error::Error;
use crate::face::management::{ManagementCaller, ask, decide};
use crate::observe::Arrival;

/// How many rows a page has, and the most.
const PAGE_ROWS: u32 = 1_000;

/// The paths of files, below `root`, but for that which takes one in.
pub(super) fn paths_below(root: &str) -> Router<Arc<OpenAi>> {
    Router::new()
        .route(&format!("{root}/files"), get(list))
        .route(&format!("{root}/files/{{file}}"), get(show).delete(remove))
        .route(&format!("{root}/files/{{file}}/content"), get(content))
}

/// `GET /v1/files`.
async fn list(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let listed = async {
        let caller = face.caller(&parts).await?;
        let found: FilePage = ask(&caller, ("file", "list"), &wanted(fields(&parts)?)?).await?;
        let rows: Vec<Value> = found.rows.iter().map(shown).collect();
        Ok(Json(page(&rows, found.next.is_some())).into_response())
    };
    face.finish(&parts, listed.await)
}

fn wanted(fields: Vec<(String, String)>) -> Result<ListFiles, Error> {
    let mut wanted = ListFiles { limit: Some(PAGE_ROWS), ..ListFiles::default() };
    for (name, value) in fields {
        match name.as_str() {
            // The official clients' own bound is higher; a page of ours says that there is more.
            "limit" => wanted.limit = Some(page_rows(Some(&value), PAGE_ROWS, 10_000)?.min(PAGE_ROWS)),
            "after" => wanted.after = Some(value),
            "purpose" => {
                let purpose = value.parse();
                wanted.purpose = Some(purpose.map_err(|error| Error::bad("purpose", format!("{error}")))?);
            }
            "order" => {
                wanted.order = Some(match value.as_str() {
                    "asc" => Order::Asc,
                    "desc" => Order::Desc,
                    _ => return Err(Error::bad("order", "must be asc or desc")),
                });
            }
            _ => {}
        }
    }
    Ok(wanted)
}

/// `GET /v1/files/{file}`.
async fn show(State(face): State<Arc<OpenAi>>, Path(file): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = async {
        let caller = face.caller(&parts).await?;
        Ok(Json(shown(&find(&caller, &file).await?)).into_response())
    };
    face.finish(&parts, found.await)
}

/// `GET /v1/files/{file}/content`.
async fn content(State(face): State<Arc<OpenAi>>, Path(file): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let read = async {
        let caller = face.caller(&parts).await?;
        let FileRow { file, bytes, .. } = find(&caller, &file).await?;
        let key = &caller.key;
        let files = face.calls.files().of(&key.holder.tenant, key.shard, &Arrival::of(&parts).id).await?;
        let first = files.part(&file, 0).await?.ok_or_else(|| Rejection::not_found("file", &file))?;
        let rest = files.rest(file, bytes);
        let mut response = Response::new(Body::from_stream(stream::iter([Ok(first)]).chain(rest)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        Ok(response)
    };
    face.finish(&parts, read.await)
}

/// `DELETE /v1/files/{file}`.
async fn remove(State(face): State<Arc<OpenAi>>, Path(file): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let removed = async {
        let caller = face.caller(&parts).await?;
        let FileRow { file, scope, .. } = find(&caller, &file).await?;
        let reply = decide(&caller, RemoveFile { file: file.clone(), scope: Some(scope) }).await?;
        // Whoever looks next finds it gone.
        let query = FileQuery { file: file.clone(), min_position: Some(reply.position) };
        _ = ask::<FileRow>(&caller, ("file", "show"), &query).await;
        Ok(Json(json!({ "id": file, "object": "file", "deleted": true })).into_response())
    };
    face.finish(&parts, removed.await)
}

/// The file that a request names. What is no id is as one that is not there.
pub(super) async fn find(caller: &ManagementCaller<'_>, file: &str) -> Result<FileRow, Error> {
    let shown: String = file.chars().take(80).collect();
    let file: FileId = file.parse().map_err(|_| Rejection::not_found("file", &shown))?;
    ask(caller, ("file", "show"), &FileQuery { file, min_position: None }).await
}

/// A file as OpenAI's API shows it.
pub(super) fn shown(row: &FileRow) -> Value {
    let FileRow { file, name, purpose, bytes, kept_at, expires, .. } = row;
    json!({
        "id": file,
        "object": "file",
        "bytes": bytes,
        "created_at": seconds(*kept_at),
        "expires_at": seconds(*expires),
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": null,
    })
}

/// Whole seconds since 1970.
pub(super) const fn seconds(at: Timestamp) -> u64 {
    at.0 / 1_000_000
}
