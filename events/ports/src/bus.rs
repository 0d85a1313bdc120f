//! Commands and queries on the bus, as ports. The principal is in the subject, because the bus enforces it.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use steward_events::BoxError;
use steward_events::event::DenialKind;
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_events::timestamp::Timestamp;

/// A command or query got no answer.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody serves it now.
    #[error("no process answers {subject}: is the role running?")]
    NobodyListens {
        /// The subject.
        subject: String,
    },
    /// No answer in time. A command may have been decided; send it again with the same id.
    #[error("{subject} did not answer in time")]
    TimedOut {
        /// The subject.
        subject: String,
    },
    /// The machinery behind it failed and said so.
    #[error("{subject} failed: {reason}")]
    Failed {
        /// The subject.
        subject: String,
        /// What it said.
        reason: String,
    },
    /// The bus cannot be reached or will not carry it.
    #[error("the bus is unavailable")]
    Unavailable(#[source] BoxError),
}

/// Sends commands and queries.
#[async_trait]
pub trait CommandBus: Send + Sync + 'static {
    /// Sends a command and waits for what came of it.
    async fn command(&self, request: Request) -> Result<Reply, BusError>;

    /// Sends a query and waits for its whole answer. A refusal is `Ok(Err(_))`.
    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError>;
}

/// The machinery failed; the sender is told to try again, the cause is logged here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Decides commands: what is registered on the bus, one service a noun.
#[async_trait]
pub trait CommandService: Send + Sync + 'static {
    /// Decides one command.
    async fn handle(&self, request: Request) -> Result<Reply, Failure>;

    /// Hears of a command that was refused before it came here.
    fn refused(&self, _tenant: &TenantId, _principal: &PrincipalId, _kind: DenialKind, _why: &str) {}
}

/// Answers queries: what is registered on the bus, one service a view.
#[async_trait]
pub trait QueryService: Send + Sync + 'static {
    /// Answers one query with a body in the request's format.
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure>;

    /// Hears of a query that was refused before it came here.
    fn refused(&self, _tenant: &TenantId, _principal: &PrincipalId, _kind: DenialKind, _why: &str) {}
}

/// Who somebody is whom the bus is asked to let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusCaller {
    /// The tenant the caller belongs to.
    pub tenant: TenantId,
    /// As whom the caller acts.
    pub principal: PrincipalId,
    /// With which key.
    pub key: KeyId,
    /// When that ends.
    pub expires: Option<Timestamp>,
    /// Whether the key reaches all that its principal does, for good: then the caller may also send under the
    /// principal's name.
    pub whole: bool,
    /// Whether the caller may read its tenant's log.
    pub reads_log: bool,
}

/// Tells who holds an API key, and for how long what that gives still holds.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The caller whose key this is; none if it is no valid key now, or too many wrong ones came from `address`.
    async fn authenticate(&self, secret: &str, address: Option<IpAddr>) -> Option<BusCaller>;

    /// Whether all that `caller` was let in for still holds, as far as is known here: key, principal, tenant, reading.
    fn holds(&self, caller: &BusCaller) -> bool;

    /// Another number whenever an answer of [`Self::holds`] may have changed otherwise than by time.
    fn version(&self) -> u64;

    /// Hears of everybody who was not let in.
    fn refused(&self, _refused: LoginRefused<'_>) {}
}

/// Somebody was not let in to the bus.
#[derive(Clone, Copy, Debug)]
pub struct LoginRefused<'a> {
    /// Who, if their key is good.
    pub caller: Option<&'a BusCaller>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Why not.
    pub why: &'a str,
}

/// A bus within one process: for tests and simulations.
pub struct LocalBus {
    commands: Arc<dyn CommandService>,
    queries: Option<Arc<dyn QueryService>>,
}

impl LocalBus {
    /// A bus whose commands are decided by `commands`.
    pub fn new(commands: Arc<dyn CommandService>, queries: Option<Arc<dyn QueryService>>) -> Self {
        Self { commands, queries }
    }
}

#[async_trait]
impl CommandBus for LocalBus {
    async fn command(&self, request: Request) -> Result<Reply, BusError> {
        let subject = request.command_subject();
        self.commands.handle(request).await.map_err(|Failure(reason)| BusError::Failed { subject, reason })
    }

    async fn query(&self, request: Request) -> Result<Result<Bytes, Rejection>, BusError> {
        let subject = request.query_subject();
        let Some(queries) = &self.queries else { return Err(BusError::NobodyListens { subject }) };
        queries.answer(request).await.map_err(|Failure(reason)| BusError::Failed { subject, reason })
    }
}
