//! What came back over HTTP as an answer, whatever the dialect: refusals are told, streams read event by event, all else whole.

use futures::StreamExt;
use http::{HeaderMap, header};
use steward_answers::problem::Problem;
use steward_answers::retry_after::AskAgain;
use steward_calls::upstream::{Cause, Failure, Refused, UpstreamAnswer};

use crate::coding::Unpacking;
use crate::config::Config;
use crate::http::HttpAnswer;
use crate::reading::Reading;
use crate::times::Times;

/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 256 * 1024;

/// The answer to a request, read within `times`; in server-sent events if a `stream` was wanted and came.
pub(crate) async fn answer(
    answer: HttpAnswer,
    stream: bool,
    bounds: &Config,
    times: Times,
) -> Result<UpstreamAnswer, Failure> {
    let is_event_stream = says(&answer.headers, "text/event-stream");
    let mut reading = accepted(answer, times).await?;
    // Official clients do not look at the type: what begins like a stream is one. Where the type says so too, nothing is
    // waited for.
    if stream && (is_event_stream || reading.begins_like_a_stream().await?) {
        return Ok(UpstreamAnswer::Stream(reading.events(bounds.event_bytes_max).boxed()));
    }
    Ok(UpstreamAnswer::Whole(reading.whole(bounds.answer_bytes_max).await?))
}

/// The body of an answer with a good status.
pub(crate) async fn accepted(answer: HttpAnswer, times: Times) -> Result<Reading, Failure> {
    let HttpAnswer { status, headers, body } = answer;
    let unpacking = Unpacking::of(&headers);
    let reading = |unpacking| Reading::new(body, unpacking, times.idle, times.ends);
    if status.is_success() {
        let broken = |unknown: crate::coding::UnknownCoding| Failure::possibly(Cause::Broke(unknown.to_string()));
        return unpacking.map(reading).map_err(broken);
    }
    let body = reading(unpacking.unwrap_or(Unpacking::Plain)).beginning(ERROR_BYTES_MAX).await;
    let mut problem = Problem::of_refusal(&body);
    problem.code = problem.code.or_else(|| kind_of_aws(&headers));
    let again = ask_again(&headers).or(problem.ask_again);
    Err(Failure::refused(Refused { ask_again: again, ..Refused::telling(status, problem) }))
}

/// Whether the answer says that it is of this type.
pub(crate) fn says(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    content_type.trim_start().to_ascii_lowercase().starts_with(media_type)
}

/// AWS names the kind of an error beside its body, sometimes with a place after a colon.
fn kind_of_aws(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get("x-amzn-errortype")?.to_str().ok()?;
    kind.split(':').next().filter(|kind| !kind.is_empty()).map(|kind| kind.chars().take(80).collect())
}

fn ask_again(headers: &HeaderMap) -> Option<AskAgain> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    AskAgain::read(text("retry-after-ms"), text("retry-after")).or_else(|| AskAgain::of_limits(text))
}
