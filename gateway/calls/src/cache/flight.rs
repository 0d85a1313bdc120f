//! Calls on their way, each heard by those who ask the same meanwhile: they get all of its answer from the beginning on.
//!
//! What was answered so far stands once, however many hear it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use steward_events::event::Target;
use steward_events::id::CallId;
use tokio::sync::watch;

use super::key::CacheKey;
use super::split::{Bill, Place, Share, Sharers};
use super::{Asks, Found, Keeper, Kept, KeptBody, Made};

/// The most of one answer that is held for those who come later. Beyond it nobody can hear all of it.
const HELD_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The calls on their way, by what they ask.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<CacheKey, Arc<Flight>>>);

/// A call on its way.
#[derive(Default)]
struct Flight {
    progress: watch::Sender<Progress>,
    /// Who pays a part of it.
    sharers: Sharers,
}

/// How far a call has come.
#[derive(Default)]
struct Progress {
    /// Once its answer comes as a stream.
    streams: Option<(CallId, Target)>,
    pieces: Vec<Bytes>,
    bytes: usize,
    end: Option<End>,
}

enum End {
    Whole(Arc<Kept>),
    Failed,
}

impl Flights {
    /// Follows the call that is on its way under `key`; or leads one.
    pub(super) fn join(self: &Arc<Self>, key: &CacheKey, keeper: impl FnOnce() -> Keeper) -> Found {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return Found::Underway(Follower::of(flight));
        }
        let leader = Leader::of(Some(keeper()), Some(Arc::clone(self)));
        flights.insert(key.clone(), Arc::clone(&leader.flight));
        Found::Nothing(leader)
    }

    fn remove(&self, key: &CacheKey, flight: &Arc<Flight>) {
        let mut flights = self.lock();
        if flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The call that is made. Dropped before its answer was whole, it tells those who follow that they have to look for another.
pub(crate) struct Leader {
    /// None if it is not kept.
    keeper: Option<Keeper>,
    flight: Arc<Flight>,
    /// None if nobody may follow.
    shared: Option<Arc<Flights>>,
}

impl Leader {
    /// One whom nobody follows.
    pub(super) fn alone(keeper: Keeper) -> Self {
        Self::of(Some(keeper), None)
    }

    /// One whom nobody follows, and whose answer is for its own caller only.
    pub(crate) fn unkept() -> Self {
        Self::of(None, None)
    }

    fn of(keeper: Option<Keeper>, shared: Option<Arc<Flights>>) -> Self {
        Self { keeper, flight: Arc::default(), shared }
    }

    /// Says what its question is about, so that its answer is kept for others who ask in other words.
    pub(crate) fn is_about(&mut self, asks: Asks) {
        if let Some(keeper) = &mut self.keeper {
            keeper.about = Some(asks);
        }
    }

    /// True if others wait for its answer.
    pub(crate) fn has_followers(&self) -> bool {
        self.flight.progress.receiver_count() > 0
    }

    /// Its answer comes as a stream.
    pub(crate) fn begin(&self, call: &CallId, target: &Target) {
        self.flight.progress.send_modify(|progress| progress.streams = Some((call.clone(), target.clone())));
    }

    /// A piece of its stream.
    pub(crate) fn pass(&self, piece: &Bytes) {
        let is_too_large = self.flight.progress.borrow().bytes + piece.len() > HELD_BYTES_MAX;
        if is_too_large {
            return self.fail();
        }
        self.flight.progress.send_modify(|progress| {
            if progress.end.is_none() {
                progress.bytes += piece.len();
                progress.pieces.push(piece.clone());
            }
        });
    }

    /// Splits what the call came to among those who pay a part of it, and itself, whose part it returns; none if it pays all.
    /// This comes before its end: who gets its answer then knows what to pay.
    pub(crate) fn split(&self, whole: Bill, of: (CallId, Target)) -> Option<Share> {
        self.flight.sharers.split(whole, of)
    }

    /// It was answered at once.
    pub(crate) fn end_whole(self, body: &Bytes, made: Made) -> Option<Arc<Kept>> {
        // What it is a part of is not kept.
        self.end(KeptBody::Whole(Bytes::copy_from_slice(body)), made)
    }

    /// Its stream was whole; `held` is said at its end. None if it was too long to be kept.
    pub(crate) fn end_stream(self, held: Option<Bytes>, made: Made) -> Option<Arc<Kept>> {
        let events = {
            let progress = self.flight.progress.borrow();
            let mut events = BytesMut::with_capacity(progress.bytes);
            for piece in &progress.pieces {
                events.extend_from_slice(piece);
            }
            events.freeze()
        };
        self.end(KeptBody::Stream { events, held }, made)
    }

    fn end(self, body: KeptBody, made: Made) -> Option<Arc<Kept>> {
        if self.has_ended() {
            return None;
        }
        let kept = Arc::new(Kept { body, made });
        // Before it is no longer on its way: whoever asks finds it in one place or the other.
        if let Some(keeper) = &self.keeper {
            keeper.keep(&kept);
        }
        self.flight.progress.send_modify(|progress| progress.end = Some(End::Whole(Arc::clone(&kept))));
        Some(kept)
    }

    fn has_ended(&self) -> bool {
        self.flight.progress.borrow().end.is_some()
    }

    fn fail(&self) {
        self.leave();
        self.flight.progress.send_modify(|progress| {
            progress.end = Some(End::Failed);
            progress.pieces.clear();
        });
    }

    /// Nobody finds it any more.
    fn leave(&self) {
        if let (Some(flights), Some(keeper)) = (&self.shared, &self.keeper) {
            flights.remove(&keeper.key, &self.flight);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.has_ended() {
            self.leave();
        } else {
            self.fail();
        }
        self.flight.sharers.close();
    }
}

/// Hears the answer of a call that another made.
pub(crate) struct Follower {
    progress: watch::Receiver<Progress>,
    /// Pieces that it has heard.
    at: usize,
    sharers: Sharers,
}

/// How an answer begins.
pub(crate) enum Begun {
    /// As a stream of this call.
    Stream(CallId, Target),
    /// It is whole.
    Whole(Arc<Kept>),
    /// There will be none.
    Failed,
}

/// What comes of a stream.
pub(crate) enum Heard {
    /// A piece.
    Piece(Bytes),
    /// That was all.
    Whole(Arc<Kept>),
    /// There will be no more.
    Failed,
}

impl Follower {
    fn of(flight: &Flight) -> Self {
        Self { progress: flight.progress.subscribe(), at: 0, sharers: flight.sharers.clone() }
    }

    /// A place among those who pay a part of the call; none if it is too late for that.
    pub(crate) fn take_place(&self) -> Option<Place> {
        self.sharers.take()
    }

    /// True if what the call came to is split, or never will be.
    pub(crate) fn is_too_late(&self) -> bool {
        self.sharers.is_closed()
    }

    /// Waits until the call is over.
    pub(crate) async fn ended(&mut self) {
        // Without its sender it is over too.
        let _ = self.progress.wait_for(|progress| progress.end.is_some()).await;
    }

    /// Waits until the answer begins.
    pub(crate) async fn begun(&mut self) -> Begun {
        let has_begun = |progress: &Progress| progress.streams.is_some() || progress.end.is_some();
        let Ok(progress) = self.progress.wait_for(has_begun).await else { return Begun::Failed };
        match (&progress.end, &progress.streams) {
            (Some(End::Whole(kept)), _) => Begun::Whole(Arc::clone(kept)),
            (None, Some((call, target))) => Begun::Stream(call.clone(), target.clone()),
            _ => Begun::Failed,
        }
    }

    /// Waits for what comes next.
    pub(crate) async fn hear(&mut self) -> Heard {
        let at = self.at;
        let has_more = |progress: &Progress| progress.pieces.len() > at || progress.end.is_some();
        let Ok(progress) = self.progress.wait_for(has_more).await else { return Heard::Failed };
        let heard = match (progress.pieces.get(at), &progress.end) {
            (Some(piece), _) => Heard::Piece(piece.clone()),
            (None, Some(End::Whole(kept))) => Heard::Whole(Arc::clone(kept)),
            (None, _) => Heard::Failed,
        };
        drop(progress);
        self.at += 1;
        heard
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steward_events::event::{CachePolicy, Coalesce, Saved};
    use steward_events::id::CorrelationId;
    use steward_events::quantity::Shard;
    use steward_ports::clock::SystemClock;

    use super::super::{Cache, Origin};
    use super::*;

    const BOTH: CachePolicy = CachePolicy { ttl_s: 60, coalesce: Coalesce::First, shared: false, similar: None };
    const ONLY_KEPT: CachePolicy = CachePolicy { coalesce: Coalesce::Off, ..BOTH };

    fn cache() -> Cache {
        Cache::new(1 << 20, Arc::new(SystemClock::default()), None)
    }

    fn key() -> CacheKey {
        CacheKey { tenant: "acme".parse().unwrap(), digest: [7; 32] }
    }

    fn origin() -> Origin {
        Origin { shard: Shard(0), request: "req_1".parse::<CorrelationId>().unwrap() }
    }

    fn made() -> Made {
        let target = Target::new("p".parse().unwrap(), "m");
        Made { call: "call_1".parse().unwrap(), target, saves: Saved::default() }
    }

    fn lead(cache: &Cache, policy: &CachePolicy) -> Leader {
        match cache.ask(&key(), policy, &origin()) {
            Found::Nothing(leader) => leader,
            _ => panic!("there is something"),
        }
    }

    fn follow(cache: &Cache) -> Follower {
        match cache.ask(&key(), &BOTH, &origin()) {
            Found::Underway(follower) => follower,
            _ => panic!("nothing is on its way"),
        }
    }

    fn is_kept(cache: &Cache, policy: &CachePolicy) -> bool {
        matches!(cache.ask(&key(), policy, &origin()), Found::Hit(..))
    }

    async fn all(mut follower: Follower) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_secs(5), follower.hear()).await.unwrap() {
                Heard::Piece(piece) => all.extend_from_slice(&piece),
                Heard::Whole(_) => return Some(all),
                Heard::Failed => return None,
            }
        }
    }

    #[tokio::test]
    async fn followers_hear_a_stream_from_its_beginning() {
        let cache = cache();
        let leader = lead(&cache, &BOTH);
        let mut early = follow(&cache);
        assert!(leader.has_followers());
        leader.begin(&made().call, &made().target);
        leader.pass(&Bytes::from_static(b"one "));
        assert!(matches!(early.begun().await, Begun::Stream(..)));
        let late = follow(&cache);
        leader.pass(&Bytes::from_static(b"two"));
        leader.end_stream(None, made());
        assert_eq!(all(early).await.unwrap(), b"one two");
        assert_eq!(all(late).await.unwrap(), b"one two");
        assert!(is_kept(&cache, &BOTH));
    }

    #[tokio::test]
    async fn who_follows_a_leader_that_fails_leads_next() {
        let cache = cache();
        let leader = lead(&cache, &BOTH);
        let mut follower = follow(&cache);
        drop(leader);
        assert!(matches!(follower.begun().await, Begun::Failed));
        assert!(!is_kept(&cache, &ONLY_KEPT));
        drop(lead(&cache, &BOTH));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_shared_with_nobody() {
        let cache = cache();
        let leader = lead(&cache, &BOTH);
        let follower = follow(&cache);
        let half = Bytes::from(vec![b'x'; HELD_BYTES_MAX / 2]);
        for _ in 0..2 {
            leader.pass(&half);
        }
        let _next = follow(&cache);
        leader.pass(&Bytes::from_static(b"x"));
        assert_eq!(all(follower).await, None);
        drop(lead(&cache, &BOTH));
        leader.end_stream(None, made());
        assert!(!is_kept(&cache, &ONLY_KEPT));
    }

    #[tokio::test]
    async fn a_policy_says_whether_answers_are_kept_or_shared() {
        let cache = cache();
        let only_shared = CachePolicy { ttl_s: 0, ..BOTH };
        let (one, other) = (lead(&cache, &ONLY_KEPT), lead(&cache, &ONLY_KEPT));
        drop(other);
        lead(&cache, &only_shared).end_whole(&Bytes::from_static(b"x"), made());
        assert!(!is_kept(&cache, &BOTH), "it was not to be kept");
        one.end_whole(&Bytes::from_static(b"x"), made());
        assert!(is_kept(&cache, &BOTH) && is_kept(&cache, &ONLY_KEPT) && !is_kept(&cache, &only_shared));
    }
}
