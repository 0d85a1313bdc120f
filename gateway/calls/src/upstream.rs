//! What the pipeline asks of an upstream: to send one attempt and bring back its answer, and to say of every failure whether
//! it may have been billed.
//!
//! The words that providers and the pipeline share. A provider must not know callers, budgets or routes, nor what callers
//! are told of its failures.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::StatusCode;
use steward_answers::problem::Problem;
use steward_events::event::{Operation, ProviderKind, RouteTerms};
use steward_events::id::ProviderId;

pub use crate::dialect::Refused;
use crate::dialect::{self, Speaks};
use crate::secrets::Secrets;

/// Speaks with one kind of upstream.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What is spoken at this base URL to those who want this; none if it has nothing of the kind.
    fn speaks(&self, url: &str, operation: Operation) -> Option<Speaks>;

    /// Sends one attempt. Dropping the future, or the stream it gave, ends the call at the provider.
    async fn send(&self, outgoing: Outgoing) -> Result<UpstreamAnswer, Failure>;
}

/// Whether an attempt may still go, asked at the last moment: when the connection is ready to take the body. A process
/// may have been stopped between any two of its steps, and what it knew is old when it wakes.
pub type PreSendCheck = BoxFuture<'static, Result<(), Revoked>>;

/// An attempt that may not go any more: nothing of its body was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call is no longer allowed")]
pub struct Revoked;

/// One attempt, as it goes out.
pub struct Outgoing {
    /// The provider's base URL.
    pub url: String,
    /// Its key.
    pub key: Option<String>,
    /// What is spoken to it …
    pub speaks: Speaks,
    /// … and its own name of the model: some providers take both from the path.
    pub model: String,
    /// The request's body.
    pub body: Bytes,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// True if the operators set the provider: then it may be anywhere, also on this machine.
    pub trusted: bool,
    /// How long it may take, where that is less than the provider's settings say.
    pub time_max: TimeMax,
    /// To be asked before the body goes.
    pub pre_send_check: PreSendCheck,
}

/// How long parts of an attempt may take; as the settings say where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeMax {
    /// To connect.
    pub connect: Option<Duration>,
    /// From sending the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer.
    pub idle: Option<Duration>,
    /// All of it.
    pub whole: Option<Duration>,
}

impl From<&RouteTerms> for TimeMax {
    fn from(RouteTerms { connect_ms, first_byte_ms, idle_ms, whole_ms, .. }: &RouteTerms) -> Self {
        let span = |ms: &Option<NonZeroU32>| ms.map(|ms| Duration::from_millis(ms.get().into()));
        Self { connect: span(connect_ms), first_byte: span(first_byte_ms), idle: span(idle_ms), whole: span(whole_ms) }
    }
}

/// What came back, as the upstream wrote it.
pub enum UpstreamAnswer {
    /// At once.
    Whole(Bytes),
    /// Piece by piece: the data of each event.
    Stream(UpstreamEvents),
}

/// The data of each event of an answer, as it comes.
pub type UpstreamEvents = BoxStream<'static, Result<Bytes, Failure>>;

/// Whether a failed attempt can have cost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// Certainly not: another target may be tried.
    No,
    /// It may have: its reservation stays unsettled.
    Possibly,
}

/// What an attempt failed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The provider answered with an error status.
    Refused(Refused),
    /// It could not be asked.
    Unreachable(String),
    /// It cannot be asked this, or in this way, however well it is: it lacks a key, or what is asked for.
    Unfit(String),
    /// It took too long.
    TimedOut(&'static str),
    /// Its answer broke off, or is none.
    Broke(String),
    /// The request cannot be said in its dialect.
    Untranslatable {
        /// The field.
        param: Option<String>,
        /// What cannot be said.
        message: String,
    },
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of what.
    pub cause: Cause,
    /// Whether it can have cost something.
    pub billed: Billed,
}

impl Failure {
    /// Nothing was billed for certain.
    pub fn unbilled(cause: Cause) -> Self {
        Self { cause, billed: Billed::No }
    }

    /// The request cannot be said in the provider's dialect: `why` names what.
    pub(crate) fn untranslatable(why: dialect::Error) -> Self {
        Self::unbilled(match why {
            dialect::Error::BadRequest { param, message } => Cause::Untranslatable { param, message },
            dialect::Error::NoSuchModel(_) => Cause::Untranslatable { param: None, message: why.to_string() },
        })
    }

    /// The provider's key cannot be had. Why is the operators' matter: callers hear, and history keeps, no more.
    pub(crate) fn not_configured(provider: &ProviderId) -> Self {
        Self::unbilled(Cause::Unfit(format!("the provider {provider} is not configured")))
    }

    /// It may have been billed.
    pub fn possibly(cause: Cause) -> Self {
        Self { cause, billed: Billed::Possibly }
    }

    /// The provider answered with a good status, and this in place of an answer.
    pub fn instead_of_answer(problem: Problem) -> Self {
        let status = problem.status.and_then(|status| StatusCode::from_u16(status).ok());
        Self::unbilled(Cause::Refused(Refused {
            as_answer: true,
            ..Refused::telling(status.unwrap_or(StatusCode::BAD_GATEWAY), problem)
        }))
    }

    /// The provider answered with an error status before any answer.
    pub fn refused(refused: Refused) -> Self {
        // A proxy on the way gave up waiting: the model behind it may be at work.
        let waited = matches!(refused.status.as_u16(), 408 | 504 | 524);
        Self { billed: if waited { Billed::Possibly } else { Billed::No }, cause: Cause::Refused(refused) }
    }

    /// For the log and the journal: without the provider's words, which may quote the prompt.
    pub(crate) fn reason(&self) -> String {
        match &self.cause {
            Cause::Refused(refused) => format!("status {}", refused.status.as_u16()),
            Cause::Unreachable(why) | Cause::Unfit(why) | Cause::Broke(why) => why.clone(),
            Cause::TimedOut(what) => (*what).to_owned(),
            Cause::Untranslatable { param, .. } => {
                format!("its dialect has no {}", param.as_deref().unwrap_or("such request"))
            }
        }
    }
}

/// All kinds of upstream, and where their keys are found.
#[derive(Clone)]
pub struct Providers {
    by_kind: Arc<HashMap<ProviderKind, Arc<dyn Provider>>>,
    secrets: Secrets,
}

impl Providers {
    /// These providers, with keys from `secrets`.
    pub fn new(by_kind: impl IntoIterator<Item = (ProviderKind, Arc<dyn Provider>)>, secrets: Secrets) -> Self {
        Self { by_kind: Arc::new(by_kind.into_iter().collect()), secrets }
    }

    /// The provider of this kind.
    pub(crate) fn get(&self, kind: ProviderKind) -> Result<&dyn Provider, Failure> {
        let found = self.by_kind.get(&kind).map(|provider| &**provider);
        found.ok_or_else(|| Failure::unbilled(Cause::Unfit("this process has no such provider".to_owned())))
    }

    /// The key of `provider`, at `reference` in the surroundings of this process.
    pub(crate) fn key(&self, provider: &ProviderId, reference: Option<&str>) -> Result<Option<String>, Failure> {
        let Some(reference) = reference else { return Ok(None) };
        let missing = || {
            tracing::error!(provider = %provider, reference, "there is no secret at the provider's reference");
            Failure::not_configured(provider)
        };
        self.secrets.find(reference).map(Some).ok_or_else(missing)
    }
}
