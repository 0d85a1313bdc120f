//! An error as OpenAI's API says it.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use steward_calls::upstream::{Failure, Refused};

/// Characters of a provider's own words that are kept.
const WORDS_MAX: usize = 2_000;

/// The failure that this status and body tell of.
pub(crate) fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    let error = serde_json::from_slice::<Value>(body).ok();
    let error = error.as_ref().and_then(|body| body.get("error"));
    let short = |text: &str| text.chars().take(WORDS_MAX).collect::<String>();
    let text = |field: &str| Some(short(error?.get(field)?.as_str()?));
    let message = text("message").or_else(|| Some(short(error?.as_str()?)));
    Failure::refused(Refused { status, message, code: text("code"), param: text("param"), retry_after })
}
