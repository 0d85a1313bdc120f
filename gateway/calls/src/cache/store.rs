//! Answers kept in memory: bounded in bytes, each until it ends. Where there is no room, an answer of the tenant that keeps
//! most goes, the one that ends first: so one tenant cannot push out another that keeps little.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steward_events::id::TenantId;

use super::Kept;
use super::key::CacheKey;
use crate::alike::About;

/// Questions of one circle that are compared with a new one: those that were answered last.
const CIRCLE_MAX: usize = 1_000;

/// The part of all room that one answer may take.
const ENTRY_SHARE: usize = 16;

/// The answers.
pub(super) struct Store {
    bytes_max: usize,
    state: Mutex<State>,
}

/// When an answer ends; a number tells those apart that end together.
type End = (Duration, u64);

#[derive(Default)]
struct State {
    entries: HashMap<CacheKey, Entry>,
    by_end: BTreeMap<End, CacheKey>,
    /// The answers of each circle, by their numbers.
    circles: HashMap<CacheKey, BTreeMap<u64, CacheKey>>,
    shelves: HashMap<TenantId, Shelf>,
    /// Tenants by what they keep.
    ranks: BTreeSet<(usize, TenantId)>,
    bytes: usize,
    number: u64,
    /// Tenants that were erased: nothing is kept for them.
    erased: BTreeSet<TenantId>,
}

struct Entry {
    kept: Arc<Kept>,
    /// When it was kept here, and how old it was then.
    at: Duration,
    age: Duration,
    end: End,
    bytes: usize,
    about: Option<Asks>,
}

/// What the question was about, and the circle of questions that differ from it in nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    pub(crate) circle: CacheKey,
    pub(crate) about: Arc<About>,
}

/// An answer, its age, and what it is about.
pub(super) type Told = (Arc<Kept>, Duration, Arc<About>);

/// What one tenant keeps.
#[derive(Default)]
struct Shelf {
    bytes: usize,
    ends: BTreeSet<End>,
}

impl Store {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// The answer under `key`, and its age.
    pub(super) fn find(&self, key: &CacheKey, now: Duration) -> Option<(Arc<Kept>, Duration)> {
        let mut state = self.lock();
        state.drop_ended(now);
        state.entries.get(key).map(|entry| (Arc::clone(&entry.kept), entry.age + now.saturating_sub(entry.at)))
    }

    /// Keeps an answer of this age until it is `age_max` old, if it is not too large. A later one takes the place of an
    /// earlier one.
    pub(super) fn keep(
        &self,
        key: &CacheKey,
        (kept, about): (Arc<Kept>, Option<Asks>),
        now: Duration,
        (age, age_max): (Duration, Duration),
    ) {
        let bytes = kept.bytes() + about.as_ref().map_or(0, |asks| asks.about.bytes());
        if bytes > self.bytes_max / ENTRY_SHARE {
            return;
        }
        let mut state = self.lock();
        state.drop_ended(now);
        if state.erased.contains(&key.tenant) {
            return;
        }
        state.remove(key);
        state.number += 1;
        let end = (now + age_max.saturating_sub(age), state.number);
        state.insert(key.clone(), Entry { kept, at: now, age, end, bytes, about });
        while state.bytes > self.bytes_max && state.drop_of_the_largest() {}
    }

    /// Drops all answers of a tenant that was erased, and keeps none for it from now on.
    pub(super) fn forget(&self, erased: &TenantId) {
        let mut state = self.lock();
        state.erased.insert(erased.clone());
        let ends: Vec<End> =
            state.shelves.get(erased).into_iter().flat_map(|shelf| shelf.ends.iter().copied()).collect();
        let keys: Vec<CacheKey> = ends.iter().filter_map(|end| state.by_end.get(end).cloned()).collect();
        for key in &keys {
            state.remove(key);
        }
    }

