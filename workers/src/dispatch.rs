//! Sends commands as `sys_worker`, each decided once however often it has to be sent; and queries.
//!
//! Knows how long an unanswered command is worth repeating. Must not know what any command is for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steward_events::BoxError;
use steward_events::command::Command;
use steward_events::id::{CommandId, CorrelationId, PrincipalId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::rejection::Rejection;
use steward_events::request::{Envelope, Format, Reply, Request};
use steward_ports::bus::{BusError, CommandBus};
use steward_ports::clock::Clock;
use steward_ports::dispatch::{Patience, send_until_decided};
use steward_ports::trace;

use crate::WorkerPorts;

/// How all that is sent here is written.
const FORMAT: Format = Format::MessagePack;

/// How long one command is sent again.
const PATIENCE: Patience = Patience {
    pause_min: Duration::from_millis(50),
    pause_max: Duration::from_secs(2),
    time_max: Duration::from_mins(2),
};

/// A command was not decided as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    /// It was refused: the same command will not be accepted.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No answer in time. It may have been decided.
    #[error("no answer to {name} in {} seconds", PATIENCE.time_max.as_secs())]
    Unanswered {
        /// `noun.verb`.
        name: String,
        /// What the last attempt met.
        #[source]
        last: BusError,
    },
    /// It cannot be written; a defect here, not there.
    #[error("the command cannot be written")]
    Unwritable(#[source] BoxError),
}

/// What a command follows from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    /// The event that led to it, as `<stream>@<position>`.
    pub(crate) causation: Option<String>,
    /// The chain it belongs to; a new one if none.
    pub(crate) correlation: Option<CorrelationId>,
    /// For whom it is sent.
    pub(crate) on_behalf_of: Option<PrincipalId>,
}

/// The sender.
#[derive(Clone)]
pub(crate) struct Dispatch {
    bus: Arc<dyn CommandBus>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Dispatch {
    /// Over these ports.
    pub(crate) fn new(ports: &WorkerPorts) -> Self {
        Self { bus: Arc::clone(&ports.bus), clock: Arc::clone(&ports.clock), ids: Arc::clone(&ports.ids) }
    }

    /// Sends `command` about `tenant` until it is decided.
    pub(crate) async fn send(
        &self,
        tenant: &TenantId,
        command: impl Into<Command>,
        cause: &Cause,
    ) -> Result<Reply, DispatchError> {
        let command = command.into();
        let (noun, verb) = command.name();
        let body = command.write(FORMAT).map_err(DispatchError::Unwritable)?;
        let request = self.request(tenant, (noun, verb), body, cause)?;
        match send_until_decided(&*self.bus, &request, PATIENCE).await {
            Ok(reply) => Ok(reply.into_result()?),
            Err(last) => Err(DispatchError::Unanswered { name: format!("{noun}.{verb}"), last }),
        }
    }

    /// Sends a query about `tenant` to the read models, once.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        view: &str,
        verb: &str,
        query: &impl Serialize,
    ) -> Result<T, BoxError> {
        let body = FORMAT.write(query)?.into();
        let answer = self.bus.query(self.request(tenant, (view, verb), body, &Cause::default())?).await??;
        Ok(FORMAT.read(&answer)?)
    }

    fn request(
        &self,
        tenant: &TenantId,
        (noun, verb): (&str, &str),
        body: Bytes,
        cause: &Cause,
    ) -> Result<Request, DispatchError> {
        let id = self.ids.unique();
        let command_id = CommandId::new(&id).map_err(|error| DispatchError::Unwritable(error.into()))?;
        let correlation = match &cause.correlation {
            Some(correlation) => correlation.clone(),
            None => CorrelationId::new(&id).map_err(|error| DispatchError::Unwritable(error.into()))?,
        };
        Ok(Request {
            tenant: tenant.clone(),
            principal: PrincipalId::system(SystemPart::Worker),
            noun: noun.to_owned(),
            verb: verb.to_owned(),
            envelope: Envelope {
                command: command_id,
                issued_at: self.clock.now(),
                on_behalf_of: cause.on_behalf_of.clone(),
                causation: cause.causation.clone(),
                correlation,
                traceparent: trace::current_traceparent(),
            },
            format: FORMAT,
            body,
        })
    }
}
