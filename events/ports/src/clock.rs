//! Time and new ids, as ports: a decision never asks the operating system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use steward_events::ids::{Ids, base32};
use steward_events::timestamp::Timestamp;

mod steady;

pub use steady::{OFF_MAX, Steady, keep_right};

/// What time it is, and waiting.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Time since this process began, never set back: for "is that answer still fresh".
    fn monotonic(&self) -> Duration;
    /// By how much the time is known to be wrong; then nothing is decided by it. None if it is right as far as is known.
    fn off(&self) -> Option<Duration> {
        None
    }
}

/// The machine's clock, as this process goes by it: [`Steady`], and one for the whole process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock(());

static MACHINE: LazyLock<Steady<Machine>> = LazyLock::new(|| Steady::new(Machine(std::time::Instant::now())));

impl SystemClock {
    /// The clock of this process, to be compared with the log's.
    pub fn steady() -> &'static Steady<Machine> {
        &MACHINE
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        MACHINE.now()
    }

    fn monotonic(&self) -> Duration {
        MACHINE.monotonic()
    }

    fn off(&self) -> Option<Duration> {
        MACHINE.off()
    }
}

/// The hands of the machine's clock.
#[derive(Debug)]
pub struct Machine(std::time::Instant);

impl Clock for Machine {
    #[allow(clippy::disallowed_methods)] // this is the one place that asks
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that a test moves.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.0))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// 48 bits of wall clock and 80 random bits, the layout of ULID (<https://github.com/ulid/spec>), lower case.
#[derive(Debug, Default)]
pub struct RandomIds {
    clock: SystemClock,
    random: Mutex<Randomness>,
}

/// Bytes from the operating system, taken many at a time: it is asked for some at every call of a model.
#[derive(Debug)]
struct Randomness {
    bytes: [u8; 1_024],
    used: usize,
}

impl Default for Randomness {
    fn default() -> Self {
        Self { bytes: [0; 1_024], used: 1_024 }
    }
}

impl Randomness {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.bytes.len() {
            // Without randomness nothing here is safe; the operating system gives it or the process must not go on.
            #[allow(clippy::expect_used)]
            getrandom::fill(&mut self.bytes).expect("the operating system gives random bytes");
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        taken
    }
}

impl Ids for RandomIds {
    fn unique(&self) -> String {
        let mut id: [u8; 16] = self.random.lock().unwrap_or_else(PoisonError::into_inner).take();
        let millis = self.clock.now().0 / 1_000;
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        base32(u128::from_be_bytes(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_sort_by_time() {
        let ids = RandomIds::default();
        let (a, b) = (ids.unique(), ids.unique());
        assert_eq!(a.len(), 26);
        assert!(a[..8] <= b[..8]);
        // More than are taken from the operating system at a time.
        let many: std::collections::HashSet<String> = (0..1_000).map(|_| ids.unique()).collect();
        assert_eq!(many.len(), 1_000);
    }
}
