//! How many calls run at once, and how many bytes of bodies are held at once: in all, of one tenant, of one principal and
//! with one key. Rates over time are budgets (admission), exact over all gateways; this only keeps one tenant from taking the
//! whole process.
//!
//! Keys and service accounts are free to make, so the bound that protects others is the tenant's. Besides, the last quarter
//! of everything is for tenants that hold next to nothing: however many tenants take their whole share, another one's
//! call is still let in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steward_authority::KeyHolder;
use steward_events::id::{KeyId, PrincipalId, TenantId};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// When to come back if there was no room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Tenants are spread over so many locks, so that they seldom wait for each other.
const LOCKS: usize = 64;

/// A tenant with less than this part of all calls holds next to nothing.
const FEW_CALLS: usize = 64;

/// The bounds of what requests may take of this process.
#[derive(Clone, Copy, Debug)]
pub struct LimitBounds {
    /// Model calls at once, over all tenants.
    pub calls_max: NonZeroUsize,
    /// Model calls at once of one tenant.
    pub calls_per_tenant_max: NonZeroUsize,
    /// Model calls at once of one principal.
    pub calls_per_principal_max: NonZeroUsize,
    /// Model calls at once with one key.
    pub calls_per_key_max: NonZeroUsize,
    /// Model calls of batches at once, over all tenants: calls that somebody waits for go first.
    pub batch_calls_max: NonZeroUsize,
    /// Bytes of one body.
    pub body_bytes_max: usize,
    /// Bytes of all bodies at once; half of it of one tenant, a quarter of one principal.
    pub bodies_bytes_max: usize,
}

/// What requests take of this process.
pub struct Limits {
    room: Arc<Room>,
    /// The places of batches' calls.
    batches: Arc<Semaphore>,
}

/// All that may be taken, and who has taken what.
struct Room {
    calls: Bounds,
    bytes: Bounds,
    all: [AtomicUsize; 2],
    tenants: [Mutex<HashMap<TenantId, TenantHolds>>; LOCKS],
    spread: RandomState,
}

/// How much of one thing may be taken.
#[derive(Clone, Copy)]
struct Bounds {
    what: What,
    all: usize,
    tenant: usize,
    principal: usize,
    key: usize,
    /// What a tenant may hold that takes of the last quarter.
    few: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Calls,
    Bytes,
}

/// Calls and bytes that are held.
type Holds = [usize; 2];

#[derive(Default)]
struct TenantHolds {
    all: Holds,
    principals: HashMap<PrincipalId, Holds>,
    keys: HashMap<KeyId, Holds>,
}

/// To whom what is taken is counted.
#[derive(Clone, Debug)]
pub struct Taker {
    tenant: TenantId,
    principal: PrincipalId,
    key: KeyId,
    /// True if it is a batch that takes.
    of_batch: bool,
}

impl From<&KeyHolder> for Taker {
    fn from(holder: &KeyHolder) -> Self {
        let KeyHolder { tenant, principal, key, task, .. } = holder;
        let of_batch = task.as_ref().is_some_and(|task| task.batch().is_some());
        Self { tenant: tenant.clone(), principal: principal.clone(), key: key.clone(), of_batch }
    }
}

/// Something that was taken, given back when dropped.
struct Taken {
    room: Arc<Room>,
    by: Taker,
    what: What,
    amount: usize,
}

