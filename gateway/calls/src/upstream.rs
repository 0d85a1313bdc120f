//! Upstreams: sends one attempt and brings back its answer, within bounds, and says of every failure whether it may
//! have been billed.
//!
//! Knows what providers speak. It must not know callers, budgets or routes.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::StatusCode;
use serde_json::Value;
use steward_events::BoxError;
use steward_events::event::{ProviderKind, TokenUsage};
use steward_events::id::ProviderId;

use crate::config::{Config, Secrets};
use crate::error::Error;
use crate::openai::Fields;

mod openai;
mod public;
mod scripted;
mod sse;

/// Whether an attempt may still go, asked at the last moment: when the connection is ready to take the body. A process
/// may have been stopped between any two of its steps, and what it knew is old when it wakes.
pub(crate) type LastLook = BoxFuture<'static, Result<(), Withdrawn>>;

/// An attempt that may not go any more: nothing of its body was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call may not be made any more")]
pub(crate) struct Withdrawn;

/// One attempt, as it goes out.
pub(crate) struct Outgoing {
    /// The provider's base URL.
    pub(crate) url: String,
    /// Where its key is found.
    pub(crate) key: Option<String>,
    /// The request's body.
    pub(crate) body: Fields,
    /// Whether the answer is to be streamed.
    pub(crate) stream: bool,
    /// True if the operators set the provider: then it may be anywhere, also on this machine.
    pub(crate) trusted: bool,
    /// To be asked before the body goes.
    pub(crate) last_look: LastLook,
}

/// What came back.
pub(crate) enum Answer {
    /// At once.
    Whole(Whole),
    /// Piece by piece: the data of each event, `[DONE]` included.
    Stream(BoxStream<'static, Result<Bytes, Failure>>),
}

/// A whole answer.
pub(crate) struct Whole {
    /// As the provider wrote it.
    pub(crate) body: Bytes,
    /// What it used, if the provider said so.
    pub(crate) usage: Option<TokenUsage>,
    /// Bytes of generated text, to estimate by where the provider did not say.
    pub(crate) text_bytes: u64,
}

/// Whether a failed attempt can have cost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Billed {
    /// Certainly not: another target may be tried.
    No,
    /// It may have: its reservation stays unsettled.
    Possibly,
}

/// What an attempt failed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The provider answered with this status.
    Status {
        /// It.
        status: StatusCode,
        /// The provider's message, if its body had one.
        message: Option<String>,
        /// Its `code`.
        code: Option<String>,
        /// Its `param`.
        param: Option<String>,
        /// When the provider wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It could not be asked.
    Unreachable(String),
    /// It took too long.
    TimedOut(&'static str),
    /// Its answer broke off, or is none.
    Broke(String),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Of what.
    pub(crate) cause: Cause,
    /// Whether it can have cost something.
    pub(crate) billed: Billed,
}

impl Failure {
    fn unbilled(cause: Cause) -> Self {
        Self { cause, billed: Billed::No }
    }

    fn possibly(cause: Cause) -> Self {
        Self { cause, billed: Billed::Possibly }
    }

    /// The provider answered with an error status before any answer.
    fn status(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let error = serde_json::from_slice::<Value>(body).ok();
        let error = error.as_ref().and_then(|body| body.get("error"));
        let text = |field: &str| Some(error?.get(field)?.as_str()?.chars().take(2_000).collect());
        let message = text("message").or_else(|| Some(error?.as_str()?.chars().take(2_000).collect()));
        let cause = Cause::Status { status, message, code: text("code"), param: text("param"), retry_after };
        // A proxy on the way gave up waiting: the model behind it may be at work.
        let waited = matches!(status.as_u16(), 408 | 504 | 524);
        Self { cause, billed: if waited { Billed::Possibly } else { Billed::No } }
    }

    /// Whether another target can do better.
    pub(crate) fn may_work_elsewhere(&self) -> bool {
        self.billed == Billed::No
            && match &self.cause {
                Cause::Status { status, .. } => !is_about_the_request(*status),
                Cause::Unreachable(_) => true,
                Cause::TimedOut(_) | Cause::Broke(_) => false,
            }
    }

    /// For the log and the journal: without the provider's words, which may quote the prompt.
    pub(crate) fn reason(&self) -> String {
        match &self.cause {
            Cause::Status { status, .. } => format!("status {}", status.as_u16()),
            Cause::Unreachable(why) | Cause::Broke(why) => why.clone(),
            Cause::TimedOut(what) => (*what).to_owned(),
        }
    }

    /// For the caller.
    pub(crate) fn into_error(self, provider: &ProviderId) -> Error {
        match self.cause {
            Cause::Status { status, message, code, param, .. } if is_about_the_request(status) => {
                let message = message.unwrap_or_else(|| format!("provider {provider} answered {status}"));
                Error::UpstreamRefused { status, message, code, param }
            }
            Cause::Status { status, retry_after, .. } if status == StatusCode::TOO_MANY_REQUESTS => Error::Busy {
                reason: format!("provider {provider} answered {status}"),
                retry_after: retry_after.unwrap_or(Duration::from_secs(1)),
            },
            Cause::Status { status, .. } if self.billed == Billed::Possibly => {
                Error::UpstreamTimedOut(format!("provider {provider} answered {status}"))
            }
            Cause::Status { status, .. } => Error::UpstreamFailed(format!("provider {provider} answered {status}")),
            Cause::Unreachable(why) => Error::UpstreamFailed(format!("provider {provider} cannot be reached: {why}")),
            Cause::TimedOut(what) => Error::UpstreamTimedOut(format!("provider {provider}: {what}")),
            Cause::Broke(why) => Error::UpstreamBroke(format!("provider {provider}: {why}")),
        }
    }
}

/// True of answers that the same request gets everywhere.
fn is_about_the_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 415 | 422)
}

/// Speaks with one kind of upstream.
#[async_trait]
trait Provider: Send + Sync {
    /// Sends one attempt. Dropping the future, or the stream it gave, ends the call at the provider.
    async fn send(&self, outgoing: Outgoing) -> Result<Answer, Failure>;
}

/// All kinds of upstream.
pub(crate) struct Providers {
    openai: Result<openai::OpenAi, String>,
    scripted: scripted::Scripted,
    secrets: Secrets,
}

impl Providers {
    /// As configured.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            openai: openai::OpenAi::new(&config.upstream).map_err(|error| error.to_string()),
            scripted: scripted::Scripted,
            secrets: config.secrets.clone(),
        }
    }

    /// Whether calls can be made at all.
    pub(crate) fn check(&self) -> Result<(), BoxError> {
        self.openai.as_ref().map(|_| ()).map_err(|why| why.clone().into())
    }

    /// Sends one attempt to an upstream of this kind.
    pub(crate) async fn send(&self, kind: ProviderKind, mut outgoing: Outgoing) -> Result<Answer, Failure> {
        if let Some(reference) = outgoing.key {
            let Some(secret) = self.secrets.find(&reference) else {
                return Err(Failure::unbilled(Cause::Unreachable(format!("there is no secret at {reference}"))));
            };
            outgoing.key = Some(secret);
        }
        match (kind, &self.openai) {
            (ProviderKind::Openai, Ok(openai)) => openai.send(outgoing).await,
            (ProviderKind::Openai, Err(why)) => Err(Failure::unbilled(Cause::Unreachable(why.clone()))),
            (ProviderKind::Scripted, _) => self.scripted.send(outgoing).await,
        }
    }
}
