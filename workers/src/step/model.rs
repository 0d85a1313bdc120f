//! Calls a model, through the gateway: the one door to money.
//!
//! Knows the OpenAI-compatible face of the gateway and what its answers mean for a task. Must not know tasks.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::json;
use steward_answers::chat;
use steward_answers::problem::Problem;
use steward_answers::retry_after::AskAgain;
use steward_events::BoxError;
use steward_events::event::TokenUsage;
use steward_events::id::ModelId;
use steward_events::quantity::{NanoDollars, Tokens};
use steward_ports::trace;

use crate::pattern::Message;

/// The longest answer that is read, in bytes: what the gateway passes on, and a little more.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
const TOO_LONG: &str = "the model's answer is longer than a step may be: lower the agent's output_max";
/// The longest reason that is passed on, in characters: a task records at most 1000 bytes of it.
const REASON_CHARS_MAX: usize = 200;
/// The pause after the first attempt that may go better later; doubled after each further one, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest that the gateway is believed when it says when to come back.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// What to ask.
pub(crate) struct ModelRequest<'a> {
    /// The task's key.
    pub(crate) secret: &'a str,
    /// The same for each attempt at one step, by any worker, for gateways and providers that know a request by it. A step
    /// that was recorded is not asked again; one that was cut off before that may be paid twice.
    pub(crate) idempotency_key: String,
    pub(crate) model: &'a ModelId,
    pub(crate) messages: &'a [Message],
    pub(crate) output_max: Tokens,
}

/// What the model said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelAnswer {
    pub(crate) text: String,
    pub(crate) tokens: TokenUsage,
    pub(crate) cost: NanoDollars,
}

/// The step cannot be done: asking again as it is would give the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("budget exhausted: {0}")]
    BudgetExhausted(String),
    #[error("not allowed: {0}")]
    NotAllowed(String),
    #[error("the model does not exist any more: {0}")]
    ModelGone(String),
    #[error("the gateway refused the call: {0}")]
    Refused(String),
    #[error("no answer from the model: {0}")]
    Unanswered(String),
    /// What was answered is paid, and cannot be used.
    #[error("{reason}")]
    Paid { reason: String, tokens: TokenUsage, cost: NanoDollars },
}

/// Why the body of an answer was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("{TOO_LONG}")]
    TooLong,
    #[error("{0}")]
    Broke(String),
}

/// One attempt did not work out, but a later one may.
pub(crate) struct Later {
    pub(crate) reason: String,
    pub(crate) after: Option<Duration>,
}

/// Asks models.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    client: Client,
    completions: String,
}

impl Models {
    /// At the gateway `url`. The process must have installed a rustls provider.
    ///
    /// # Errors
    /// If `url` is none, or the HTTP client cannot be made.
    pub(crate) fn new(url: &str) -> Result<Self, BoxError> {
        let completions = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
        reqwest::Url::parse(&completions)?;
        Ok(Self { client: client()?, completions })
    }

    /// Asks, again if that may help, for at most `time_max`. Dropping the future ends the call.
    pub(crate) async fn call(&self, request: &ModelRequest<'_>, time_max: Duration) -> Result<ModelAnswer, CallError> {
        let mut last = String::from("it took too long");
        let attempts = async {
            let mut pause = PAUSE_MIN;
            loop {
                match self.attempt(request).await {
                    Ok(outcome) => return outcome,
                    Err(Later { reason, after }) => {
                        tracing::warn!(%reason, "model call will be tried again");
                        last = reason;
                        tokio::time::sleep(after.unwrap_or(pause)).await;
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            }
        };
        match tokio::time::timeout(time_max, attempts).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Unanswered(last)),
        }
    }

    async fn attempt(&self, request: &ModelRequest<'_>) -> Result<Result<ModelAnswer, CallError>, Later> {
        let mut request = self
            .client
            .post(&self.completions)
            .bearer_auth(request.secret)
            .header("idempotency-key", &request.idempotency_key)
            .json(&json!({
                "model": request.model,
                "messages": request.messages,
                "max_tokens": request.output_max,
            }));
        if let Some(traceparent) = trace::current_traceparent() {
            request = request.header("traceparent", traceparent);
        }
        let response = request.send().await.map_err(|error| Later { reason: chain(&error), after: None })?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match read(response).await {
            Ok(body) => body,
            // It is paid: asked again it would be as long, and paid again.
            Err(Unread::TooLong) if status.is_success() => return Ok(Err(paid(&headers, TOO_LONG))),
            Err(unread) => return Err(Later { reason: unread.to_string(), after: None }),
        };
        if status.is_success() { Ok(understand(&headers, &body)) } else { refusal(status, &headers, &body) }
    }
}

/// An HTTP client for the gateway.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIME_MAX)
        .build()
}

/// The body, if it is not too long.
pub(crate) async fn read(mut response: Response) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| Unread::Broke(chain(&error)))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn understand(headers: &HeaderMap, body: &[u8]) -> Result<ModelAnswer, CallError> {
    let (tokens, cost) = charged(headers)
        .ok_or_else(|| CallError::Refused("its answer does not say what was charged for the call".to_owned()))?;
    match chat::text_of(body) {
        Some(text) => Ok(ModelAnswer { text, tokens, cost }),
        None => Err(paid(headers, "the model gave no text")),
    }
}

/// The call was answered and is paid, but its answer is of no use.
fn paid(headers: &HeaderMap, reason: &str) -> CallError {
    let (tokens, cost) = charged(headers).unwrap_or_default();
    CallError::Paid { reason: reason.to_owned(), tokens, cost }
}

