//! The gateway as a batch uses it: its file is read, its lines are called, and what came of them is kept there.
//!
//! Knows HTTP and what the gateway's answers mean for a line. Must not know batches.

use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use steward_answers::problem::Problem;
use steward_events::BoxError;
use steward_events::event::BatchEndpoint;
use steward_events::id::FileId;

use super::outcome::Outcome;
use crate::step::model::{self, Later};

/// The longest that the gateway may take for a file.
const FILE_TIME_MAX: Duration = Duration::from_mins(10);

/// One line's call.
pub(crate) struct LineCall<'a> {
    pub(crate) secret: &'a str,
    /// The same for each attempt at one line, by any worker: the gateway makes it once.
    pub(crate) idempotency_key: String,
    pub(crate) endpoint: BatchEndpoint,
    pub(crate) body: Bytes,
    /// How long the gateway may take. What it answers later is had by the next attempt.
    pub(crate) time_max: Duration,
}

/// What came of one attempt at a line.
pub(crate) enum Attempt {
    /// This is what came of it.
    Over(Outcome),
    /// It may go better later. What was said, if nothing better comes.
    Later(Later, Option<Outcome>),
    /// The gateway, or what is allowed, has no room now: it goes better later, however long that takes.
    NoRoom(Later),
    /// Nothing is called in the tenant now.
    Suspended,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It will not be there.
    #[error("{0}")]
    Refused(String),
    /// It may be there later.
    #[error("{0}")]
    Later(String),
}

/// A connection to the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    client: Client,
    root: String,
}

/// A file that was kept.
#[derive(Deserialize)]
struct Kept {
    id: FileId,
}

impl Gateway {
    /// The one at `url`. The process must have installed a rustls provider.
    ///
    /// # Errors
    /// If `url` is none, or the HTTP client cannot be made.
    pub(crate) fn new(url: &str) -> Result<Self, BoxError> {
        let root = url.trim_end_matches('/').to_owned();
        reqwest::Url::parse(&root)?;
        Ok(Self { client: model::client()?, root })
    }

