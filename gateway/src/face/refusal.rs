//! What a refusal means in HTTP, whatever the face: one table of statuses, codes, and whether to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use steward_events::event::DenialKind;
use steward_events::rejection::Rejection;

use crate::error::{CODINGS_TAKEN, Error};
use crate::observe::Denied;

/// How long a client is asked to wait when the cause says nothing about it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One row of the table.
pub(super) struct RefusalRow {
    pub(super) status: StatusCode,
    /// What clients match on.
    pub(super) code: String,
    /// The field that is wrong, if it is one.
    pub(super) param: Option<String>,
    retry_after: Option<Duration>,
    /// Whether clients that try again by themselves may: not if it may have been billed, or cannot help.
    again: bool,
}

fn row(status: StatusCode, code: &str) -> RefusalRow {
    let again = matches!(status.as_u16(), 408 | 409 | 429 | 500..);
    RefusalRow { status, code: code.to_owned(), param: None, retry_after: None, again }
}

impl RefusalRow {
    /// The table.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NoKey => row(StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Error::TooManyWrongKeys => Self {
                retry_after: Some(Duration::from_mins(1)),
                ..row(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
            },
            Error::TooLarge(_) => row(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Error::UnknownCoding(_) => row(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding"),
            Error::TooSlow => row(StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Error::NoSuchPath(_) => row(StatusCode::NOT_FOUND, "unknown_url"),
            Error::NoSuchMethod(_) => row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Error::Decided(rejection) => rejected(rejection),
            Error::Call(error) => of_call(error),
        }
    }
}

/// What is to be noted of `error`; none if it is no denial, or is on record already.
fn denied(error: &Error) -> Option<Denied> {
    use steward_calls::Error as Call;
    let kind = match error {
        Error::NoKey | Error::Call(Call::WrongKey) => DenialKind::WrongKey,
        Error::TooManyWrongKeys | Error::Call(Call::Busy { .. } | Call::KeepsTooMuch { .. }) => DenialKind::TooMuch,
        Error::NoSuchPath(_) | Error::Call(Call::NoSuchModel(_)) => DenialKind::NotFound,
        Error::Call(Call::Rejected(rejection)) => DenialKind::of(rejection)?,
        _ => return None,
    };
    let (permission, scope) = match error {
        Error::Call(Call::Rejected(Rejection::Forbidden { permission, scope, .. })) => {
            (Some(permission.clone()), Some(scope.clone()))
        }
        _ => (None, None),
    };
    Some(Denied { kind, permission, scope, reason: error.to_string() })
}

fn of_call(error: &steward_calls::Error) -> RefusalRow {
    use steward_calls::Error;
    let model = || Some("model".to_owned());
    match error {
        Error::WrongKey => row(StatusCode::UNAUTHORIZED, "invalid_api_key"),
        Error::Rejected(rejection) => rejected(rejection),
        Error::BadRequest { param, .. } => {
            RefusalRow { param: param.clone(), ..row(StatusCode::BAD_REQUEST, "invalid_value") }
        }
        Error::NoSuchModel(_) => RefusalRow { param: model(), ..row(StatusCode::NOT_FOUND, "model_not_found") },
        Error::NoSuchResponse(_) => row(StatusCode::NOT_FOUND, "not_found"),
        Error::NoPrice(_) => RefusalRow { param: model(), ..row(StatusCode::BAD_REQUEST, "model_has_no_price") },
        Error::KeepsTooMuch { .. } => {
            RefusalRow { again: false, ..row(StatusCode::TOO_MANY_REQUESTS, "kept_bytes_exceeded") }
        }
        Error::Busy { retry_after, .. } => {
            RefusalRow { retry_after: Some(*retry_after), ..row(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded") }
        }
        Error::IdempotencyKeyReused => RefusalRow {
            param: Some("Idempotency-Key".to_owned()),
            ..row(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
        },
        Error::OutcomeUnknown { .. } => {
            RefusalRow { again: false, ..row(StatusCode::CONFLICT, "idempotency_outcome_unknown") }
        }
        Error::StillRunning => {
            RefusalRow { retry_after: Some(RETRY_AFTER), ..row(StatusCode::CONFLICT, "idempotency_in_progress") }
        }
        Error::Unavailable(_) => {
            RefusalRow { retry_after: Some(RETRY_AFTER), ..row(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable") }
        }
        Error::Unanswered(_) => RefusalRow { again: false, ..row(StatusCode::GATEWAY_TIMEOUT, "unanswered") },
        Error::UpstreamRefused { status, code, param, .. } => {
            RefusalRow { param: param.clone(), ..row(*status, code.as_deref().unwrap_or("upstream_refused")) }
        }
        Error::UpstreamFailed(_) => row(StatusCode::BAD_GATEWAY, "upstream_failed"),
        Error::UpstreamOutOfCredit(_) => {
            RefusalRow { again: false, ..row(StatusCode::BAD_GATEWAY, "upstream_out_of_credit") }
        }
        Error::UpstreamTimedOut(_) => {
            RefusalRow { again: false, ..row(StatusCode::GATEWAY_TIMEOUT, "upstream_timed_out") }
        }
        Error::UpstreamBroke(_) => RefusalRow { again: false, ..row(StatusCode::BAD_GATEWAY, "upstream_broke_off") },
    }
}

fn rejected(rejection: &Rejection) -> RefusalRow {
    let code = rejection.code();
    match rejection {
        Rejection::Forbidden { .. } => row(StatusCode::FORBIDDEN, "permission_denied"),
        Rejection::QuotaExceeded { .. } => row(StatusCode::FORBIDDEN, code),
        Rejection::Suspended { .. } => row(StatusCode::FORBIDDEN, "tenant_suspended"),
        Rejection::UnknownTenant { .. } | Rejection::NotFound { .. } => row(StatusCode::NOT_FOUND, code),
        Rejection::AlreadyExists { .. } | Rejection::Stale { .. } | Rejection::Expired => {
            row(StatusCode::CONFLICT, code)
        }
        Rejection::Reused { .. } => RefusalRow {
            param: Some("Idempotency-Key".to_owned()),
            ..row(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
        },
        Rejection::Invalid { field, .. } => {
            RefusalRow { param: Some(field.clone()), ..row(StatusCode::BAD_REQUEST, "invalid_value") }
        }
        Rejection::Busy { .. } => {
            RefusalRow { retry_after: Some(RETRY_AFTER), ..row(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded") }
        }
        Rejection::BudgetExhausted { .. } => row(StatusCode::PAYMENT_REQUIRED, "insufficient_quota"),
    }
}

/// The response of this row of `error`, with `body`.
pub(super) fn respond(error: &Error, row: &RefusalRow, body: &Value, content_type: &'static str) -> Response {
    let RefusalRow { status, retry_after, again, .. } = *row;
    let mut response = (status, body.to_string()).into_response();
    if let Some(denied) = denied(error) {
        response.extensions_mut().insert(Arc::new(denied));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(wait) = retry_after {
        // Whole seconds, never sooner than said.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if row.code == "unsupported_content_encoding" {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(CODINGS_TAKEN));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if !again && (status == StatusCode::CONFLICT || status.as_u16() >= 429) {
        // The official clients obey this; without it they would pay a second time.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}