/// The right to run one call at once with others, given back when dropped.
pub struct CallPermit(#[allow(dead_code)] Taken, #[allow(dead_code)] Option<OwnedSemaphorePermit>); // held, not read

/// Memory for one request's body, taken as it comes, given back when dropped.
pub struct BodyMemory(Taken);

impl Limits {
    /// With these bounds.
    pub fn new(bounds: LimitBounds) -> Self {
        let calls_max = bounds.calls_max.get();
        let calls = Bounds {
            what: What::Calls,
            all: calls_max,
            tenant: bounds.calls_per_tenant_max.get(),
            principal: bounds.calls_per_principal_max.get(),
            key: bounds.calls_per_key_max.get(),
            few: (calls_max / FEW_CALLS).max(1),
        };
        let (body, bodies) = (bounds.body_bytes_max, bounds.bodies_bytes_max.max(bounds.body_bytes_max));
        // Everybody leaves some for others, but any body that is allowed fits.
        let bytes = Bounds {
            what: What::Bytes,
            all: bodies,
            tenant: (bodies / 2).max(body),
            principal: (bodies / 4).max(body),
            key: (bodies / 4).max(body),
            few: body,
        };
        let tenants = std::array::from_fn(|_| Mutex::default());
        let room = Arc::new(Room { calls, bytes, all: Default::default(), tenants, spread: RandomState::new() });
        Self { room, batches: Arc::new(Semaphore::new(bounds.batch_calls_max.get())) }
    }

    /// Takes a permit, or says when to come back. Never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] if all are taken, or all of this tenant's, principal's or key's.
    pub fn enter(&self, by: &Taker) -> Result<CallPermit, Error> {
        let of_batches = || Arc::clone(&self.batches).try_acquire_owned();
        let place = by.of_batch.then(of_batches).transpose();
        let place = place.map_err(|_| busy("this gateway runs as many calls of batches as it may".to_owned()))?;
        let mut permit = self.nothing(by, What::Calls);
        permit.grow(1)?;
        Ok(CallPermit(permit, place))
    }

    /// Memory for a body that comes with a key: none yet, see [`BodyMemory::grow`].
    pub fn body_memory(&self, by: &Taker) -> BodyMemory {
        BodyMemory(self.nothing(by, What::Bytes))
    }

    fn nothing(&self, by: &Taker, what: What) -> Taken {
        Taken { room: Arc::clone(&self.room), by: by.clone(), what, amount: 0 }
    }
}

impl BodyMemory {
    /// Whether there would be memory for so many bytes now. Takes none: what is said may never come.
    ///
    /// # Errors
    /// [`Error::Busy`], as [`Self::grow`].
    pub fn would_fit(&self, bytes: usize) -> Result<(), Error> {
        self.0.look(bytes)
    }

    /// Takes memory for so many more bytes, or says when to come back. Never waits.
    ///
    /// # Errors
    /// [`Error::Busy`] if all of it is taken, or all of this tenant's, principal's or key's.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.0.grow(bytes)
    }
}

impl Room {
    const fn bounds(&self, what: What) -> &Bounds {
        match what {
            What::Calls => &self.calls,
            What::Bytes => &self.bytes,
        }
    }