/// What the ledger has of the call, as the gateway says it. Without that the cost is unknown, and unknown is not free.
fn charged(headers: &HeaderMap) -> Option<(TokenUsage, NanoDollars)> {
    let said = |name: &str| headers.get(name)?.to_str().ok();
    let count = |name: &str| said(name)?.parse().ok().map(Tokens);
    let tokens = TokenUsage {
        input: count("x-steward-input-tokens")?,
        cached: count("x-steward-cached-tokens")?,
        output: count("x-steward-output-tokens")?,
        reasoning: count("x-steward-reasoning-tokens")?,
        ..TokenUsage::default()
    };
    Some((tokens, said("x-steward-response-cost")?.parse().ok()?))
}

/// The gateway's own words decide, then the status.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Result<ModelAnswer, CallError>, Later> {
    let Problem { message, code, .. } = Problem::of_refusal(body);
    let reason = message.map_or_else(|| format!("status {status}"), |message| shorten(&message));
    let error = match (code.as_deref(), status.as_u16()) {
        // The operators' account, not the task's budget; nobody mends that within a step.
        (Some("upstream_out_of_credit"), _) => CallError::Refused(reason),
        (Some("insufficient_quota"), _) | (_, 402) => CallError::BudgetExhausted(reason),
        (_, 401 | 403) => CallError::NotAllowed(reason),
        (Some("model_not_found"), _) | (_, 404) => CallError::ModelGone(reason),
        (_, 408 | 425 | 429 | 500..=599) => return Err(Later { reason, after: retry_after(headers) }),
        _ => CallError::Refused(reason),
    };
    Ok(Err(error))
}

/// How long the gateway asks to wait, as far as it is believed.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match AskAgain::read(None, Some(said))? {
        AskAgain::In(after) => Some(after.clamp(PAUSE_MIN, RETRY_AFTER_MAX)),
        // The gateway says it in seconds.
        AskAgain::At(_) => None,
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

/// An error with its causes, short.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    shorten(&text)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn refused(status: u16, body: &str) -> Option<CallError> {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, &HeaderMap::new(), body.as_bytes()).ok().and_then(Result::err)
    }

    #[test]
    fn each_refusal_has_its_reason_and_passing_ones_are_retried() {
        let body = r#"{"error":{"message":"acme spent $1.00 of $1.00","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let exhausted = CallError::BudgetExhausted("acme spent $1.00 of $1.00".to_owned());
        assert_eq!(refused(402, body), Some(exhausted.clone()));
        assert_eq!(refused(429, body), Some(exhausted), "some tenants want 429 for it");
        assert_eq!(refused(403, ""), Some(CallError::NotAllowed("status 403 Forbidden".to_owned())));
        assert!(matches!(refused(404, "<html>"), Some(CallError::ModelGone(_))));
        assert!(matches!(refused(400, "{}"), Some(CallError::Refused(_))));
        for status in [408, 429, 500, 502, 503] {
            assert_eq!(refused(status, "{}"), None, "{status}");
        }
    }

    #[test]
    fn a_hostile_answer_is_no_answer_and_paid() {
        let headers = charge().into_iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect();
        for body in ["", "[]", "{\"choices\":[]}", "{\"choices\":[{\"message\":{\"content\":null}}]}"] {
            let Err(CallError::Paid { cost, tokens, .. }) = understand(&headers, body.as_bytes()) else {
                panic!("{body}")
            };
            assert_eq!((cost, tokens.input), (NanoDollars(15_000), Tokens(10)));
        }
    }

    fn charge() -> [(&'static str, &'static str); 5] {
        [
            ("x-steward-input-tokens", "10"),
            ("x-steward-cached-tokens", "2"),
            ("x-steward-output-tokens", "5"),
            ("x-steward-reasoning-tokens", "1"),
            ("x-steward-response-cost", "$0.000015"),
        ]
    }

    #[test]
    fn an_answer_without_its_charge_is_not_free() {
        let body =
            br#"{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":9,"completion_tokens":9}}"#;
        let charge = charge();
        let headers = |left_out: &str, wrong: &str| {
            let said = charge.iter().filter(|(name, _)| *name != left_out);
            let said = said.map(|(name, value)| (*name, if *name == wrong { "much" } else { value }));
            said.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect::<HeaderMap>()
        };
        let answer = understand(&headers("", ""), body).unwrap();
        assert_eq!(
            (answer.tokens.input, answer.tokens.cached),
            (Tokens(10), Tokens(2)),
            "the ledger's, not the body's"
        );
        assert_eq!((answer.tokens.output, answer.tokens.reasoning), (Tokens(5), Tokens(1)));
        assert_eq!(answer.cost, NanoDollars(15_000));
        for (name, _) in charge {
            assert!(matches!(understand(&headers(name, ""), body), Err(CallError::Refused(_))), "without {name}");
            assert!(matches!(understand(&headers("", name), body), Err(CallError::Refused(_))), "{name} is no number");
        }
    }

    #[test]
    fn the_gateway_is_not_believed_for_ever() {
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        assert_eq!(retry_after(&headers("2")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&headers("1e12")), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after(&headers("-1")), None);
        assert_eq!(retry_after(&headers("soon")), None);
        let empty = r#"{"error":{"message":"no credit left","code":"upstream_out_of_credit"}}"#;
        assert!(matches!(refused(502, empty), Some(CallError::Refused(_))), "nobody mends that within a step");
    }
}
