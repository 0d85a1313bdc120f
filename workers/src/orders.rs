//! Sends commands as `sys_worker`, each decided once however often it has to be sent; and asks questions.
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
use steward_ports::trace;

use crate::WorkerPorts;

/// The pause after the first attempt without an answer; doubled after each further one, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How all that is sent here is written.
const FORMAT: Format = Format::MessagePack;

/// How long one command is sent again. Well below the ten minutes for which handlers know a command's id.
pub(crate) const ORDER_TIME_MAX: Duration = Duration::from_mins(2);

/// A command was not decided as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// It was refused: the same command will not be accepted.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nobody could be brought to answer. It may have been decided.
    #[error("no answer to {name} in {} seconds", ORDER_TIME_MAX.as_secs())]
    Unanswered {
        /// `noun.verb`.
        name: String,
        /// What the last attempt met.
        #[source]
        last: Option<BusError>,
    },
    /// It cannot be written; a defect here, not there.
    #[error("the command cannot be written")]
    Unwritable(#[source] BoxError),
}

/// What a command follows from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    /// The fact that led to it, as `<stream>@<position>`.
    pub(crate) causation: Option<String>,
    /// The chain it belongs to; a new one if none.
    pub(crate) correlation: Option<CorrelationId>,
    /// For whom it is sent.
    pub(crate) on_behalf_of: Option<PrincipalId>,
}

/// The sender.
#[derive(Clone)]
pub(crate) struct Orders {
    bus: Arc<dyn CommandBus>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Orders {
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
    ) -> Result<Reply, OrderError> {
        let command = command.into();
        let (noun, verb) = command.name();
        let body = command.write(FORMAT).map_err(OrderError::Unwritable)?;
        let request = self.request(tenant, (noun, verb), body, cause)?;
        let mut last = None;
        let attempts = async {
            let mut pause = PAUSE_MIN;
            loop {
                match self.bus.command(request.clone()).await {
                    Ok(reply) => return reply.into_result(),
                    Err(error) => {
                        tracing::debug!(command = %format_args!("{noun}.{verb}"), %error, "no answer; sending it again");
                        last = Some(error);
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        };
        match tokio::time::timeout(ORDER_TIME_MAX, attempts).await {
            Ok(decided) => Ok(decided?),
            Err(_) => Err(OrderError::Unanswered { name: format!("{noun}.{verb}"), last }),
        }
    }

    /// Asks the read models a question about `tenant`, once.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        view: &str,
        verb: &str,
        question: &impl Serialize,
    ) -> Result<T, BoxError> {
        let body = FORMAT.write(question)?.into();
        let answer = self.bus.query(self.request(tenant, (view, verb), body, &Cause::default())?).await??;
        Ok(FORMAT.read(&answer)?)
    }

    fn request(
        &self,
        tenant: &TenantId,
        (noun, verb): (&str, &str),
        body: Bytes,
        cause: &Cause,
    ) -> Result<Request, OrderError> {
        let id = self.ids.unique();
        let command_id = CommandId::new(&id).map_err(|error| OrderError::Unwritable(error.into()))?;
        let correlation = match &cause.correlation {
            Some(correlation) => correlation.clone(),
            None => CorrelationId::new(&id).map_err(|error| OrderError::Unwritable(error.into()))?,
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
