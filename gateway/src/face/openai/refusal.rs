//! Refusals as OpenAI's API words them, and the headers that all its answers carry.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use steward_events::rejection::Rejection;

use crate::error::Error;
use crate::face::refusal::{RefusalRow, respond};
use crate::observe::Arrival;

/// Says no.
pub(super) fn refuse(error: &Error, _: &Arrival) -> Response {
    respond(error, &RefusalRow::of(error), &body(error), "application/json")
}

/// Says no at a path that is known.
pub(super) fn refuse_known_path(error: &Error, arrival: &Arrival) -> Response {
    let mut response = refuse(error, arrival);
    describe(response.headers_mut(), Duration::ZERO);
    response
}

/// The headers that clients of OpenAI's API know.
pub(super) fn describe(headers: &mut HeaderMap, took: Duration) {
    headers.insert("openai-processing-ms", HeaderValue::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
}

/// The body; also the last event of a stream that fails.
pub(super) fn body(error: &Error) -> Value {
    let RefusalRow { code, param, .. } = RefusalRow::of(error);
    json!({ "error": { "message": error.to_string(), "type": kind(error), "param": param, "code": code } })
}

/// OpenAI's `type`.
fn kind(error: &Error) -> &'static str {
    use steward_calls::Error as Call;
    match error {
        Error::TooManyWrongKeys | Error::Call(Call::Busy { .. } | Call::KeepsTooMuch { .. }) => "requests",
        Error::Decided(rejection) | Error::Call(Call::Rejected(rejection)) => match rejection {
            Rejection::Forbidden { .. } | Rejection::Suspended { .. } => "permission_error",
            Rejection::BudgetExhausted { .. } => "insufficient_quota",
            Rejection::Busy { .. } => "requests",
            _ => "invalid_request_error",
        },
        Error::Call(
            Call::Unavailable(_)
            | Call::Unanswered(_)
            | Call::UpstreamFailed(_)
            | Call::UpstreamOutOfCredit(_)
            | Call::UpstreamTimedOut(_)
            | Call::UpstreamBroke(_),
        ) => "server_error",
        Error::NoKey
        | Error::TooLarge(_)
        | Error::UnknownCoding(_)
        | Error::TooSlow
        | Error::NoSuchPath(_)
        | Error::NoSuchMethod(_)
        | Error::Call(
            Call::WrongKey
            | Call::BadRequest { .. }
            | Call::NoSuchModel(_)
            | Call::NoSuchResponse(_)
            | Call::NoPrice(_)
            | Call::IdempotencyKeyReused
            | Call::OutcomeUnknown { .. }
            | Call::StillRunning
            | Call::UpstreamRefused { .. },
        ) => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use steward_calls::Error as Call;
    use steward_events::id::{CorrelationId, TenantId};

    use super::*;

    const DOCUMENTED: &str = include_str!("../../../../docs/COMPATIBILITY.md");

    /// Status, OpenAI's type and code, retry-after, whether retries are forbidden. What clients match on: a change here
    /// is a change for every caller.
    #[test]
    fn error_statuses_are_those_clients_know() {
        let arrival = Arrival::new(CorrelationId::new("req_1").unwrap(), Duration::ZERO);
        let tenant = TenantId::steward();
        let text = || "why".to_owned();
        let refused = |status| Error::from(Call::UpstreamRefused { status, message: text(), code: None, param: None });
        for (error, expected) in [
            (Error::NoKey, "401 invalid_request_error invalid_api_key - -"),
            (Call::WrongKey.into(), "401 invalid_request_error invalid_api_key - -"),
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
            (Rejection::Busy { reason: text() }.into(), "429 requests rate_limit_exceeded 1 -"),
            (Error::bad("n", "why"), "400 invalid_request_error invalid_value - -"),
            (Error::TooLarge(1), "413 invalid_request_error request_too_large - -"),
            (Error::UnknownCoding(text()), "415 invalid_request_error unsupported_content_encoding - -"),
            (Error::TooSlow, "408 invalid_request_error request_timeout - -"),
            (Error::NoSuchPath(text()), "404 invalid_request_error unknown_url - -"),
            (Error::NoSuchMethod(text()), "405 invalid_request_error method_not_allowed - -"),
            (Call::NoSuchModel(text()).into(), "404 invalid_request_error model_not_found - -"),
            (Call::NoPrice(text()).into(), "400 invalid_request_error model_has_no_price - -"),
            (
                Call::Busy { reason: text(), retry_after: Duration::from_millis(2_001) }.into(),
                "429 requests rate_limit_exceeded 3 -",
            ),
            (Call::KeepsTooMuch { kept: 2, bytes_max: 1 }.into(), "429 requests kept_bytes_exceeded - once"),
            (Call::IdempotencyKeyReused.into(), "422 invalid_request_error idempotency_key_reused - -"),
            (Call::StillRunning.into(), "409 invalid_request_error idempotency_in_progress 1 -"),
            (
                Call::OutcomeUnknown { call: "c_1".parse().unwrap(), why: text() }.into(),
                "409 invalid_request_error idempotency_outcome_unknown - once",
            ),
            (Call::Unavailable(text()).into(), "503 server_error service_unavailable 1 -"),
            (Call::Unanswered(text()).into(), "504 server_error unanswered - once"),
            (refused(StatusCode::BAD_REQUEST), "400 invalid_request_error upstream_refused - -"),
            (Call::UpstreamFailed(text()).into(), "502 server_error upstream_failed - -"),
            (Call::UpstreamOutOfCredit(text()).into(), "502 server_error upstream_out_of_credit - once"),
            (Call::UpstreamTimedOut(text()).into(), "504 server_error upstream_timed_out - once"),
            (Call::UpstreamBroke(text()).into(), "502 server_error upstream_broke_off - once"),
        ] {
            let response = refuse(&error, &arrival);
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
            let once = if header("x-should-retry") == "false" { "once" } else { "-" };
            let body = body(&error);
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
}
