//! How many calls run at once: in all, and with one key. Rates over time are budgets (admission), exact over all
//! gateways; this only keeps one key from taking the whole process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steward_events::id::KeyId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::Error;

/// When to come back if there was no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The places that calls take.
pub(crate) struct Limits {
    all: Arc<Semaphore>,
    by_key: Arc<Mutex<HashMap<KeyId, usize>>>,
    per_key_max: usize,
}

/// One call's place, given back when dropped.
pub(crate) struct Place {
    key: KeyId,
    by_key: Arc<Mutex<HashMap<KeyId, usize>>>,
    _all: OwnedSemaphorePermit,
}

impl Limits {
    /// As configured.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.calls_max.get())),
            by_key: Arc::default(),
            per_key_max: config.calls_per_key_max.get(),
        }
    }

    /// Takes a place, or says when to come back. Never waits.
    pub(crate) fn enter(&self, key: &KeyId) -> Result<Place, Error> {
        let busy = |reason: String| Error::Busy { reason, retry_after: RETRY_AFTER };
        let all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| busy("this gateway has as many calls running as it takes".to_owned()))?;
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_key.entry(key.clone()).or_default();
        if *count >= self.per_key_max {
            return Err(busy(format!("this key has {count} calls running; {} are allowed at once", self.per_key_max)));
        }
        *count += 1;
        drop(by_key);
        Ok(Place { key: key.clone(), by_key: Arc::clone(&self.by_key), _all: all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn a_key_gets_its_places_and_gives_them_back() {
        let limits = Limits::new(&Config { calls_per_key_max: NonZeroUsize::new(2).unwrap(), ..Config::default() });
        let (a, b) = (KeyId::new("key_a").unwrap(), KeyId::new("key_b").unwrap());
        let first = limits.enter(&a).unwrap();
        let _second = limits.enter(&a).unwrap();
        assert!(matches!(limits.enter(&a), Err(Error::Busy { .. })));
        assert!(limits.enter(&b).is_ok(), "another key is not held up");
        drop(first);
        assert!(limits.enter(&a).is_ok());
        assert!(!limits.by_key.lock().unwrap().contains_key(&b), "nothing is kept of idle keys");
    }
}
