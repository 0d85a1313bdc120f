//! A response that is made while nobody waits for it: on record as being made, again every second; whoever cancels it writes
//! that there, and its maker stops when it sees so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steward_ports::contents::{Before, Revision};

use super::Responses;
use super::record::{Place, Record, State};
use crate::call::{Accepted, ReplyBody};
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::openai_responses::kept::{Items, Said, Unanswered};
use crate::error::Error;

/// How often it is written that it is being made.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Begins to make a response; returns how it stands.
pub(super) async fn begin(
    responses: &Arc<Responses>,
    accepted: Accepted,
    place: Place,
    (ended, said): (Record, Items),
) -> Result<Bytes, Error> {
    let id = format!("resp_{}", responses.calls.ids.unique());
    let running = Record { state: State::Running { at: ended.created_at }, ..ended.clone() };
    let taken = place.write(&id, &running, Before::Nothing).await?;
    let revision = taken.ok_or_else(|| Error::Unavailable("the new response's id is taken; try again".to_owned()))?;
    let (model, previous) = (ended.model.as_str(), ended.previous.as_deref());
    let (created_at, status, error) = (ended.created_at, "queued", None);
    let shown = Unanswered { id: &id, model, created_at, status, error, previous }.shown();
    let making = Making { responses: Arc::clone(responses), place, id, ended, said };
    responses.calls.tracker.spawn(making.run(accepted, running, revision));
    Ok(shown)
}

/// A response that is being made.
struct Making {
    responses: Arc<Responses>,
    place: Place,
    id: String,
    /// What is written when it has ended.
    ended: Record,
    said: Items,
}

impl Making {
    async fn run(self, accepted: Accepted, running: Record, revision: Revision) {
        let answered = tokio::select! {
            answered = self.make(accepted) => answered,
            // Dropped, the call is as one whose caller has gone: what it used is recorded.
            () = self.write_on(running, revision) => return,
        };
        let end = match answered {
            Ok(answer) => self.place.keep(&self.id, &self.ended, &self.said, &answer).await,
            Err(error) => {
                let state = State::Failed { code: "server_error".to_owned(), message: error.to_string() };
                let failed = Record { state, ..self.ended.clone() };
                self.place.write(&self.id, &failed, Before::Anything).await.map(|_| ())
            }
        };
        if let Err(error) = end {
            tracing::warn!(%error, response.id = %self.id, "the end of a response could not be kept");
        }
    }

    async fn make(&self, accepted: Accepted) -> Result<Bytes, Error> {
        let reply = self.responses.calls.make(&OpenAiResponses, accepted).await?;
        let said = Said { id: self.id.clone(), previous: self.ended.previous.clone(), background: true };
        match reply.body {
            ReplyBody::Whole(answer, _) => Ok(said.restate(&answer)),
            ReplyBody::Stream(_) | ReplyBody::Kept(_) => {
                Err(Error::UpstreamBroke("it answered with a stream that nobody asked for".to_owned()))
            }
        }
    }

    /// Writes again and again that it is being made; ends when another wrote something else.
    async fn write_on(&self, mut running: Record, mut revision: Revision) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            running.state = State::Running { at: self.responses.now() };
            match self.place.write(&self.id, &running, Before::Exactly(revision)).await {
                Ok(Some(written)) => revision = written,
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, response.id = %self.id, "a response could not be written of"),
            }
        }
    }
}
