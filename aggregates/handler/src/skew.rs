//! A replica whose clock is off does not decide: its stamps would end leases, keys and windows at the wrong moments, and
//! stand in the log for ever.
//!
//! The log's clock is the measure. It is asked before the first decision, every few seconds, and at once when the wall
//! clock was set against the monotonic one. A clock found off stays so until it is set.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, OFF_MAX};
use steward_ports::log::{EventLog, LogError};

/// How often to compare.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// A wall clock that moves this much against the monotonic one was set.
const SET_MIN: Duration = Duration::from_millis(500);

/// What is known of this process's clock.
#[derive(Debug, Default)]
pub(crate) struct Skew(Mutex<Option<Compared>>);

#[derive(Clone, Copy, Debug)]
struct Compared {
    /// When, by the monotonic clock.
    at: Duration,
    /// The moment, by the wall clock, at which the monotonic clock began.
    began: Timestamp,
    /// By how much the two differ, if that is too much.
    off: Option<Duration>,
}

/// Why this process does not decide.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRight {
    /// Its clock is wrong.
    #[error("the clock of this process differs by {} ms from the log's; set it right: see /readyz", .0.as_millis())]
    Off(Duration),
    /// Nobody knows.
    #[error("the clock of this process cannot be compared with the log's: {0}")]
    Unknown(LogError),
}

fn began(clock: &dyn Clock) -> Timestamp {
    Timestamp(clock.now().0.saturating_sub(u64::try_from(clock.monotonic().as_micros()).unwrap_or(u64::MAX)))
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

impl Skew {
    /// Whether decisions may go by `clock` now.
    pub(crate) async fn check(&self, clock: &dyn Clock, log: &dyn EventLog) -> Result<(), NotRight> {
        let known = self.known(clock);
        if let Some(known) = known
            && clock.monotonic().saturating_sub(known.at) < COMPARE_EVERY
        {
            return known.off.map_or(Ok(()), |by| Err(NotRight::Off(by)));
        }
        if let Some(known) = known {
            // One asks; the others go on by what is known.
            self.keep(Compared { at: clock.monotonic(), ..known });
        }
        let asked = clock.now();
        match log.time().await {
            Ok(said) => self.compare(asked, said, clock),
            Err(error) if known.is_none() => return Err(NotRight::Unknown(error)),
            Err(_) => {}
        }
        self.known(clock).and_then(|known| known.off).map_or(Ok(()), |by| Err(NotRight::Off(by)))
    }

    /// False if `clock` was set since it was compared: what was decided by it meanwhile is not recorded.
    pub(crate) fn still_holds(&self, clock: &dyn Clock) -> bool {
        self.known(clock).is_some_and(|known| known.off.is_none())
    }

    /// Compares: between `asked` and now the log's clock said `said`.
    fn compare(&self, asked: Timestamp, said: Timestamp, clock: &dyn Clock) {
        let by = asked.since(said).max(said.since(clock.now()));
        let off = (by > OFF_MAX).then_some(by);
        if off.is_some() {
            tracing::error!(off_ms = by.as_millis(), "this process's clock is off; it decides nothing until it is set");
        }
        self.keep(Compared { at: clock.monotonic(), began: began(clock), off });
    }

    /// What was found, unless the clock was set since.
    fn known(&self, clock: &dyn Clock) -> Option<Compared> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|known| distance(began(clock), known.began) < SET_MIN)
    }

    fn keep(&self, found: Compared) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
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
        for (said, holds) in [(98_000_000, true), (97_999_999, false), (102_000_000, true), (102_000_001, false)] {
            skew.compare(clock.now(), Timestamp(said), &clock);
            assert_eq!(skew.still_holds(&clock), holds, "{said}");
        }
    }

    #[test]
    fn what_was_found_holds_until_the_clock_is_set() {
        let clock = at(100);
        let skew = Skew::default();
        assert!(!skew.still_holds(&clock), "nothing is known yet");
        skew.compare(clock.now(), Timestamp(100_000_000), &clock);
        clock.wall.fetch_add(5_000_000, Ordering::Relaxed);
        clock.monotonic.fetch_add(5_000_000, Ordering::Relaxed);
        assert!(skew.still_holds(&clock), "time passes");
        clock.wall.fetch_add(600_000, Ordering::Relaxed);
        assert!(!skew.still_holds(&clock), "the clock was set");
    }
}
