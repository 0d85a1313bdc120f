//! Places of work: how many queries read at once, in all and of one tenant.
//!
//! A place is held while rows or the log are read, never while a query waits for a position: so nobody waits behind those
//! that wait. Tenants have places of their own, so one that asks much waits behind itself.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use steward_events::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many tenants' places are kept though nobody needs them.
const IDLE_MAX: usize = 1_024;

tokio::task_local! {
    /// For whom the task at hand answers.
    static ANSWERS: (Arc<Places>, TenantId);
}

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
    per_tenant_max: usize,
}

/// A place, given back when dropped.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(all_max: NonZeroUsize, per_tenant_max: NonZeroUsize) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(all_max.get()));
        Arc::new(Self { all, tenants: Mutex::default(), per_tenant_max: per_tenant_max.get() })
    }

    fn of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() > IDLE_MAX {
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_tenant_max)));
        Arc::clone(places)
    }
}

/// Runs `answer` as an answer to a query of `tenant`.
pub(crate) async fn answering<F: Future>(places: &Arc<Places>, tenant: &TenantId, answer: F) -> F::Output {
    ANSWERS.scope((Arc::clone(places), tenant.clone()), answer).await
}

/// Takes a place for what is read next; waits for one. None outside of an answer.
pub(crate) async fn take() -> Option<Place> {
    let (places, tenant) = ANSWERS.try_with(Clone::clone).ok()?;
    // The tenant's first: who waits for one of these takes none from others.
    let own = places.of(&tenant).acquire_owned().await.ok()?;
    let all = Arc::clone(&places.all).acquire_owned().await.ok()?;
    Some(Place { _own: own, _all: all })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_tenant_that_reads_much_leaves_places_for_others() {
        let places = Places::new(NonZeroUsize::new(3).unwrap(), NonZeroUsize::new(2).unwrap());
        let tenant = |name: &str| name.parse::<TenantId>().unwrap();
        let soon = |name: &str| {
            let (places, tenant) = (Arc::clone(&places), tenant(name));
            async move { tokio::time::timeout(Duration::from_millis(50), answering(&places, &tenant, take())).await }
        };
        let first = soon("acme").await.unwrap().unwrap();
        let second = soon("acme").await.unwrap().unwrap();
        assert!(soon("acme").await.is_err(), "its places are taken");
        let other = soon("globex").await.unwrap().unwrap();
        assert!(soon("globex").await.is_err(), "all places are taken");
        drop(first);
        let again = soon("acme").await.unwrap();
        assert!(again.is_some());
        drop((second, other, again));
        assert!(take().await.is_none(), "outside of an answer nothing is counted");
    }
}
