//! Places of quotas: what has a stream of its own cannot be counted there, so it takes a place in the tenant's stream of quotas
//! before it is made.
//!
//! A process may stop in between; the process manager `quota_places` gives back what was taken for nothing. It must not know
//! what is counted: the command says of which quota it takes a place.

use steward_events::command::{Command, ReturnPlace, TakePlace};
use steward_events::event::Quotas;
use steward_events::id::{CommandId, CorrelationId};
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::request::Reply;
use steward_events::scope::Scope;
use steward_events::stream::StreamName;
use steward_ports::bus::Failure;
use steward_ports::log::Filter;
use tokio::sync::oneshot;

use crate::group_commit::Job;
use crate::service::{Handler, Sender, unavailable};

/// A place that was taken for a command that is not decided yet.
pub(crate) struct Place(ReturnPlace);

impl Handler {
    /// Takes the place that `command` needs, if what it makes is counted, bounded for this tenant and not there yet.
    pub(crate) async fn take_place(
        &self,
        stream: &StreamName,
        command: &Command,
        sender: &Sender,
    ) -> Result<Result<Option<Place>, Rejection>, Failure> {
        let quota = command.body().takes_place_of();
        let Some((quota, limit)) = quota.and_then(|quota| Some((quota, sender.quotas.limit(quota)?))) else {
            return Ok(Ok(None));
        };
        if self.exists(stream).await? {
            return Ok(Ok(None));
        }
        let id = stream.id.clone();
        let take = TakePlace { quota, id: id.clone(), limit: Some(limit) };
        let reply = self.decide_of_places(stream, take.into(), sender).await?;
        if let Some(rejection) = reply.rejection {
            return Ok(Err(rejection));
        }
        // Another command for the same thing may have taken it: then that one sees to it.
        let taken = !reply.events.is_empty();
        Ok(Ok(taken.then_some(Place(ReturnPlace { quota, id }))))
    }

    /// Gives the place back if what it was taken for was refused. Should that fail, the process manager does it.
    pub(crate) async fn return_if_unused(
        &self,
        stream: &StreamName,
        Place(back): Place,
        (reply, sender): (&Result<Reply, Rejection>, &Sender),
    ) {
        let accepted = reply.as_ref().is_ok_and(|reply| reply.accepted);
        if accepted || self.exists(stream).await.unwrap_or(true) {
            return;
        }
        if let Err(error) = self.decide_of_places(stream, back.into(), sender).await {
            tracing::warn!(%stream, %error, "a place of a quota is given back later");
        }
    }

    async fn exists(&self, stream: &StreamName) -> Result<bool, Failure> {
        Ok(self.env.log.last(&Filter::stream(stream)).await.map_err(unavailable)? != Position(0))
    }

    /// Decided like every command, but sent by nobody: a fresh id, for the same thing may be taken again.
    async fn decide_of_places(&self, of: &StreamName, command: Command, sender: &Sender) -> Result<Reply, Failure> {
        let no_id = |error: steward_events::id::InvalidId| Failure(error.to_string());
        let (id, correlation) = (self.env.ids.unique(), self.env.ids.unique());
        let (reply, replied) = oneshot::channel();
        let places =
            StreamName { shard: of.shard, tenant: of.tenant.clone(), kind: command.aggregate(), id: command.stream() };
        let job = Job {
            command,
            id: CommandId::new(id).map_err(no_id)?,
            issued_at: self.env.clock.now(),
            on_behalf_of: None,
            actor: sender.principal.clone(),
            key: sender.key.clone(),
            causation: Some(of.to_string()),
            correlation: CorrelationId::new(correlation).map_err(no_id)?,
            reach: Scope::tenant(&of.tenant),
            body: None,
            timezone: sender.timezone.clone(),
            quotas: Quotas::default(),
            bytes: 0,
            reply,
        };
        self.streams.lane(&places)?.bring(job).await?;
        replied.await.unwrap_or_else(|_| Err(Failure("the decision was lost; send the command again".to_owned())))
    }
}
