//! Calls that may come again under the same key: of all that come, one is made, and the others get its answer.
//!
//! A claim is a record beside the log, written by whoever comes first; each further writing names the one before, so of two
//! that write one goes on and the other stops. Nothing is sent before the record says so: what is found as taken only was
//! certainly not sent. A claim whose holder lives is written again and again; one that falls silent was left by a process
//! that died: if it was not sent, the next who comes takes it; else what came of it is unknown, for good, and that is said.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steward_events::id::CallId;
use steward_events::request::Format;
use steward_ports::clock::Clock;
use steward_ports::contents::{Before, Revision};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::cache::Kept;
use crate::contents::TenantContents;
use crate::error::Error;

/// The most characters of a key.
const KEY_BYTES_MAX: usize = 255;

/// How often a claim is written again while its call runs.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// A claim that was not written for so long was left: by the clock of who waits for it, so clocks need not agree.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How often who waits looks, at first and at last.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// The kinds of what is kept.
const CLAIM: &str = "claim";
const ANSWER: &str = "answer";

/// The caller's name for a call, by which it may come again.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads a key.
    ///
    /// # Errors
    /// What a key is, unless it is 1 to 255 visible ASCII characters.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err("is 1 to 255 visible ASCII characters, without spaces") }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A call that comes under a key.
pub(crate) struct Comes<'a> {
    /// Where its tenant's contents are.
    pub(crate) contents: TenantContents,
    /// Who calls: two callers may choose the same key.
    pub(crate) caller: &'a [u8],
    /// The key.
    pub(crate) key: &'a IdempotencyKey,
    /// What is asked for.
    pub(crate) asks: &'a [&'a [u8]],
}

/// What there is for a call that comes.
pub(crate) enum Taken {
    /// It is the one to be made.
    Mine(Claim),
    /// It was made, and this is its answer.
    Answered(Kept),
}

/// The claims of one process.
pub(crate) struct Claims {
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a claim and its answer are kept.
    pub(crate) kept_for: Duration,
    /// How long a call waits for another under the same key.
    pub(crate) wait_max: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    /// A digest of what is asked for.
    asks: String,
    state: State,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Nothing of it was sent.
    Taken,
    /// From here on it may be at a provider.
    Sent { call: CallId },
    /// It was answered.
    Answered { call: CallId },
    /// Nobody knows what came of it, or it may have been billed without an answer that can be given again.
    Lost { call: CallId, why: String },
    /// Nothing was billed: it may be made by whoever comes next.
    Free,
}

impl Claims {
    /// Takes the claim for a call, or finds what was made of it; waits while another makes it.
    ///
    /// # Errors
    /// If the key was used for something else, or what came of the call is unknown, or another makes it for too long.
    pub(crate) async fn take(&self, comes: Comes<'_>) -> Result<Taken, Error> {
        let Comes { contents, caller, key, asks } = comes;
        let place = Place { id: contents.id_of(&[b"claim", caller, key.0.as_bytes()]), contents };
        let asks = place.contents.id_of(asks);
        let (began, mut seen) = (self.clock.monotonic(), None);
        let mut pause = LOOK_EVERY[0];
        loop {
            let found = place.find().await?;
            let now = self.clock.monotonic();
            let Some((record, revision)) = found else {
                place.contents.check_room().await?;
                match self.claim(&place, &asks, Before::Nothing).await? {
                    Some(mine) => return Ok(Taken::Mine(mine)),
                    None => continue,
                }
            };
            if record.asks != asks {
                return Err(Error::IdempotencyKeyReused);
            }
            let since = match seen {
                Some((known, since)) if known == revision => since,
                _ => now,
            };
            seen = Some((revision, since));
            let is_silent = now.saturating_sub(since) >= SILENCE_MAX;
            match record.state {
                State::Taken | State::Sent { .. } if !is_silent => {}
                State::Taken | State::Free => match self.claim(&place, &asks, Before::Exactly(revision)).await? {
                    Some(mine) => return Ok(Taken::Mine(mine)),
                    None => continue,
                },
                State::Sent { call } => {
                    let why = "the gateway that made it ended before its answer was recorded".to_owned();
                    let record = Record { asks: asks.clone(), state: State::Lost { call, why } };
                    // If another was sooner, the next look tells.
                    place.write(&record, self.kept_for, Before::Exactly(revision)).await?;
                    continue;
                }
                State::Answered { call } => return place.answer(&call).await.map(Taken::Answered),
                State::Lost { call, why } => return Err(Error::OutcomeUnknown { call, why }),
            }
            if now.saturating_sub(began) >= self.wait_max {
                return Err(Error::StillRunning);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_EVERY[1]);
        }
    }

