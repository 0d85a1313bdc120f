//! How many calls run at once, and how many bytes of bodies are held at once: in all, and with one key. Rates over time are
//! budgets (admission), exact over all gateways; this only keeps one key from taking the whole process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steward_events::id::KeyId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::Error;

/// When to come back if there was no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What requests take of this process.
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    taken: Arc<Taken>,
    calls_per_key_max: usize,
    body_bytes_max: usize,
    body_bytes_per_key_max: usize,
}

#[derive(Default)]
struct Taken(Mutex<ByKey>);

#[derive(Default)]
struct ByKey {
    keys: HashMap<KeyId, Shares>,
    body_bytes: usize,
}

/// What is taken with one key.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Shares {
    calls: usize,
    body_bytes: usize,
}

/// One call's place, given back when dropped.
pub(crate) struct Place {
    key: KeyId,
    taken: Arc<Taken>,
    _permit: OwnedSemaphorePermit,
}

/// Room for one request's body, taken as it comes, given back when dropped.
pub(crate) struct BodyRoom {
    key: KeyId,
    taken: Arc<Taken>,
    bytes: usize,
    all_max: usize,
    per_key_max: usize,
}

impl Limits {
    /// As configured.
    pub(crate) fn new(config: &Config) -> Self {
        let body_bytes_max = config.bodies_bytes_max.max(config.body_bytes_max);
        Self {
            places: Arc::new(Semaphore::new(config.calls_max.get())),
            taken: Arc::default(),
            calls_per_key_max: config.calls_per_key_max.get(),
            body_bytes_max,
            // One key leaves room for others, but any body that is allowed fits.
            body_bytes_per_key_max: (body_bytes_max / 4).max(config.body_bytes_max),
        }
    }

    /// Takes a place, or says when to come back. Never waits.
    pub(crate) fn enter(&self, key: &KeyId) -> Result<Place, Error> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| busy("this gateway has as many calls running as it takes".to_owned()))?;
        let mut taken = self.taken.lock();
        let calls = taken.keys.get(key).map_or(0, |shares| shares.calls);
        if calls >= self.calls_per_key_max {
            let most = self.calls_per_key_max;
            return Err(busy(format!("this key has {calls} calls running; {most} are allowed at once")));
        }
        taken.keys.entry(key.clone()).or_default().calls += 1;
        drop(taken);
        Ok(Place { key: key.clone(), taken: Arc::clone(&self.taken), _permit: place })
    }

    /// Room for a body that comes with `key`: none yet, see [`BodyRoom::grow`].
    pub(crate) fn room(&self, key: &KeyId) -> BodyRoom {
        BodyRoom {
            key: key.clone(),
            taken: Arc::clone(&self.taken),
            bytes: 0,
            all_max: self.body_bytes_max,
            per_key_max: self.body_bytes_per_key_max,
        }
    }
}

impl BodyRoom {
    /// Takes room for so many more bytes, or says when to come back. Never waits.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        let mut taken = self.taken.lock();
        if taken.body_bytes.saturating_add(bytes) > self.all_max {
            return Err(busy("this gateway holds as many bytes of requests as it takes".to_owned()));
        }
        let with_key = taken.keys.get(&self.key).map_or(0, |shares| shares.body_bytes);
        if with_key.saturating_add(bytes) > self.per_key_max {
            let most = self.per_key_max;
            return Err(busy(format!("requests with this key hold {with_key} bytes; {most} are allowed at once")));
        }
        taken.keys.entry(self.key.clone()).or_default().body_bytes += bytes;
        taken.body_bytes += bytes;
        drop(taken);
        self.bytes += bytes;
        Ok(())
    }
}

fn busy(reason: String) -> Error {
    Error::Busy { reason, retry_after: RETRY_AFTER }
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, ByKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByKey {
    fn give_back(&mut self, key: &KeyId, calls: usize, body_bytes: usize) {
        self.body_bytes = self.body_bytes.saturating_sub(body_bytes);
        if let Some(shares) = self.keys.get_mut(key) {
            shares.calls = shares.calls.saturating_sub(calls);
            shares.body_bytes = shares.body_bytes.saturating_sub(body_bytes);
            if *shares == Shares::default() {
                self.keys.remove(key);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().give_back(&self.key, 1, 0);
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.taken.lock().give_back(&self.key, 0, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn keys() -> (KeyId, KeyId) {
        (KeyId::new("key_a").unwrap(), KeyId::new("key_b").unwrap())
    }

    #[test]
    fn a_key_gets_its_places_and_gives_them_back() {
        let limits = Limits::new(&Config { calls_per_key_max: NonZeroUsize::new(2).unwrap(), ..Config::default() });
        let (a, b) = keys();
        let first = limits.enter(&a).unwrap();
        let _second = limits.enter(&a).unwrap();
        assert!(matches!(limits.enter(&a), Err(Error::Busy { .. })));
        assert!(limits.enter(&b).is_ok(), "another key is not held up");
        drop(first);
        assert!(limits.enter(&a).is_ok());
        assert!(!limits.taken.lock().keys.contains_key(&b), "nothing is kept of idle keys");
    }

    #[test]
    fn bodies_get_no_more_room_than_there_is_and_one_key_leaves_some_for_others() {
        let limits = Limits::new(&Config { body_bytes_max: 10, bodies_bytes_max: 100, ..Config::default() });
        let (a, b) = keys();
        let mut first = limits.room(&a);
        first.grow(10).unwrap();
        first.grow(15).unwrap();
        let mut second = limits.room(&a);
        assert!(matches!(second.grow(1), Err(Error::Busy { .. })), "a quarter is one key's");
        let mut others: Vec<_> = (0..3).map(|n| limits.room(&KeyId::new(format!("key_{n}")).unwrap())).collect();
        for other in &mut others {
            other.grow(25).unwrap();
        }
        assert!(matches!(limits.room(&b).grow(1), Err(Error::Busy { .. })), "all is taken");
        drop(first);
        second.grow(25).unwrap();
        drop((second, others));
        assert!(limits.taken.lock().keys.is_empty());
        assert_eq!(limits.taken.lock().body_bytes, 0);
    }

    #[test]
    fn the_largest_body_that_is_allowed_fits() {
        let limits = Limits::new(&Config { body_bytes_max: 10, bodies_bytes_max: 1, ..Config::default() });
        let mut room = limits.room(&keys().0);
        room.grow(10).unwrap();
        assert!(matches!(room.grow(1), Err(Error::Busy { .. })));
    }
}