    /// The answers to the questions of a circle.
    pub(super) fn circle(&self, circle: &CacheKey, now: Duration) -> Vec<Told> {
        let mut state = self.lock();
        state.drop_ended(now);
        let keys = state.circles.get(circle).into_iter().flat_map(BTreeMap::values);
        let told = |key| {
            let entry = state.entries.get(key)?;
            let about = &entry.about.as_ref()?.about;
            Some((Arc::clone(&entry.kept), entry.age + now.saturating_sub(entry.at), Arc::clone(about)))
        };
        keys.filter_map(told).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, key: CacheKey, entry: Entry) {
        let (end, bytes) = (entry.end, entry.bytes);
        self.resize(&key.tenant, |shelf| {
            shelf.bytes += bytes;
            shelf.ends.insert(end);
        });
        self.bytes += bytes;
        self.by_end.insert(end, key.clone());
        if let Some(Asks { circle, .. }) = &entry.about {
            let circle = self.circles.entry(circle.clone()).or_default();
            circle.insert(end.1, key.clone());
            if circle.len() > CIRCLE_MAX {
                circle.pop_first();
            }
        }
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &CacheKey) {
        let Some(Entry { end, bytes, about, .. }) = self.entries.remove(key) else { return };
        self.by_end.remove(&end);
        if let Some(Asks { circle, .. }) = about
            && let Some(of) = self.circles.get_mut(&circle)
        {
            of.remove(&end.1);
            if of.is_empty() {
                self.circles.remove(&circle);
            }
        }
        self.bytes -= bytes;
        self.resize(&key.tenant, |shelf| {
            shelf.bytes -= bytes;
            shelf.ends.remove(&end);
        });
    }

    /// Changes a shelf, and with it the tenant's rank.
    fn resize(&mut self, tenant: &TenantId, change: impl FnOnce(&mut Shelf)) {
        let shelf = self.shelves.entry(tenant.clone()).or_default();
        self.ranks.remove(&(shelf.bytes, tenant.clone()));
        change(shelf);
        if shelf.ends.is_empty() {
            self.shelves.remove(tenant);
        } else {
            self.ranks.insert((shelf.bytes, tenant.clone()));
        }
    }

    fn drop_ended(&mut self, now: Duration) {
        while let Some((end, key)) = self.by_end.first_key_value()
            && end.0 <= now
        {
            let key = key.clone();
            self.remove(&key);
        }
    }

