//! Why a request gets no good answer, and how that looks: one table, two faces. OpenAI's error body on `/v1`,
//! RFC 9457 problem details elsewhere.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use steward_events::id::CorrelationId;
use steward_events::rejection::Rejection;
use steward_ports::bus::BusError;
use steward_ports::live::NotFresh;

/// How long a client is asked to wait when the cause says nothing about it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No credentials came.
    #[error("no API key: send the header `Authorization: Bearer <key>`")]
    NoKey,
    /// Nobody holds that key now.
    #[error("this API key is not valid: it is wrong, expired or revoked")]
    WrongKey,
    /// Too many wrong keys from there.
    #[error("too many wrong API keys from this address")]
    TooManyWrongKeys,
    /// A decision said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The request cannot be understood.
    #[error("{message}")]
    BadRequest {
        /// The field, if it is one.
        param: Option<String>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The body is too long.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// No such path.
    #[error("there is nothing at {0}")]
    NoSuchPath(String),
    /// The path exists, but not for that method.
    #[error("{0} does not take this method")]
    NoSuchMethod(String),
    /// The tenant cannot call that model.
    #[error("the model `{0}` does not exist or has no route")]
    NoSuchModel(String),
    /// The model cannot be paid for.
    #[error("no price is known for the model `{0}`, so its calls cannot be admitted; set one with price:set")]
    NoPrice(String),
    /// Too much at once.
    #[error("{reason}")]
    Busy {
        /// Of what.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// Something that is needed is not there now; nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// It is not known what came of it.
    #[error("{0}")]
    Unanswered(String),
    /// The provider said no to this very request.
    #[error("{message}")]
    UpstreamRefused {
        /// The provider's status.
        status: StatusCode,
        /// The provider's own words.
        message: String,
        /// The provider's own code, if it gave one.
        code: Option<String>,
        /// The field it blames.
        param: Option<String>,
    },
    /// No provider took the request; nothing was billed.
    #[error("{0}")]
    UpstreamFailed(String),
    /// A provider took too long, and may have billed it.
    #[error("{0}")]
    UpstreamTimedOut(String),
    /// The provider's answer broke off, and may have been billed.
    #[error("{0}")]
    UpstreamBroke(String),
}

impl From<NotFresh> for Error {
    fn from(cause: NotFresh) -> Self {
        Self::Unavailable(format!("it cannot be confirmed that keys and grants are up to date: {cause}"))
    }
}

impl From<BusError> for Error {
    fn from(cause: BusError) -> Self {
        match cause {
            BusError::NobodyListens { .. } | BusError::Unavailable(_) => Self::Unavailable(cause.to_string()),
            BusError::TimedOut { .. } | BusError::Failed { .. } => {
                Self::Unanswered(format!("{cause}; send it again with the same Idempotency-Key"))
            }
        }
    }
}

/// One row of the table.
struct Row {
    status: StatusCode,
    /// OpenAI's `type`.
    kind: &'static str,
    /// OpenAI's `code`, and the end of the problem's type.
    code: String,
    param: Option<String>,
    retry_after: Option<Duration>,
    /// Whether clients that try again by themselves may: not if it may have been billed, or cannot help.
    again: bool,
}

fn row(status: StatusCode, kind: &'static str, code: &str) -> Row {
    let again = matches!(status.as_u16(), 408 | 429 | 500..);
    Row { status, kind, code: code.to_owned(), param: None, retry_after: None, again }
}

const INVALID: &str = "invalid_request_error";

impl Error {
    /// A field that cannot be right.
    pub(crate) fn bad(param: &str, message: impl Into<String>) -> Self {
        Self::BadRequest { param: Some(param.to_owned()), message: message.into() }
    }

    /// The table.
    fn row(&self) -> Row {
        match self {
            Self::NoKey | Self::WrongKey => row(StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key"),
            Self::TooManyWrongKeys => Row {
                retry_after: Some(Duration::from_mins(1)),
                ..row(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded")
            },
            Self::Rejected(rejection) => rejected(rejection),
            Self::BadRequest { param, .. } => {
                Row { param: param.clone(), ..row(StatusCode::BAD_REQUEST, INVALID, "invalid_value") }
            }
            Self::TooLarge(_) => row(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "request_too_large"),
            Self::TooSlow => row(StatusCode::REQUEST_TIMEOUT, INVALID, "request_timeout"),
            Self::NoSuchPath(_) => row(StatusCode::NOT_FOUND, INVALID, "unknown_url"),
            Self::NoSuchMethod(_) => row(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed"),
            Self::NoSuchModel(_) => {
                Row { param: Some("model".to_owned()), ..row(StatusCode::NOT_FOUND, INVALID, "model_not_found") }
            }
            Self::NoPrice(_) => {
                Row { param: Some("model".to_owned()), ..row(StatusCode::BAD_REQUEST, INVALID, "model_has_no_price") }
            }
            Self::Busy { retry_after, .. } => Row {
                retry_after: Some(*retry_after),
                ..row(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded")
            },
            Self::Unavailable(_) => Row {
                retry_after: Some(RETRY_AFTER),
                ..row(StatusCode::SERVICE_UNAVAILABLE, "server_error", "service_unavailable")
            },
            Self::Unanswered(_) => {
                Row { again: false, ..row(StatusCode::GATEWAY_TIMEOUT, "server_error", "unanswered") }
            }
            Self::UpstreamRefused { status, code, param, .. } => {
                Row { param: param.clone(), ..row(*status, INVALID, code.as_deref().unwrap_or("upstream_refused")) }
            }
            Self::UpstreamFailed(_) => row(StatusCode::BAD_GATEWAY, "server_error", "upstream_failed"),
            Self::UpstreamTimedOut(_) => {
                Row { again: false, ..row(StatusCode::GATEWAY_TIMEOUT, "server_error", "upstream_timed_out") }
            }
            Self::UpstreamBroke(_) => {
                Row { again: false, ..row(StatusCode::BAD_GATEWAY, "server_error", "upstream_broke_off") }
            }
        }
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.row().status
    }

    /// The body that clients of OpenAI's API expect; also the last event of a stream that fails.
    pub(crate) fn openai_body(&self) -> Value {
        let Row { kind, code, param, .. } = self.row();
        json!({ "error": { "message": self.to_string(), "type": kind, "param": param, "code": code } })
    }

    /// As OpenAI's API answers.
    pub(crate) fn openai(&self) -> Response {
        self.respond(&self.openai_body(), "application/json")
    }

    /// As RFC 9457 says.
    pub(crate) fn problem(&self, request: &CorrelationId) -> Response {
        let Row { status, code, param, .. } = self.row();
        let mut body = json!({
            "type": format!("urn:steward:problem:{code}"),
            "title": status.canonical_reason().unwrap_or("problem"),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "instance": format!("urn:steward:request:{request}"),
            "code": code,
        });
        if let Some(param) = param {
            body["param"] = json!(param);
        }
        if let Self::Rejected(rejection) = self {
            body["rejection"] = json!(rejection);
        }
        self.respond(&body, "application/problem+json")
    }

    fn respond(&self, body: &Value, content_type: &'static str) -> Response {
        let Row { status, retry_after, again, .. } = self.row();
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(wait) = retry_after {
            // Whole seconds, never sooner than said.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if !again && status.as_u16() >= 429 {
            // The official clients obey this; without it they would pay a second time.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

fn rejected(rejection: &Rejection) -> Row {
    let code = rejection.code();
    match rejection {
        Rejection::Forbidden { .. } => row(StatusCode::FORBIDDEN, "permission_error", "permission_denied"),
        Rejection::Suspended { .. } => row(StatusCode::FORBIDDEN, "permission_error", "tenant_suspended"),
        Rejection::UnknownTenant { .. } | Rejection::NotFound { .. } => row(StatusCode::NOT_FOUND, INVALID, code),
        Rejection::AlreadyExists { .. } | Rejection::Stale { .. } | Rejection::Expired => {
            row(StatusCode::CONFLICT, INVALID, code)
        }
        Rejection::Invalid { field, .. } => {
            Row { param: Some(field.clone()), ..row(StatusCode::BAD_REQUEST, INVALID, "invalid_value") }
        }
        Rejection::BudgetExhausted { .. } => {
            row(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "insufficient_quota")
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_events::id::TenantId;

    use super::*;

    const DOCUMENTED: &str = include_str!("../../docs/COMPATIBILITY.md");

    /// Status, OpenAI's type and code, retry-after, whether retries are forbidden. What clients match on: a change here
    /// is a change for every caller.
    #[test]
    fn the_table_is_what_clients_know() {
        let tenant = TenantId::steward();
        let text = || "why".to_owned();
        let refused = |status| Error::UpstreamRefused { status, message: text(), code: None, param: None };
        for (error, expected) in [
            (Error::NoKey, "401 invalid_request_error invalid_api_key - -"),
            (Error::WrongKey, "401 invalid_request_error invalid_api_key - -"),
            (Error::TooManyWrongKeys, "429 requests rate_limit_exceeded 60 -"),
            (
                Rejection::UnknownTenant { tenant: tenant.clone() }.into(),
                "404 invalid_request_error unknown_tenant - -",
            ),
            (Rejection::Suspended { tenant, reason: text() }.into(), "403 permission_error tenant_suspended - -"),
            (Rejection::not_found("task", &"t").into(), "404 invalid_request_error not_found - -"),
            (Rejection::invalid("limit", "why").into(), "400 invalid_request_error invalid_value - -"),
            (Rejection::stale("why").into(), "409 invalid_request_error stale - -"),
            (Rejection::Expired.into(), "409 invalid_request_error expired - -"),
            (Error::bad("n", "why"), "400 invalid_request_error invalid_value - -"),
            (Error::TooLarge(1), "413 invalid_request_error request_too_large - -"),
            (Error::TooSlow, "408 invalid_request_error request_timeout - -"),
            (Error::NoSuchPath(text()), "404 invalid_request_error unknown_url - -"),
            (Error::NoSuchMethod(text()), "405 invalid_request_error method_not_allowed - -"),
            (Error::NoSuchModel(text()), "404 invalid_request_error model_not_found - -"),
            (Error::NoPrice(text()), "400 invalid_request_error model_has_no_price - -"),
            (
                Error::Busy { reason: text(), retry_after: Duration::from_millis(2_001) },
                "429 requests rate_limit_exceeded 3 -",
            ),
            (Error::Unavailable(text()), "503 server_error service_unavailable 1 -"),
            (Error::Unanswered(text()), "504 server_error unanswered - once"),
            (refused(StatusCode::BAD_REQUEST), "400 invalid_request_error upstream_refused - -"),
            (Error::UpstreamFailed(text()), "502 server_error upstream_failed - -"),
            (Error::UpstreamTimedOut(text()), "504 server_error upstream_timed_out - once"),
            (Error::UpstreamBroke(text()), "502 server_error upstream_broke_off - once"),
        ] {
            let response = error.openai();
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
            let once = if header("x-should-retry") == "false" { "once" } else { "-" };
            let body = error.openai_body();
            let text = |field: &str| body["error"][field].as_str().unwrap_or("-").to_owned();
            let status = response.status().as_u16();
            let seen = format!("{status} {} {} {} {once}", text("type"), text("code"), header("retry-after"));
            assert_eq!(seen, expected, "{error:?}");
            let row = format!(
                "| `{}` | `{}` | {}",
                text("type"),
                text("code"),
                if header("retry-after") == "-" { "–" } else { "yes" }
            );
            assert!(DOCUMENTED.contains(&row), "docs/COMPATIBILITY.md lacks {row}");
            let documented = DOCUMENTED.lines().find(|line| line.contains(&row)).unwrap();
            assert!(documented.starts_with(&format!("| {status} |")) || documented.starts_with("| as the provider's"));
            assert_eq!(once == "once", documented.contains("**no**"), "{documented}");
        }
    }

    #[test]
    fn a_problem_carries_the_rejection() {
        let error = Error::from(Rejection::invalid("limit", "is no amount"));
        let response = error.problem(&CorrelationId::new("req_1").unwrap());
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
