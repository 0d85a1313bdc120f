//! Refusals as RFC 9457 problem details.

use axum::response::Response;
use serde_json::json;

use crate::error::Error;
use crate::face::refusal::{RefusalRow, respond};
use crate::observe::Arrival;

/// Says no.
pub(super) fn refuse(error: &Error, arrival: &Arrival) -> Response {
    let row = RefusalRow::of(error);
    let mut body = json!({
        "type": format!("urn:steward:problem:{}", row.code),
        "title": row.status.canonical_reason().unwrap_or("problem"),
        "status": row.status.as_u16(),
        "detail": error.to_string(),
        "instance": format!("urn:steward:request:{}", arrival.id),
        "code": row.code,
    });
    if let Some(param) = &row.param {
        body["param"] = json!(param);
    }
    if let Error::Decided(rejection) | Error::Call(steward_calls::Error::Rejected(rejection)) = error {
        body["rejection"] = json!(rejection);
    }
    respond(error, &row, &body, "application/problem+json")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header;
    use steward_events::id::CorrelationId;
    use steward_events::rejection::Rejection;

    use super::*;

    #[test]
    fn a_problem_carries_the_rejection() {
        let error = Error::from(Rejection::invalid("limit", "is no amount"));
        let arrival = Arrival::new(CorrelationId::new("req_1").unwrap(), Duration::ZERO);
        let response = refuse(&error, &arrival);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
