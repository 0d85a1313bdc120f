//! Answers that are given to more calls than the one that they were made for: kept for a while, and shared by calls that
//! run at the same time.
//!
//! An answer is for calls that ask for the very same within the same scope ([`key::CacheKey`]), and only if it was whole.
//! Each call that gets one is on record by itself, at no cost. This module knows answers as bytes; it must not know
//! dialects, budgets or who is authorised.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use steward_events::event::{CachePolicy, Saved, Target};
use steward_events::id::CallId;
use steward_events::request::Format;
use steward_ports::clock::Clock;

mod flight;
mod key;
mod store;

pub(crate) use flight::{Begun, Follower, Heard, Leader};
pub(crate) use key::{Asked, CacheKey};

use flight::Flights;
use store::Store;

/// An answer that was whole, as its caller got it.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The answer.
    pub(crate) body: KeptBody,
    /// The call that it was made for.
    pub(crate) made: Made,
}

/// A call whose answer is given to others too.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The call.
    pub(crate) call: CallId,
    /// Who answered it.
    pub(crate) target: Target,
    /// What it came to: nobody else needs to spend that.
    pub(crate) saves: Saved,
}

/// An answer in its caller's dialect.
#[derive(Debug)]
pub(crate) enum KeptBody {
    /// At once.
    Whole(Bytes),
    /// As a stream.
    Stream {
        /// All its events but the last, as they went out.
        events: Bytes,
        /// What is said at the end beside what the call came to.
        held: Option<Bytes>,
    },
}

/// How an answer is written beside the log.
#[derive(Serialize, Deserialize)]
struct Written {
    call: CallId,
    target: Target,
    saves: Saved,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    /// Of a stream, whether something is said at its end beside what the call came to, and what.
    stream: Option<Option<serde_bytes::ByteBuf>>,
}

impl Kept {
    /// As it is written beside the log.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Made { call, target, saves } = self.made.clone();
        let (body, stream) = match &self.body {
            KeptBody::Whole(body) => (body, None),
            KeptBody::Stream { events, held } => {
                (events, Some(held.as_ref().map(|held| serde_bytes::ByteBuf::from(&held[..]))))
            }
        };
        let written = Written { call, target, saves, body: body.to_vec(), stream };
        // Ids, numbers and bytes: there is nothing that could not be written.
        Format::MessagePack.write(&written).unwrap_or_default()
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let Written { call, target, saves, body, stream } = Format::MessagePack.read(bytes).ok()?;
        let body = match stream {
            None => KeptBody::Whole(body.into()),
            Some(held) => KeptBody::Stream { events: body.into(), held: held.map(|held| Bytes::from(held.into_vec())) },
        };
        Some(Self { body, made: Made { call, target, saves } })
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        /// Keys, ids and what holds them.
        const BESIDE: usize = 1_024;
        let answer = match &self.body {
            KeptBody::Whole(body) => body.len(),
            KeptBody::Stream { events, held } => events.len() + held.as_ref().map_or(0, Bytes::len),
        };
        answer + BESIDE
    }
}

/// What there is for a call that may be answered with another's answer.
pub(crate) enum Found {
    /// An earlier answer, this old.
    Hit(Arc<Kept>, Duration),
    /// A call that is on its way.
    Underway(Follower),
    /// Nothing: it is to be made, and heard by those who come meanwhile.
    Nothing(Leader),
}

/// The answers of one process.
#[derive(Clone)]
pub(crate) struct Cache {
    store: Arc<Store>,
    flights: Arc<Flights>,
    clock: Arc<dyn Clock>,
}

impl Cache {
    /// One that keeps so many bytes.
    pub(crate) fn new(bytes_max: usize, clock: Arc<dyn Clock>) -> Self {
        Self { store: Arc::new(Store::new(bytes_max)), flights: Arc::default(), clock }
    }

    /// What there is under `key`, by this policy.
    pub(crate) fn ask(&self, key: &CacheKey, policy: CachePolicy) -> Found {
        if let Some((kept, age)) = self.find(key, policy) {
            return Found::Hit(kept, age);
        }
        if !policy.coalesce {
            return Found::Nothing(Leader::alone(self.keeper(key, policy)));
        }
        match self.flights.join(key, || self.keeper(key, policy)) {
            Found::Nothing(leader) => match self.find(key, policy) {
                // The call that was on its way a moment ago has ended since.
                Some((kept, age)) => Found::Hit(kept, age),
                None => Found::Nothing(leader),
            },
            found => found,
        }
    }

    fn find(&self, key: &CacheKey, policy: CachePolicy) -> Option<(Arc<Kept>, Duration)> {
        if policy.ttl_s == 0 {
            return None;
        }
        let now = self.clock.monotonic();
        let (kept, at) = self.store.find(key, now)?;
        let age = now.saturating_sub(at);
        // The policy may have become shorter since.
        (age < ttl(policy)).then_some((kept, age))
    }

    fn keeper(&self, key: &CacheKey, policy: CachePolicy) -> Keeper {
        Keeper { store: Arc::clone(&self.store), clock: Arc::clone(&self.clock), key: key.clone(), ttl: ttl(policy) }
    }
}

/// Keeps one answer, once it is whole.
pub(crate) struct Keeper {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    key: CacheKey,
    /// Not at all if zero.
    ttl: Duration,
}

impl Keeper {
    fn keep(&self, kept: &Arc<Kept>) {
        if !self.ttl.is_zero() {
            let now = self.clock.monotonic();
            self.store.keep(&self.key, Arc::clone(kept), now, now + self.ttl);
        }
    }
}

fn ttl(policy: CachePolicy) -> Duration {
    Duration::from_secs(policy.ttl_s.into())
}
/// What kept and shared answers had to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// It got an earlier answer.
    Hit {
        /// How old the answer is.
        age: Duration,
    },
    /// It got the answer of another call that was on its way.
    Shared,
    /// It got its own answer again: it had come before under the same `Idempotency-Key`.
    Replayed,
    /// There was none, and it was made.
    Miss,
    /// None was looked for: its caller, or what it asks for, wants one of its own.
    Bypass,
}

impl CacheUse {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit { .. } => "hit",
            Self::Shared => "shared",
            Self::Replayed => "replayed",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}
