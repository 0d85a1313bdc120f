//! The broker's JetStream API: a request in JSON on a subject, an answer in JSON. What async-nats has no call for, and
//! nothing more.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use steward_events::BoxError;
use steward_events::quantity::InvalidQuantity;
use steward_events::timestamp::Timestamp;

use crate::ANSWER_TIME_MAX;
use crate::answer::answered;

/// What the API says no with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} ({err_code})")]
pub(crate) struct ApiError {
    /// Like an HTTP status.
    pub(crate) code: u16,
    /// The reason, as a number.
    #[serde(default)]
    pub(crate) err_code: u32,
    /// The reason for people.
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    /// What was asked for is not there.
    pub(crate) const fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// The subject's last sequence is another than expected: 10071 says which, 10164 does not.
    pub(crate) const fn is_wrong_sequence(&self) -> bool {
        matches!(self.err_code, 10071 | 10164)
    }

    /// The message itself is at fault, so another attempt would meet the same.
    pub(crate) const fn is_final(&self) -> bool {
        self.code == 400
    }
}

/// A request got no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The message is larger than the server takes.
    #[error("the message is too large for the bus")]
    TooLarge(#[source] BoxError),
    /// No answer, or one that makes no sense.
    #[error("{subject} gave no answer: {source}")]
    NoAnswer {
        /// The subject.
        subject: String,
        /// Why.
        source: BoxError,
    },
}

#[derive(Deserialize)]
struct Refused {
    error: ApiError,
}

/// Sends `request` and reads the answer.
pub(crate) async fn call<Q: Serialize + Sync, A: DeserializeOwned>(
    client: &Client,
    subject: &str,
    request: &Q,
) -> Result<A, CallError> {
    let none = |source: BoxError| CallError::NoAnswer { subject: subject.to_owned(), source };
    let body = serde_json::to_vec(request).map_err(|error| none(error.into()))?;
    let answer = send(client, subject, HeaderMap::new(), body.into(), ANSWER_TIME_MAX).await?;
    // A refusal looks like an answer with an `error` beside it, so that is looked for first.
    if answer.len() <= REFUSAL_BYTES_MAX
        && let Ok(Refused { error }) = serde_json::from_slice(&answer)
    {
        return Err(error.into());
    }
    serde_json::from_slice(&answer).map_err(|error| none(error.into()))
}

/// Stores a message in the stream of its subject: where it stands then, and in which stream.
pub(crate) async fn publish(
    client: &Client,
    subject: &str,
    headers: HeaderMap,
    body: Bytes,
    time_max: Duration,
) -> Result<Ack, CallError> {
    let none = |source: BoxError| CallError::NoAnswer { subject: subject.to_owned(), source };
    let answer = send(client, subject, headers, body, time_max).await?;
    match serde_json::from_slice(&answer) {
        Ok(Acknowledged { error: Some(error), .. }) => Err(error.into()),
        Ok(Acknowledged { stream: Some(stream), seq, error: None }) => Ok(Ack { stream, seq }),
        Ok(_) => Err(none("it is no acknowledgement".into())),
        Err(error) => Err(none(error.into())),
    }
}

/// Sends a message and waits for the answer.
async fn send(
    client: &Client,
    subject: &str,
    headers: HeaderMap,
    body: Bytes,
    time_max: Duration,
) -> Result<Bytes, CallError> {
    let none = |source: BoxError| CallError::NoAnswer { subject: subject.to_owned(), source };
    // Bounded below: also the wait for room to send, which the client does not bound.
    let request = Request::new().headers(headers).payload(body).timeout(None);
    let sent = client.send_request(subject.to_owned(), request);
    let message = match answered(client, time_max, sent).await {
        Ok(Ok(message)) => message,
        Ok(Err(error)) if error.kind() == RequestErrorKind::MaxPayloadExceeded => {
            return Err(CallError::TooLarge(error.into()));
        }
        Ok(Err(error)) => return Err(none(error.into())),
        Err(unanswered) => return Err(none(unanswered.into())),
    };
    if let Some(status) = message.status
        && status != StatusCode::OK
    {
        return Err(none(format!("status {status}").into()));
    }
    Ok(message.payload)
}

/// No refusal is longer.
const REFUSAL_BYTES_MAX: usize = 4096;

/// What a stream answers to a message that it was to store. A refusal has an `error`, and may name the stream all the same.
#[derive(Deserialize)]
struct Acknowledged {
    stream: Option<String>,
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// A stream's acknowledgement.
#[derive(Debug)]
pub(crate) struct Ack {
    /// Which stream.
    pub(crate) stream: String,
    /// Where.
    pub(crate) seq: u64,
}

/// Which message of a stream to read, at its leader.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Get<'a> {
    /// This one, or the first from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    /// The first that matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_by_subj: Option<&'a str>,
    /// The last that matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_by_subj: Option<&'a str>,
}

/// A message as the leader has it.
#[derive(Debug)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) bytes: Bytes,
}

#[derive(Deserialize)]
struct GetAnswer {
    message: GetMessage,
}

#[derive(Deserialize)]
struct GetMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    time: String,
}

/// Reads one message of `stream` at its leader.
pub(crate) async fn get(client: &Client, stream: &str, which: &Get<'_>) -> Result<Option<StoredMessage>, CallError> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let message = match call::<_, GetAnswer>(client, &subject, which).await {
        Ok(answer) => answer.message,
        Err(CallError::Api(error)) if error.is_not_found() && error.err_code == NO_MESSAGE => return Ok(None),
        Err(error) => return Err(error),
    };
    let none = |source: BoxError| CallError::NoAnswer { subject: subject.clone(), source };
    Ok(Some(StoredMessage {
        sequence: message.seq,
        stored_at: message.time.parse().map_err(|error: InvalidQuantity| none(error.into()))?,
        bytes: STANDARD.decode(&message.data).map_err(|error| none(error.into()))?.into(),
        subject: message.subject,
    }))
}

/// "no message found", which a missing stream does not say.
const NO_MESSAGE: u32 = 10037;

#[derive(Deserialize)]
struct InfoAnswer {
    state: InfoState,
    /// When the stream's leader answered, by the clock that stamps what it stores.
    ts: String,
}

#[derive(Deserialize)]
struct InfoState {
    last_seq: u64,
}

/// The last sequence of `stream`.
pub(crate) async fn last_sequence(client: &Client, stream: &str) -> Result<u64, CallError> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer: InfoAnswer = call(client, &subject, &serde_json::Map::new()).await?;
    Ok(answer.state.last_seq)
}

/// What time it is by the clock of `stream`'s leader.
pub(crate) async fn time(client: &Client, stream: &str) -> Result<Timestamp, CallError> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer: InfoAnswer = call(client, &subject, &serde_json::Map::new()).await?;
    answer.ts.parse().map_err(|error: InvalidQuantity| CallError::NoAnswer { subject, source: error.into() })
}

#[derive(Deserialize)]
struct Done {
    success: bool,
}

/// Calls something whose answer says nothing but yes.
pub(crate) async fn execute<Q: Serialize + Sync>(client: &Client, subject: &str, request: &Q) -> Result<(), CallError> {
    match call(client, subject, request).await? {
        Done { success: true } => Ok(()),
        Done { success: false } => {
            Err(CallError::NoAnswer { subject: subject.to_owned(), source: "it did not succeed".into() })
        }
    }
}
