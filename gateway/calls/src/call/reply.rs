//! An answer at once: finished in the log before its first byte goes out, so its cost stands in the headers.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use steward_events::event::CallOutcome;

use super::attempt::Started;
use super::estimate::tokens_of;
use super::{Call, set};
use crate::error::Error;
use crate::provider::Whole;

/// Records the call and answers.
pub(super) async fn answer(call: Call, started: Started, whole: Whole) -> Result<Response, Error> {
    let (tokens, outcome) = match whole.usage {
        Some(tokens) => (tokens, CallOutcome::Completed),
        None => (
            call.plan.estimate.probable(tokens_of(whole.text_bytes)),
            CallOutcome::Estimated { reason: "the provider did not say what it used".to_owned() },
        ),
    };
    let mut response = Response::new(Body::from(whole.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    super::describe(headers, &call, &started);
    let finished = started.finish(tokens, outcome).await?;
    set(response.headers_mut(), "x-steward-response-cost", &finished.cost);
    if let Some(left) = finished.budget_left {
        set(response.headers_mut(), "x-steward-budget-remaining", &left);
    }
    Ok(response)
}
