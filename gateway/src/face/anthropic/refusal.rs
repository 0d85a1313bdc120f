//! Refusals as Anthropic's API words them, and the header that all its answers carry.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::error::Error;
use crate::face::refusal::{RefusalRow, respond};
use crate::observe::Arrival;

/// Says no.
pub(super) fn refuse(error: &Error, arrival: &Arrival) -> Response {
    let body = body(error, Some(arrival));
    let mut response = respond(error, &RefusalRow::of(error), &body, "application/json");
    describe(response.headers_mut(), arrival);
    response
}

/// The header that clients of Anthropic's API know.
pub(super) fn describe(headers: &mut HeaderMap, arrival: &Arrival) {
    if let Ok(id) = HeaderValue::from_str(arrival.id.as_str()) {
        headers.insert("request-id", id);
    }
}

/// The body; also the last event of a stream that fails.
pub(super) fn body(error: &Error, arrival: Option<&Arrival>) -> Value {
    let RefusalRow { status, code, param, .. } = RefusalRow::of(error);
    let mut body = json!({
        "type": "error",
        "error": { "type": kind(status, error), "message": error.to_string(), "code": code, "param": param },
    });
    if let Some(arrival) = arrival {
        body["request_id"] = json!(arrival.id);
    }
    body
}

/// Anthropic's `type`, which follows from the status but where a provider has no credit.
fn kind(status: StatusCode, error: &Error) -> &'static str {
    use steward_calls::Error as Call;
    match (error, status.as_u16()) {
        (Error::Call(Call::UpstreamOutOfCredit(_)), _) | (_, 402) => "billing_error",
        (_, 503 | 529) => "overloaded_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (_, 504) => "timeout_error",
        (_, 500..) => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steward_calls::Error as Call;
    use steward_events::id::CorrelationId;
    use steward_events::rejection::Rejection;

    use super::*;

    const DOCUMENTED: &str = include_str!("../../../../docs/COMPATIBILITY.md");

    /// Status, Anthropic's type, code, whether retries are forbidden. What clients match on: a change here is a change for
    /// every caller.
    #[test]
    fn refusals_are_those_that_clients_know() {
        let arrival = Arrival::new(CorrelationId::new("req_1").unwrap(), Duration::ZERO);
        let text = || "why".to_owned();
        let refused = |status| Error::from(Call::UpstreamRefused { status, message: text(), code: None, param: None });
        for (error, expected) in [
            (Error::NoKey, "401 authentication_error invalid_api_key -"),
            (Call::WrongKey.into(), "401 authentication_error invalid_api_key -"),
            (Error::TooManyWrongKeys, "429 rate_limit_error rate_limit_exceeded -"),
            (Error::bad("max_tokens", "why"), "400 invalid_request_error invalid_value -"),
            (Call::NoPrice(text()).into(), "400 invalid_request_error model_has_no_price -"),
            (Error::TooLarge(1), "413 request_too_large request_too_large -"),
            (Error::NoSuchPath(text()), "404 not_found_error unknown_url -"),
            (Error::NoSuchMethod(text()), "405 invalid_request_error method_not_allowed -"),
            (Call::NoSuchModel(text()).into(), "404 not_found_error model_not_found -"),
            (
                Rejection::Suspended { tenant: "acme".parse().unwrap(), reason: text() }.into(),
                "403 permission_error tenant_suspended -",
            ),
            (
                Call::Busy { reason: text(), retry_after: Duration::from_secs(1) }.into(),
                "429 rate_limit_error rate_limit_exceeded -",
            ),
            (Call::Unavailable(text()).into(), "503 overloaded_error service_unavailable -"),
            (Call::Unanswered(text()).into(), "504 timeout_error unanswered once"),
            (refused(StatusCode::BAD_REQUEST), "400 invalid_request_error upstream_refused -"),
            (Call::UpstreamFailed(text()).into(), "502 api_error upstream_failed -"),
            (Call::UpstreamOutOfCredit(text()).into(), "502 billing_error upstream_out_of_credit once"),
            (Call::UpstreamTimedOut(text()).into(), "504 timeout_error upstream_timed_out once"),
            (Call::UpstreamBroke(text()).into(), "502 api_error upstream_broke_off once"),
        ] {
            let response = refuse(&error, &arrival);
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
            let once = if header("x-should-retry") == "false" { "once" } else { "-" };
            assert_eq!(header("request-id"), "req_1");
            let body = body(&error, Some(&arrival));
            assert_eq!((&body["type"], &body["request_id"]), (&json!("error"), &json!("req_1")));
            let text = |field: &str| body["error"][field].as_str().unwrap_or("-").to_owned();
            let (kind, code) = (text("type"), text("code"));
            assert_eq!(format!("{} {kind} {code} {once}", response.status().as_u16()), expected, "{error:?}");
            let row = format!("| {} | `{kind}` |", response.status().as_u16());
            assert!(DOCUMENTED.contains(&row), "docs/COMPATIBILITY.md lacks {row}");
        }
    }
}
