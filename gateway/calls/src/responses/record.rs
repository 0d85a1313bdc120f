//! What is kept of one response: how it stands, and once it has ended what was said and answered.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use steward_events::request::Format;
use steward_ports::contents::{Before, Revision};

use crate::contents::TenantContents;
use crate::dialect::openai_responses::kept::{Items, Unanswered};
use crate::error::Error;

/// The kinds of what is kept.
const RECORD: &str = "response";
const BODY: &str = "response_body";

/// A response that nobody has written of for so many seconds was left by a gateway that ended.
pub(super) const SILENCE_MAX_S: u64 = 60;

/// How a response stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) model: String,
    /// In seconds.
    pub(super) created_at: u64,
    /// What it builds on.
    pub(super) previous: Option<String>,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It is being made, and was at this time, in seconds.
    Running { at: u64 },
    /// It has ended, and its answer is kept.
    Ended,
    /// It was stopped.
    Cancelled,
    /// It was not made.
    Failed { code: String, message: String },
}

/// What was said and answered, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(with = "serde_bytes")]
    pub(super) said: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) answer: Vec<u8>,
}

/// Where the responses of one scope are.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) contents: TenantContents,
    pub(super) scope: String,
    pub(super) kept_for: Duration,
}

impl Record {
    /// How it is shown while there is no answer; `now` in seconds.
    pub(super) fn unanswered(&self, id: &str, now: u64) -> Bytes {
        let (status, error) = match &self.state {
            State::Running { at } if now.saturating_sub(*at) < SILENCE_MAX_S => ("in_progress", None),
            State::Running { .. } => {
                ("failed", Some(("server_error", "the gateway that made it ended; what it used is on record")))
            }
            State::Cancelled => ("cancelled", None),
            State::Failed { code, message } => ("failed", Some((code.as_str(), message.as_str()))),
            State::Ended => ("completed", None),
        };
        let (model, previous) = (self.model.as_str(), self.previous.as_deref());
        Unanswered { id, model, created_at: self.created_at, status, error, previous }.shown()
    }
}

impl Place {
    pub(super) async fn find(&self, id: &str) -> Result<Option<(Record, Revision)>, Error> {
        let Some((bytes, revision)) = self.contents.get(RECORD, &self.name(id)).await? else { return Ok(None) };
        Ok(Some((read(&bytes)?, revision)))
    }

    /// Writes how a response stands. None if something else was written meanwhile.
    pub(super) async fn write(&self, id: &str, record: &Record, before: Before) -> Result<Option<Revision>, Error> {
        self.contents.put((RECORD, &self.name(id)), &written(record), self.kept_for, before).await
    }

    /// What was said and answered.
    pub(super) async fn kept(&self, id: &str) -> Result<Kept, Error> {
        let bytes = self.contents.get_parts(BODY, &self.name(id)).await?;
        read(&bytes.ok_or_else(|| Error::NoSuchResponse(id.to_owned()))?)
    }

    /// What was said.
    pub(super) async fn said(&self, id: &str) -> Result<Items, Error> {
        match self.kept(id).await {
            Ok(Kept { said, .. }) => Ok(Items::read(&said).unwrap_or_default()),
            // It has not ended: what was said is kept with what is answered.
            Err(Error::NoSuchResponse(_)) => Ok(Items::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps a response that has ended. That it cannot be kept takes nothing from its caller, who has the answer.
    pub(super) async fn end(&self, id: &str, record: &Record, said: &Items, answer: &Bytes) {
        if let Err(error) = self.keep(id, record, said, answer).await {
            tracing::warn!(%error, "a response could not be kept");
        }
    }

    pub(super) async fn keep(&self, id: &str, record: &Record, said: &Items, answer: &Bytes) -> Result<(), Error> {
        let kept = Kept { said: said.write(), answer: answer.to_vec() };
        self.contents.put_parts((BODY, &self.name(id)), &written(&kept), self.kept_for).await?;
        self.write(id, record, Before::Anything).await.map(|_| ())
    }

    /// Says that a response that is being made is to be stopped.
    pub(super) async fn cancel(&self, id: &str) -> Result<Record, Error> {
        loop {
            let found = self.find(id).await?.ok_or_else(|| Error::NoSuchResponse(id.to_owned()))?;
            let (record, revision) = found;
            if !matches!(record.state, State::Running { .. }) {
                return Ok(record);
            }
            let cancelled = Record { state: State::Cancelled, ..record };
            if self.write(id, &cancelled, Before::Exactly(revision)).await?.is_some() {
                return Ok(cancelled);
            }
        }
    }

    pub(super) async fn forget(&self, id: &str) -> Result<(), Error> {
        let name = self.name(id);
        self.contents.remove_parts(BODY, &name).await?;
        self.contents.remove(RECORD, &name).await
    }

    /// Ids are their givers' own: a provider's are of any form, and another scope's are not these.
    fn name(&self, id: &str) -> String {
        self.contents.id_of(&[b"response", self.scope.as_bytes(), id.as_bytes()])
    }
}

fn written(value: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and bytes: there is nothing that could not be written.
    Format::MessagePack.write(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    Format::MessagePack
        .read(bytes)
        .map_err(|_| Error::Unavailable("what is kept of the response cannot be read".to_owned()))
}
