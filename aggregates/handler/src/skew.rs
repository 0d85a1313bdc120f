//! A replica whose clock is off does not decide: its stamps would end leases, keys and windows at the wrong moments.
//!
//! The broker's clock is the measure. Now and then a commit that was just recorded is read back: the broker stored it
//! between sending and acknowledgement, or the clocks disagree. A clock found off stays so until it is set.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steward_events::timestamp::Timestamp;
use steward_ports::clock::Clock;

/// How far this process's clock may be from the broker's.
const OFF_MAX: Duration = Duration::from_secs(2);

/// How often to compare.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// A wall clock that moves this much against the monotonic one was set.
const SET_MIN: Duration = Duration::from_millis(500);

/// What is known of this process's clock.
#[derive(Debug, Default)]
pub(crate) struct Skew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    compared_at: Option<Duration>,
    off: Option<Off>,
}

#[derive(Clone, Copy, Debug)]
struct Off {
    by: Duration,
    /// The moment, by the wall clock, at which the monotonic clock began.
    began: Timestamp,
}

fn began(clock: &dyn Clock) -> Timestamp {
    Timestamp(clock.now().0.saturating_sub(u64::try_from(clock.monotonic().as_micros()).unwrap_or(u64::MAX)))
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

impl Skew {
    /// True if it is time to compare again; the caller then does.
    pub(crate) fn is_due(&self, clock: &dyn Clock) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.monotonic();
        let due = state.compared_at.is_none_or(|at| now.saturating_sub(at) >= COMPARE_EVERY);
        if due {
            state.compared_at = Some(now);
        }
        due
    }

    /// Compares: what was sent at `sent` and acknowledged by now was stored at `stored_at` by the broker's clock.
    pub(crate) fn compare(&self, sent: Timestamp, stored_at: Timestamp, clock: &dyn Clock) {
        let by = sent.since(stored_at).max(stored_at.since(clock.now()));
        let off = (by > OFF_MAX).then(|| Off { by, began: began(clock) });
        if off.is_some() {
            tracing::error!(off_ms = by.as_millis(), "this process's clock is off; it decides nothing until it is set");
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).off = off;
    }

    /// By how much the clock is off, if it is and was not set since.
    pub(crate) fn off(&self, clock: &dyn Clock) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let off = state.off?;
        if distance(began(clock), off.began) < SET_MIN {
            return Some(off.by);
        }
        *state = State::default();
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Wall and monotonic time, set apart.
    #[derive(Default)]
    struct Hands {
        wall: AtomicU64,
        monotonic: AtomicU64,
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp(self.wall.load(Ordering::Relaxed))
        }
        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn at(seconds: u64) -> Hands {
        let clock = Hands::default();
        clock.wall.store(seconds * 1_000_000, Ordering::Relaxed);
        clock
    }

    #[test]
    fn two_seconds_are_borne_and_more_are_not() {
        let clock = at(100);
        let skew = Skew::default();
        for (stored_at, off) in [(98_000_000, false), (97_999_999, true), (102_000_000, false), (102_000_001, true)] {
            skew.compare(clock.now(), Timestamp(stored_at), &clock);
            assert_eq!(skew.off(&clock).is_some(), off, "{stored_at}");
        }
    }

    #[test]
    fn a_clock_that_was_set_is_compared_at_once() {
        let clock = at(100);
        let skew = Skew::default();
        assert!(skew.is_due(&clock));
        assert!(!skew.is_due(&clock));
        skew.compare(clock.now(), Timestamp(90_000_000), &clock);
        clock.wall.fetch_add(5_000_000, Ordering::Relaxed);
        clock.monotonic.fetch_add(5_000_000, Ordering::Relaxed);
        assert!(skew.off(&clock).is_some(), "time alone mends nothing");
        clock.wall.fetch_sub(10_000_000, Ordering::Relaxed);
        assert_eq!(skew.off(&clock), None);
        assert!(skew.is_due(&clock));
    }
}