    fn tenants(&self, tenant: &TenantId) -> MutexGuard<'_, HashMap<TenantId, TenantHolds>> {
        let at = usize::try_from(self.spread.hash_one(tenant) % LOCKS as u64).unwrap_or_default();
        self.tenants[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bounds {
    /// Whether `more` fits beside what is held already, within the tenant. What may be held in all follows from that.
    fn within_tenant(&self, held: Option<&TenantHolds>, taken: &Taken, more: usize) -> Result<usize, Error> {
        let at = self.what as usize;
        let tenant = held.map_or(0, |held| held.all[at]);
        let principal = held.and_then(|held| held.principals.get(&taken.by.principal)).map_or(0, |holds| holds[at]);
        let key = held.and_then(|held| held.keys.get(&taken.by.key)).map_or(0, |holds| holds[at]);
        for (who, holds, most) in [
            ("this key", key, self.key),
            ("the holder of this key", principal, self.principal),
            ("this tenant", tenant, self.tenant),
        ] {
            if holds.saturating_add(more) > most {
                return Err(busy(match self.what {
                    What::Calls => format!("{who} has {holds} calls running; {most} are allowed at once"),
                    What::Bytes => format!("requests of {who} take {holds} bytes; {most} are allowed at once"),
                }));
            }
        }
        let few = tenant.saturating_add(more) <= self.few;
        Ok(if few { self.all } else { self.all - self.all / 4 })
    }

    fn full(&self) -> Error {
        busy(match self.what {
            What::Calls => "this gateway runs as many calls as it may".to_owned(),
            What::Bytes => "the requests at this gateway take all the memory that they may".to_owned(),
        })
    }
}

impl Taken {
    fn look(&self, more: usize) -> Result<(), Error> {
        let bounds = self.room.bounds(self.what);
        let most = bounds.within_tenant(self.room.tenants(&self.by.tenant).get(&self.by.tenant), self, more)?;
        let all = self.room.all[self.what as usize].load(Ordering::Relaxed);
        if all.saturating_add(more) > most { Err(bounds.full()) } else { Ok(()) }
    }

    fn grow(&mut self, more: usize) -> Result<(), Error> {
        if more == 0 {
            return Ok(());
        }
        let (bounds, at) = (self.room.bounds(self.what), self.what as usize);
        let mut tenants = self.room.tenants(&self.by.tenant);
        let most = bounds.within_tenant(tenants.get(&self.by.tenant), self, more)?;
        let fits = |all: usize| all.checked_add(more).filter(|all| *all <= most);
        self.room.all[at].fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| bounds.full())?;
        let held = tenants.entry(self.by.tenant.clone()).or_default();
        held.all[at] += more;
        held.principals.entry(self.by.principal.clone()).or_default()[at] += more;
        held.keys.entry(self.by.key.clone()).or_default()[at] += more;
        drop(tenants);
        self.amount += more;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let at = self.what as usize;
        let mut tenants = self.room.tenants(&self.by.tenant);
        if let Some(held) = tenants.get_mut(&self.by.tenant) {
            held.all[at] = held.all[at].saturating_sub(self.amount);
            give_back(&mut held.principals, &self.by.principal, at, self.amount);
            give_back(&mut held.keys, &self.by.key, at, self.amount);
            if held.all == Holds::default() {
                // Nothing is kept of those that are idle.
                tenants.remove(&self.by.tenant);
            }
        }
        self.room.all[at].fetch_sub(self.amount, Ordering::Relaxed);
    }
}

fn give_back<K: Eq + Hash>(held: &mut HashMap<K, Holds>, whose: &K, at: usize, amount: usize) {
    if let Some(holds) = held.get_mut(whose) {
        holds[at] = holds[at].saturating_sub(amount);
        if *holds == Holds::default() {
            held.remove(whose);
        }
    }
}

fn busy(reason: String) -> Error {
    Error::Busy { reason, retry_after: RETRY_AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
    const BOUNDS: LimitBounds = LimitBounds {
        calls_max: MANY,
        calls_per_tenant_max: MANY,
        calls_per_principal_max: MANY,
        calls_per_key_max: MANY,
        batch_calls_max: MANY,
        body_bytes_max: 10,
        bodies_bytes_max: 100,
    };

    fn holder(tenant: &str, principal: &str, key: &str) -> Taker {
        let (tenant, principal) = (tenant.parse().unwrap(), principal.parse().unwrap());
        Taker { tenant, principal, key: key.parse().unwrap(), of_batch: false }
    }

    fn few(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[allow(clippy::needless_pass_by_value)] // it is not needed afterwards
    fn is_busy<T>(taken: Result<T, Error>) -> bool {
        matches!(taken, Err(Error::Busy { .. }))
    }

    fn held_by_nobody(limits: &Limits) -> bool {
        let all = &limits.room.all;
        all.iter().all(|all| all.load(Ordering::Relaxed) == 0)
            && limits.room.tenants.iter().all(|tenants| tenants.lock().unwrap().is_empty())
    }

    #[test]
    fn batches_leave_room_for_calls_that_somebody_waits_for() {
        let limits = Limits::new(LimitBounds { batch_calls_max: few(1), ..BOUNDS });
        let batch = Taker { of_batch: true, ..holder("acme", "p_a", "key_1") };
        let one = limits.enter(&batch).unwrap();
        assert!(is_busy(limits.enter(&batch)));
        assert!(limits.enter(&holder("acme", "p_a", "key_1")).is_ok());
        drop(one);
        assert!(limits.enter(&batch).is_ok());
    }

    #[test]
    fn each_level_has_its_bound_and_gives_back() {
        let bounds = LimitBounds {
            calls_per_key_max: few(2),
            calls_per_principal_max: few(3),
            calls_per_tenant_max: few(4),
            ..BOUNDS
        };
        let limits = Limits::new(bounds);
        let one = limits.enter(&holder("acme", "p_a", "key_1")).unwrap();
        let two = limits.enter(&holder("acme", "p_a", "key_1")).unwrap();
        assert!(is_busy(limits.enter(&holder("acme", "p_a", "key_1"))), "the key's");
        let three = limits.enter(&holder("acme", "p_a", "key_2")).unwrap();
        assert!(is_busy(limits.enter(&holder("acme", "p_a", "key_3"))), "the principal's");
        let four = limits.enter(&holder("acme", "p_b", "key_4")).unwrap();
        assert!(is_busy(limits.enter(&holder("acme", "p_c", "key_5"))), "the tenant's");
        let other = limits.enter(&holder("globex", "p_a", "key_1")).unwrap();
        drop(one);
        drop(limits.enter(&holder("acme", "p_c", "key_5")).unwrap());
        drop((two, three, four, other));
        assert!(held_by_nobody(&limits));
    }

    #[test]
    fn the_last_quarter_is_for_tenants_that_hold_little() {
        let limits = Limits::new(BOUNDS);
        let large: Vec<_> =
            (0..75).map(|n| limits.enter(&holder(&format!("t{}", n % 2), "p_a", "key_a")).unwrap()).collect();
        assert!(is_busy(limits.enter(&holder("t0", "p_a", "key_a"))), "three quarters are taken");
        let small: Vec<_> = (0..25).map(|n| limits.enter(&holder(&format!("s{n}"), "p_a", "key_a")).unwrap()).collect();
        assert!(is_busy(limits.enter(&holder("s25", "p_a", "key_a"))), "all is taken");
        drop((large, small));
        assert!(held_by_nobody(&limits));
    }

    #[test]
    fn a_tenant_with_many_keys_leaves_memory_for_others() {
        let limits = Limits::new(BOUNDS);
        let mut greedy = Vec::new();
        for n in 0..20 {
            let mut memory = limits.body_memory(&holder("acme", &format!("p_{n}"), &format!("key_{n}")));
            if memory.grow(10).is_ok() {
                greedy.push(memory);
            }
        }
        assert_eq!(greedy.len(), 5, "half of all is one tenant's");
        let mut second: Vec<_> =
            (0..2).map(|n| limits.body_memory(&holder("globex", "p_a", &format!("k{n}")))).collect();
        for memory in &mut second {
            memory.grow(10).unwrap();
        }
        let mut last = limits.body_memory(&holder("initech", "p_a", "key_a"));
        last.would_fit(10).unwrap();
        last.grow(10).unwrap();
        assert!(is_busy(last.grow(1)), "with more than one body it holds no longer little");
        drop((greedy, second, last));
        assert!(held_by_nobody(&limits));
    }

    #[test]
    fn what_is_said_takes_nothing() {
        let limits = Limits::new(BOUNDS);
        let memory: Vec<_> = (0..40).map(|_| limits.body_memory(&holder("acme", "p_a", "key_a"))).collect();
        assert!(memory.iter().all(|memory| memory.would_fit(10).is_ok()));
        assert!(held_by_nobody(&limits));
    }

    #[test]
    fn the_largest_body_that_is_allowed_fits() {
        let limits = Limits::new(LimitBounds { bodies_bytes_max: 1, ..BOUNDS });
        let mut memory = limits.body_memory(&holder("acme", "p_a", "key_a"));
        memory.grow(10).unwrap();
        assert!(is_busy(memory.grow(1)));
    }
}
