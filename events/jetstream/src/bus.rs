//! The client's side of commands and queries.

use std::time::Duration;

use async_nats::client::{self, RequestErrorKind};
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Client, HeaderMap, HeaderValue, Message, StatusCode};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use steward_events::rejection::Rejection;
use steward_events::request::{Format, Reply, Request};
use steward_ports::bus::{BusError, CommandBus};

use crate::answer::answered;
use crate::connection::{ConnectError, Connection, Credentials};
use crate::envelope::{self, CONTENT_TYPE, MORE};
use crate::{ANSWER_TIME_MAX, MESSAGE_BYTES_MAX};

/// The largest answer that is put together from parts.
pub const ANSWER_BYTES_MAX: usize = 64 * MESSAGE_BYTES_MAX;

/// Sends commands and queries over NATS. Cheap to clone.
#[derive(Clone)]
pub struct JetStreamBus {
    client: Client,
    time_max: Duration,
}

impl JetStreamBus {
    /// A bus over a connection of its own.
    pub async fn connect(credentials: &Credentials) -> Result<Self, ConnectError> {
        Ok(Self::over(&Connection::connect(credentials).await?))
    }

    /// A bus over a connection that is there.
    pub fn over(connection: &Connection) -> Self {
        Self { client: connection.client.clone(), time_max: ANSWER_TIME_MAX }
    }

    /// The same bus, but an answer is waited for up to `time_max`.
    #[must_use]
    pub fn with_time_max(self, time_max: Duration) -> Self {
        Self { time_max, ..self }
    }

    /// Sends `request` and takes the one message that answers it: cheaper, for no subscription is made for it.
    async fn request_once(&self, subject: String, request: &Request) -> Result<BusAnswer, BusError> {
        let sent = client::Request::new().headers(envelope::write_headers(request)).payload(request.body.clone());
        // Bounded below: also the wait for room to send, which the client does not bound.
        let sent = self.client.send_request(subject.clone(), sent.timeout(None));
        let last = match answered(&self.client, self.time_max, sent).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => {
                return Err(match error.kind() {
                    RequestErrorKind::NoResponders => BusError::NobodyListens { subject },
                    _ => BusError::Unavailable(error.into()),
                });
            }
            Err(_) => return Err(BusError::TimedOut { subject }),
        };
        Ok(BusAnswer { body: last.payload.clone(), last })
    }

    /// Sends `request` and puts the parts of the answer together.
    async fn request(&self, subject: String, request: &Request) -> Result<BusAnswer, BusError> {
        let asked = self.request_unbounded(&subject, request);
        match answered(&self.client, self.time_max, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(BusError::TimedOut { subject }),
        }
    }

    async fn request_unbounded(&self, subject: &str, request: &Request) -> Result<BusAnswer, BusError> {
        let headers = envelope::write_headers(request);
        let inbox = self.client.new_inbox();
        let subscribed = self.client.subscribe(inbox.clone()).await;
        let mut parts = subscribed.map_err(|error| BusError::Unavailable(error.into()))?;
        let body = request.body.clone();
        let sent = self.client.publish_with_reply_and_headers(subject.to_owned(), inbox, headers, body).await;
        sent.map_err(|error| BusError::Unavailable(error.into()))?;
        let mut body = BytesMut::new();
        while let Some(part) = parts.next().await {
            if part.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(BusError::NobodyListens { subject: subject.to_owned() });
            }
            if body.len() + part.payload.len() > ANSWER_BYTES_MAX {
                let reason = format!("its answer is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(BusError::Failed { subject: subject.to_owned(), reason });
            }
            if header(&part, MORE).is_none() && body.is_empty() {
                return Ok(BusAnswer { body: part.payload.clone(), last: part });
            }
            body.extend_from_slice(&part.payload);
            if header(&part, MORE).is_none() {
                return Ok(BusAnswer { body: body.freeze(), last: part });
            }
        }
        Err(BusError::Unavailable("the connection closed".into()))
    }
}

struct BusAnswer {
    body: Bytes,
    /// Its last part, whose headers speak for all.
    last: Message,
}

impl BusAnswer {
    /// Its body as a reply; if it is none, what its headers say went wrong.
    fn reply(&self, subject: String) -> Result<Reply, BusError> {
        let format = Format::of(header(&self.last, CONTENT_TYPE), &self.body);
        let failed = match (self.code(), self.body.is_empty()) {
            (Some(code), true) => format!("{code} {}", header(&self.last, NATS_SERVICE_ERROR).unwrap_or_default()),
            _ => match format.read(&self.body) {
                Ok(reply) => return Ok(reply),
                Err(error) => format!("its answer cannot be read: {error}"),
            },
        };
        Err(BusError::Failed { subject, reason: failed })
    }

    fn code(&self) -> Option<&str> {
        header(&self.last, NATS_SERVICE_ERROR_CODE)
    }
}

fn header<'m>(message: &'m Message, name: &'static str) -> Option<&'m str> {
    message.headers.as_ref().and_then(|headers: &HeaderMap| headers.get_last(name)).map(HeaderValue::as_str)
}

#[async_trait]
impl CommandBus for JetStreamBus {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        let subject = request.command_subject();
        let reply = self.request_once(subject.clone(), &request).await?.reply(subject.clone())?;
        match reply.rejection {
            // Nothing was decided: a part of Steward sends it again, as after a failure.
            Some(Rejection::Busy { reason }) if request.principal.is_system() => {
                Err(BusError::Failed { subject, reason })
            }
            _ => Ok(reply),
        }
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        let subject = request.query_subject();
        let answer = self.request(subject.clone(), &request).await?;
        if answer.code().is_none() {
            return Ok(Ok(answer.body));
        }
        let refused = answer.reply(subject.clone())?;
        let said_nothing = || BusError::Failed { subject, reason: "it refused and does not say why".to_owned() };
        refused.rejection.map(Err).ok_or_else(said_nothing)
    }
}
