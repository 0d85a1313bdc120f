//! Answers that are given to more calls than the one that they were made for: kept for a while, and shared by calls that
//! run at the same time.
//!
//! An answer is for calls that ask for the very same within the same scope ([`key::CacheKey`]), and only if it was whole.
//! Each call that gets one is on record by itself, at no cost or at its part of the cost. Answers are looked for in the
//! memory of this process, then, where the policy says so, among those that all gateways have in common. This module knows
//! answers as bytes; it must not know dialects, budgets or who is authorised.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use steward_events::event::{CachePolicy, Saved, Similarity, Target};
use steward_events::id::{CallId, CorrelationId, TenantId};
use steward_events::quantity::Shard;
use steward_events::request::Format;
use steward_ports::clock::Clock;

mod common;
mod flight;
mod key;
mod split;
mod store;

pub(crate) use common::Common;
pub(crate) use flight::{Begun, Follower, Heard, Leader};
pub(crate) use key::{Asked, CacheKey};
pub(crate) use split::{Bill, Place, Share};
pub(crate) use store::Asks;

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
    stream: bool,
    /// Of a stream, what is said at its end beside what the call came to.
    held: Option<serde_bytes::ByteBuf>,
}

impl Kept {
    /// As it is written beside the log.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Made { call, target, saves } = self.made.clone();
        let (body, stream, held) = match &self.body {
            KeptBody::Whole(body) => (body, false, None),
            KeptBody::Stream { events, held } => (events, true, held.as_ref()),
        };
        let held = held.map(|held| serde_bytes::ByteBuf::from(&held[..]));
        let written = Written { call, target, saves, body: body.to_vec(), stream, held };
        // Ids, numbers and bytes: there is nothing that could not be written.
        Format::MessagePack.write(&written).unwrap_or_default()
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let Written { call, target, saves, body, stream, held } = Format::MessagePack.read(bytes).ok()?;
        let (body, held) = (Bytes::from(body), held.map(|held| Bytes::from(held.into_vec())));
        let body = if stream { KeptBody::Stream { events: body, held } } else { KeptBody::Whole(body) };
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

/// The answer to a question in other words.
pub(crate) struct Nearest {
    pub(crate) kept: Arc<Kept>,
    pub(crate) age: Duration,
    /// How near the questions are.
    pub(crate) score: Similarity,
}

/// Where a call comes from, as far as the answers that are kept for all gateways must know it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Where its tenant lies.
    pub(crate) shard: Shard,
    /// The caller's request.
    pub(crate) request: CorrelationId,
}

/// The answers of one process, and those that it has in common with others.
#[derive(Clone)]
pub(crate) struct Cache {
    store: Arc<Store>,
    flights: Arc<Flights>,
    clock: Arc<dyn Clock>,
    common: Option<Common>,
}

impl Cache {
    /// One that keeps so many bytes.
    pub(crate) fn new(bytes_max: usize, clock: Arc<dyn Clock>, common: Option<Common>) -> Self {
        Self { store: Arc::new(Store::new(bytes_max)), flights: Arc::default(), clock, common }
    }

    /// What this process has under `key`, by this policy.
    pub(crate) fn ask(&self, key: &CacheKey, policy: &CachePolicy, origin: &Origin) -> Found {
        if let Some((kept, age)) = self.find(key, policy) {
            return Found::Hit(kept, age);
        }
        let keeper = || self.keeper(key, policy, origin);
        if policy.coalesce.is_off() {
            return Found::Nothing(Leader::alone(keeper()));
        }
        match self.flights.join(key, keeper) {
            Found::Nothing(leader) => match self.find(key, policy) {
                // The call that was on its way a moment ago has ended since.
                Some((kept, age)) => Found::Hit(kept, age),
                None => Found::Nothing(leader),
            },
            found => found,
        }
    }

    /// What another gateway kept under `key`, and its age. From then on this process has it too.
    pub(crate) async fn ask_others(
        &self,
        key: &CacheKey,
        policy: &CachePolicy,
        origin: &Origin,
    ) -> Option<(Arc<Kept>, Duration)> {
        let common = self.common.as_ref().filter(|_| is_common(policy))?;
        let (kept, age) = common.find(key, origin).await.filter(|(_, age)| *age < ttl(policy))?;
        let kept = Arc::new(kept);
        self.store.keep(key, (Arc::clone(&kept), None), self.clock.monotonic(), (age, ttl(policy)));
        Some((kept, age))
    }

    /// The answer to the question of this circle that is nearest to `asks`, if one is near enough.
    pub(crate) fn nearest(&self, asks: &Asks, policy: &CachePolicy) -> Option<Nearest> {
        let similar = policy.similar.as_ref()?;
        let all = self.store.circle(&asks.circle, self.clock.monotonic()).into_iter();
        let near = all.filter(|(_, age, _)| *age < ttl(policy)).filter_map(|(kept, age, about)| {
            let score = asks.about.nearness(&about).filter(|score| *score >= similar.threshold)?;
            Some(Nearest { kept, age, score })
        });
        near.max_by_key(|near| near.score)
    }

    /// Drops the answers of a tenant that was erased.
    pub(crate) fn forget(&self, erased: &TenantId) {
        self.store.forget(erased);
    }

    fn find(&self, key: &CacheKey, policy: &CachePolicy) -> Option<(Arc<Kept>, Duration)> {
        if policy.ttl_s == 0 {
            return None;
        }
        // The policy may have become shorter since.
        self.store.find(key, self.clock.monotonic()).filter(|(_, age)| *age < ttl(policy))
    }

    fn keeper(&self, key: &CacheKey, policy: &CachePolicy, origin: &Origin) -> Keeper {
        let common = self.common.as_ref().filter(|_| is_common(policy));
        Keeper {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            key: key.clone(),
            ttl: ttl(policy),
            common: common.map(|common| (common.clone(), origin.clone())),
            about: None,
        }
    }
}

/// Keeps one answer, once it is whole.
pub(crate) struct Keeper {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    key: CacheKey,
    /// Not at all if zero.
    ttl: Duration,
    /// Where other gateways find it, if they may.
    common: Option<(Common, Origin)>,
    /// What its question is about, if others may be given it who ask in other words.
    about: Option<Asks>,
}

impl Keeper {
    fn keep(&self, kept: &Arc<Kept>) {
        if self.ttl.is_zero() {
            return;
        }
        let what = (Arc::clone(kept), self.about.clone());
        self.store.keep(&self.key, what, self.clock.monotonic(), (Duration::ZERO, self.ttl));
        if let Some((common, origin)) = &self.common {
            common.keep(&self.key, Arc::clone(kept), self.ttl, origin);
        }
    }
}

const fn is_common(policy: &CachePolicy) -> bool {
    policy.shared && policy.ttl_s > 0
}

fn ttl(policy: &CachePolicy) -> Duration {
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
    /// It got an earlier answer to a question in other words.
    Similar {
        /// How near the questions are.
        score: Similarity,
        /// How old the answer is.
        age: Duration,
    },
    /// It was made, and would have got such an answer.
    WouldHit {
        /// How near the questions are.
        score: Similarity,
    },
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
            Self::Similar { .. } => "similar",
            Self::WouldHit { .. } => "would-hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}
