//! How many calls run at once, and how many bytes of bodies are held at once: in all, and with one key. Rates over time are
//! budgets (admission), exact over all gateways; this only keeps one key from taking the whole process.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steward_events::id::KeyId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// When to come back if there was no permit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bounds of what requests may take of this process.
#[derive(Clone, Copy, Debug)]
pub struct LimitBounds {
    /// Model calls at once, over all keys.
    pub calls_max: NonZeroUsize,
    /// Model calls at once with one key.
    pub calls_per_key_max: NonZeroUsize,
    /// Bytes of one body.
    pub body_bytes_max: usize,
    /// Bytes of all bodies at once; a quarter of it with one key.
    pub bodies_bytes_max: usize,
}

/// What requests take of this process.
pub struct Limits {
    permits: Arc<Semaphore>,
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

/// The right to run one call at once with others, given back when dropped.
pub struct CallPermit {
    key: KeyId,
    taken: Arc<Taken>,
    _permit: OwnedSemaphorePermit,
}

/// Memory for one request's body, taken as it comes, given back when dropped.
pub struct BodyMemory {
    key: KeyId,
    taken: Arc<Taken>,
    bytes: usize,
    all_max: usize,
    per_key_max: usize,
}

impl Limits {
    /// With these bounds.
    pub fn new(bounds: LimitBounds) -> Self {
        let body_bytes_max = bounds.bodies_bytes_max.max(bounds.body_bytes_max);
        Self {
            permits: Arc::new(Semaphore::new(bounds.calls_max.get())),
            taken: Arc::default(),
            calls_per_key_max: bounds.calls_per_key_max.get(),
            body_bytes_max,
            // One key leaves some for others, but any body that is allowed fits.
            body_bytes_per_key_max: (body_bytes_max / 4).max(bounds.body_bytes_max),
        }
    }

    /// Takes a permit, or says when to come back. Never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] if all are taken, or all of this key's.
    pub fn enter(&self, key: &KeyId) -> Result<CallPermit, Error> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| busy("this gateway runs as many calls as it may".to_owned()))?;
        let mut taken = self.taken.lock();
        let calls = taken.keys.get(key).map_or(0, |shares| shares.calls);
        if calls >= self.calls_per_key_max {
            let most = self.calls_per_key_max;
            return Err(busy(format!("this key has {calls} calls running; {most} are allowed at once")));
        }
        taken.keys.entry(key.clone()).or_default().calls += 1;
        drop(taken);
        Ok(CallPermit { key: key.clone(), taken: Arc::clone(&self.taken), _permit: permit })
    }

    /// Memory for a body that comes with `key`: none yet, see [`BodyMemory::grow`].
    pub fn body_memory(&self, key: &KeyId) -> BodyMemory {
        BodyMemory {
            key: key.clone(),
            taken: Arc::clone(&self.taken),
            bytes: 0,
            all_max: self.body_bytes_max,
            per_key_max: self.body_bytes_per_key_max,
        }
    }
}

impl BodyMemory {
    /// Takes memory for so many more bytes, or says when to come back. Never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] if all of it is taken, or all of this key's.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        let mut taken = self.taken.lock();
        if taken.body_bytes.saturating_add(bytes) > self.all_max {
            return Err(busy("the requests at this gateway take all the memory that they may".to_owned()));
        }
        let with_key = taken.keys.get(&self.key).map_or(0, |shares| shares.body_bytes);
        if with_key.saturating_add(bytes) > self.per_key_max {
            let most = self.per_key_max;
            return Err(busy(format!("requests with this key take {with_key} bytes; {most} are allowed at once")));
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

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.taken.lock().give_back(&self.key, 1, 0);
    }
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.taken.lock().give_back(&self.key, 0, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
    const BOUNDS: LimitBounds =
        LimitBounds { calls_max: MANY, calls_per_key_max: MANY, body_bytes_max: 10, bodies_bytes_max: 100 };

    fn keys() -> (KeyId, KeyId) {
        (KeyId::new("key_a").unwrap(), KeyId::new("key_b").unwrap())
    }

    #[test]
    fn a_key_gets_its_permits_and_gives_them_back() {
        let limits = Limits::new(LimitBounds { calls_per_key_max: NonZeroUsize::new(2).unwrap(), ..BOUNDS });
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
    fn body_memory_is_bounded_in_total_and_for_each_key() {
        let limits = Limits::new(BOUNDS);
        let (a, b) = keys();
        let mut first = limits.body_memory(&a);
        first.grow(10).unwrap();
        first.grow(15).unwrap();
        let mut second = limits.body_memory(&a);
        assert!(matches!(second.grow(1), Err(Error::Busy { .. })), "a quarter is one key's");
        let mut others: Vec<_> = (0..3).map(|n| limits.body_memory(&KeyId::new(format!("key_{n}")).unwrap())).collect();
        for other in &mut others {
            other.grow(25).unwrap();
        }
        assert!(matches!(limits.body_memory(&b).grow(1), Err(Error::Busy { .. })), "all is taken");
        drop(first);
        second.grow(25).unwrap();
        drop((second, others));
        assert!(limits.taken.lock().keys.is_empty());
        assert_eq!(limits.taken.lock().body_bytes, 0);
    }

    #[test]
    fn the_largest_body_that_is_allowed_fits() {
        let limits = Limits::new(LimitBounds { bodies_bytes_max: 1, ..BOUNDS });
        let mut memory = limits.body_memory(&keys().0);
        memory.grow(10).unwrap();
        assert!(matches!(memory.grow(1), Err(Error::Busy { .. })));
    }
}