    /// Makes one attempt at a line.
    pub(crate) async fn call(&self, call: &LineCall<'_>) -> Attempt {
        let request = self
            .client
            .post(format!("{}{}", self.root, call.endpoint))
            .bearer_auth(call.secret)
            .header("idempotency-key", &call.idempotency_key)
            .header("content-type", "application/json")
            .timeout(call.time_max)
            .body(call.body.clone());
        let answered = async {
            let response = request.send().await.map_err(|error| model::chain(&error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = model::read(response).await.map_err(|unread| unread.to_string())?;
            Ok::<_, String>((status, headers, body))
        };
        match answered.await {
            Ok((status, headers, body)) => understand(status, &headers, body),
            Err(reason) => Attempt::Later(Later { reason, after: None }, None),
        }
    }

    /// What `file` holds, at most `bytes_max`.
    pub(crate) async fn read(&self, secret: &str, file: &FileId, bytes_max: usize) -> Result<Bytes, FileError> {
        let request = self.client.get(format!("{}/v1/files/{file}/content", self.root)).bearer_auth(secret);
        let response = self.file(request).await?;
        let later = |error: reqwest::Error| FileError::Later(model::chain(&error));
        let (mut response, mut whole) = (response, Vec::new());
        while let Some(piece) = response.chunk().await.map_err(later)? {
            if whole.len() + piece.len() > bytes_max {
                return Err(FileError::Refused(format!("the input file has more than {bytes_max} bytes")));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// Keeps what a batch made, for so many seconds.
    pub(crate) async fn keep(
        &self,
        secret: &str,
        (name, bytes): (String, Bytes),
        kept_s: Option<u64>,
    ) -> Result<FileId, FileError> {
        let refused = |error: reqwest::Error| FileError::Refused(model::chain(&error));
        let mut form = Form::new().text("purpose", "batch_output");
        if let Some(kept_s) = kept_s {
            form = form.text("expires_after[anchor]", "created_at").text("expires_after[seconds]", kept_s.to_string());
        }
        let length = bytes.len() as u64;
        let part = Part::stream_with_length(bytes, length).file_name(name).mime_str("application/jsonl");
        let form = form.part("file", part.map_err(refused)?);
        let request = self.client.post(format!("{}/v1/files", self.root)).bearer_auth(secret).multipart(form);
        let body =
            model::read(self.file(request).await?).await.map_err(|unread| FileError::Later(unread.to_string()))?;
        let kept: Kept = serde_json::from_slice(&body).map_err(|error| FileError::Later(error.to_string()))?;
        Ok(kept.id)
    }

    async fn file(&self, request: reqwest::RequestBuilder) -> Result<Response, FileError> {
        let sent = request.timeout(FILE_TIME_MAX).send().await;
        let response = sent.map_err(|error| FileError::Later(model::chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = model::read(response).await.unwrap_or_default();
        let reason = Problem::of_refusal(&body).message.unwrap_or_else(|| format!("status {status}"));
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        Err(if passes { FileError::Later(reason) } else { FileError::Refused(reason) })
    }
}

/// What an answer means for its line: the gateway's own words decide, then the status.
fn understand(status: StatusCode, headers: &reqwest::header::HeaderMap, body: Vec<u8>) -> Attempt {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = if status.is_success() { None } else { Problem::of_refusal(&body).code };
    let later = || Later { reason: format!("status {status}"), after: model::retry_after(headers) };
    let outcome = outcome(status, said("x-request-id").unwrap_or_default(), body);
    match (code.as_deref(), status.as_u16()) {
        (Some("tenant_suspended"), _) => Attempt::Suspended,
        // Only a new window of a budget helps, or somebody who sets another one.
        (Some("insufficient_quota"), _) => Attempt::Over(outcome),
        // Until answers that are kept end.
        (Some("kept_bytes_exceeded"), _) => Attempt::NoRoom(later()),
        (Some("idempotency_in_progress"), _) => Attempt::Later(later(), Some(outcome)),
        // It may be billed, or cannot help.
        _ if said("x-should-retry") == Some("false") => Attempt::Over(outcome),
        (_, 429) => Attempt::NoRoom(later()),
        (_, 408 | 425 | 500..=599) => Attempt::Later(later(), Some(outcome)),
        _ => Attempt::Over(outcome),
    }
}

fn outcome(status: StatusCode, request_id: &str, body: Vec<u8>) -> Outcome {
    let body = String::from_utf8(body).ok().and_then(|body| RawValue::from_string(body).ok());
    match body {
        Some(body) => Outcome::Said { status: status.as_u16(), request_id: request_id.to_owned(), body },
        None => Outcome::Failed { code: "invalid_answer", message: format!("status {status}, and no JSON") },
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn attempt(status: u16, code: &str, headers: &[(&'static str, &str)]) -> &'static str {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let body = format!(r#"{{"error":{{"message":"no","code":"{code}"}}}}"#);
        match understand(StatusCode::from_u16(status).unwrap(), &headers, body.into_bytes()) {
            Attempt::Over(outcome) if outcome.is_good() => "answered",
            Attempt::Over(_) => "failed",
            Attempt::Later(_, Some(_)) => "later",
            Attempt::Later(_, None) => "unheard",
            Attempt::NoRoom(_) => "no room",
            Attempt::Suspended => "suspended",
        }
    }

    #[test]
    fn each_answer_means_one_thing_for_its_line() {
        for (status, code, expected) in [
            (200, "", "answered"),
            (400, "invalid_value", "failed"),
            (402, "insufficient_quota", "failed"),
            (429, "insufficient_quota", "failed"),
            (403, "permission_denied", "failed"),
            (403, "tenant_suspended", "suspended"),
            (404, "model_not_found", "failed"),
            (409, "idempotency_in_progress", "later"),
            (429, "rate_limit_exceeded", "no room"),
            (429, "kept_bytes_exceeded", "no room"),
            (502, "upstream_failed", "later"),
            (503, "service_unavailable", "later"),
        ] {
            assert_eq!(attempt(status, code, &[]), expected, "{status} {code}");
        }
        assert_eq!(attempt(504, "unanswered", &[("x-should-retry", "false")]), "failed", "it may have been billed");
    }
}