    /// False if there is nothing to drop.
    fn drop_of_the_largest(&mut self) -> bool {
        let largest = self.ranks.last().and_then(|(_, tenant)| self.shelves.get(tenant));
        let first = largest.and_then(|shelf| self.by_end.get(shelf.ends.first()?)).cloned();
        first.inspect(|key| self.remove(key)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use steward_events::event::{Saved, Target};

    use super::super::{KeptBody, Made};
    use super::*;
    use crate::alike::tests::about;

    const NOW: Duration = Duration::from_secs(100);

    fn key(tenant: &str, number: u8) -> CacheKey {
        CacheKey { tenant: tenant.parse().unwrap(), digest: [number; 32] }
    }

    fn kept(bytes: usize) -> Arc<Kept> {
        Arc::new(Kept {
            body: KeptBody::Whole(Bytes::from(vec![b'x'; bytes])),
            made: Made {
                call: "call_1".parse().unwrap(),
                target: Target::new("p".parse().unwrap(), "m"),
                saves: Saved::default(),
            },
        })
    }

    fn keep(store: &Store, key: &CacheKey, bytes: usize, ttl_s: u64) {
        store.keep(key, (kept(bytes), None), NOW, (Duration::ZERO, Duration::from_secs(ttl_s)));
    }

    fn has(store: &Store, key: &CacheKey, later_s: u64) -> bool {
        store.find(key, NOW + Duration::from_secs(later_s)).is_some()
    }

    #[test]
    fn nothing_is_kept_of_an_erased_tenant() {
        let store = Store::new(1 << 20);
        for number in 1..4 {
            keep(&store, &key("acme", number), 10, 60);
        }
        keep(&store, &key("globex", 1), 10, 60);
        store.forget(&"acme".parse().unwrap());
        keep(&store, &key("acme", 4), 10, 60);
        assert!((1..5).all(|number| !has(&store, &key("acme", number), 0)));
        assert!(has(&store, &key("globex", 1), 0));
        assert_eq!(store.lock().entries.len(), 1);
    }

    #[test]
    fn an_answer_is_kept_until_it_ends() {
        let store = Store::new(1 << 20);
        keep(&store, &key("acme", 1), 10, 60);
        assert!(has(&store, &key("acme", 1), 59) && !has(&store, &key("globex", 1), 59));
        assert!(!has(&store, &key("acme", 1), 60));
        assert_eq!(store.lock().bytes, 0, "what has ended takes no memory");
    }

    #[test]
    fn an_answer_that_comes_from_elsewhere_has_its_age() {
        let store = Store::new(1 << 20);
        store.keep(&key("acme", 1), (kept(10), None), NOW, (Duration::from_secs(20), Duration::from_secs(60)));
        let later = |seconds| store.find(&key("acme", 1), NOW + Duration::from_secs(seconds)).map(|(_, age)| age);
        assert_eq!(later(39), Some(Duration::from_secs(59)));
        assert_eq!(later(40), None);
    }

    #[test]
    fn a_circle_holds_its_last_questions() {
        let store = Store::new(1 << 30);
        let circle = key("acme", 255);
        let about = Arc::new(about("hi", "[1, 0]").unwrap());
        for number in 0..=CIRCLE_MAX {
            let mut key = key("acme", 0);
            key.digest[..8].copy_from_slice(&number.to_le_bytes());
            let asks = Asks { circle: circle.clone(), about: Arc::clone(&about) };
            store.keep(&key, (kept(1), Some(asks)), NOW, (Duration::ZERO, Duration::from_secs(60)));
        }
        assert_eq!(store.circle(&circle, NOW).len(), CIRCLE_MAX);
        assert!(store.circle(&key("acme", 254), NOW).is_empty());
        assert!(store.circle(&circle, NOW + Duration::from_secs(60)).is_empty());
    }

    #[test]
    fn an_answer_that_is_too_large_is_not_kept() {
        let store = Store::new(160 * 1_024);
        keep(&store, &key("acme", 1), 9 * 1_024, 60);
        keep(&store, &key("acme", 2), 9 * 1_024 + 1, 60);
        assert!(has(&store, &key("acme", 1), 0) && !has(&store, &key("acme", 2), 0));
    }

    #[test]
    fn who_keeps_most_makes_room() {
        let store = Store::new(40 * 1_024);
        keep(&store, &key("globex", 1), 1_024, 60);
        for number in 0..60 {
            keep(&store, &key("acme", number), 1_024, 100 + u64::from(number));
        }
        assert!(has(&store, &key("globex", 1), 0), "it keeps little");
        assert!(!has(&store, &key("acme", 0), 0) && has(&store, &key("acme", 59), 0), "those that end first go");
    }

    proptest! {
        #[test]
        fn no_answers_take_more_than_there_is(
            steps in prop::collection::vec((any::<bool>(), 0..12_u8, 0..4_000_usize, 0..5_u64), 1..80),
        ) {
            let store = Store::new(20 * 1_024);
            for (at, (first, number, bytes, ttl_s)) in (0_u64..).zip(steps) {
                let now = NOW + Duration::from_secs(at / 4);
                let tenant = if first { "acme" } else { "globex" };
                let about = about("hi", "[1, 0, 0]").filter(|_| number % 3 > 0).map(Arc::new);
                let asks = about.map(|about| Asks { circle: key(tenant, number % 3), about });
                let key = key(tenant, number);
                store.keep(&key, (kept(bytes), asks), now, (Duration::ZERO, Duration::from_secs(ttl_s)));
                let state = store.lock();
                prop_assert!(state.bytes <= store.bytes_max);
                prop_assert_eq!(state.bytes, state.entries.values().map(|entry| entry.bytes).sum::<usize>());
                prop_assert_eq!(state.bytes, state.shelves.values().map(|shelf| shelf.bytes).sum::<usize>());
                prop_assert_eq!(state.entries.len(), state.by_end.len());
                prop_assert_eq!(state.entries.len(), state.shelves.values().map(|shelf| shelf.ends.len()).sum::<usize>());
                prop_assert_eq!(state.shelves.len(), state.ranks.len());
                let asked = state.entries.values().filter(|entry| entry.about.is_some()).count();
                prop_assert_eq!(asked, state.circles.values().map(BTreeMap::len).sum::<usize>());
                prop_assert!(state.circles.values().all(|circle| !circle.is_empty()));
            }
        }
    }
}
