//! SimRng that repeats: the same seed gives the same choices in the same order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A source of choices, shared by all of one simulated env.
#[derive(Clone)]
pub(crate) struct SimRng(Arc<Mutex<u64>>);

impl SimRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)))
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 … `n` − 1.
    pub(crate) fn below(&self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `from` to `to` in whole milliseconds: simulated timers know nothing finer.
    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    /// Mostly short, sometimes as long as `to`.
    pub(crate) fn skewed_millis(&self, to: u64) -> Duration {
        match self.below(10) {
            0..=5 => self.millis(0, to / 20 + 1),
            6..=8 => self.millis(0, to / 4 + 1),
            _ => self.millis(0, to),
        }
    }
}