    /// Writes that the call is this process's to make. None if another was sooner.
    async fn claim(&self, place: &Place, asks: &str, before: Before) -> Result<Option<Claim>, Error> {
        let record = Record { asks: asks.to_owned(), state: State::Taken };
        let written = place.write(&record, self.kept_for, before).await?;
        Ok(written.map(|revision| Claim::hold(place.clone(), self.kept_for, Held { record, revision })))
    }
}

/// Where the claim of one key is.
#[derive(Clone)]
struct Place {
    contents: TenantContents,
    id: String,
}

impl Place {
    async fn find(&self) -> Result<Option<(Record, Revision)>, Error> {
        let Some((bytes, revision)) = self.contents.get(CLAIM, &self.id).await? else { return Ok(None) };
        let record = Format::MessagePack.read(&bytes).map_err(|_| unreadable())?;
        Ok(Some((record, revision)))
    }

    async fn write(&self, record: &Record, kept_for: Duration, before: Before) -> Result<Option<Revision>, Error> {
        let bytes = Format::MessagePack.write(record).map_err(|_| unreadable())?;
        self.contents.put((CLAIM, &self.id), &bytes, kept_for, before).await
    }

    async fn answer(&self, call: &CallId) -> Result<Kept, Error> {
        let lost = |why: &str| Error::OutcomeUnknown { call: call.clone(), why: why.to_owned() };
        let bytes = self.contents.get_parts(ANSWER, call.as_str()).await?;
        let bytes = bytes.ok_or_else(|| lost("its answer is no longer kept"))?;
        Kept::read(&bytes).ok_or_else(|| lost("its answer cannot be read"))
    }
}

fn unreadable() -> Error {
    Error::Unavailable("what is kept of this Idempotency-Key cannot be read".to_owned())
}

/// The right to make a call under its key, until it is said what came of it. Dropped before, it falls silent.
pub(crate) struct Claim {
    place: Place,
    kept_for: Duration,
    held: Arc<Mutex<Held>>,
    /// Writes it again and again.
    beat: AbortHandle,
}

struct Held {
    record: Record,
    revision: Revision,
}

impl Claim {
    fn hold(place: Place, kept_for: Duration, held: Held) -> Self {
        let held = Arc::new(Mutex::new(held));
        let (beats, of) = (Arc::clone(&held), place.clone());
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(WRITE_EVERY).await;
                let mut held = beats.lock().await;
                match of.write(&held.record, kept_for, Before::Exactly(held.revision)).await {
                    Ok(Some(revision)) => held.revision = revision,
                    // Another has it: this call sends nothing any more.
                    Ok(None) => return,
                    Err(error) => tracing::warn!(%error, "a claim could not be written again"),
                }
            }
        });
        Self { place, kept_for, held, beat: beat.abort_handle() }
    }

    /// The call is about to be sent. Only if this succeeds, it may be.
    ///
    /// # Errors
    /// If another has taken the claim meanwhile, or it cannot be written.
    pub(crate) async fn send(&self, call: &CallId) -> Result<(), Error> {
        self.write(State::Sent { call: call.clone() }).await
    }

    /// The call is over: with an answer that is kept, or without one, for this reason.
    pub(crate) async fn end(&self, call: &CallId, answer: Result<&Kept, &str>) {
        let state = match answer {
            Ok(kept) => match self.keep(call, kept).await {
                Ok(()) => State::Answered { call: call.clone() },
                Err(_) => return,
            },
            Err(why) => State::Lost { call: call.clone(), why: why.to_owned() },
        };
        self.write_or_tell(state).await;
    }

    /// The call came to nothing: it was certainly not billed, or `error` says that it may have been.
    pub(crate) async fn fail(&self, error: &Error) {
        let call = match &self.held.lock().await.record.state {
            State::Sent { call } if error.may_be_billed() => Some(call.clone()),
            _ => None,
        };
        match call {
            Some(call) => self.end(&call, Err(&error.to_string())).await,
            None => self.write_or_tell(State::Free).await,
        }
    }

    async fn keep(&self, call: &CallId, kept: &Kept) -> Result<(), Error> {
        self.place.contents.put_parts((ANSWER, call.as_str()), &kept.write(), self.kept_for).await
    }

    async fn write_or_tell(&self, state: State) {
        if let Err(error) = self.write(state).await {
            tracing::warn!(%error, "what came of a call could not be written to its claim");
        }
    }

    async fn write(&self, state: State) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        let record = Record { state, ..held.record.clone() };
        let written = self.place.write(&record, self.kept_for, Before::Exactly(held.revision)).await?;
        let revision = written.ok_or(Error::StillRunning)?;
        *held = Held { record, revision };
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

#[cfg(test)]
mod tests;
