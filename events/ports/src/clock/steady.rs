//! A clock that does not jump when the machine's does.
//!
//! The wall hand is read once; from then on time is counted by the monotonic hand, so that a wall clock that is set to
//! another day changes nothing of what is decided and recorded. The log's clock is the measure: now and then the two are
//! compared. If the machine's wall hand agrees with the log's, it is followed (a machine that slept has a monotonic hand
//! that stood still). If it does not, this clock goes on as it was, as long as that agrees; if neither agrees, its time is
//! not known, and nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steward_events::timestamp::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Clock;
use crate::log::EventLog;

/// How far two clocks may be apart.
pub const OFF_MAX: Duration = Duration::from_secs(2);

/// Less than this is not followed: it is the time that a question takes.
const FOLLOW_MIN: Duration = Duration::from_millis(50);

/// How often to compare with the log's clock …
const COMPARE_EVERY: Duration = Duration::from_secs(5);

/// … and how often while something is wrong; also how often to look whether something is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A clock over two hands.
#[derive(Debug)]
pub struct Steady<H> {
    hands: H,
    /// The moment at which the monotonic hand began, in microseconds.
    began: AtomicU64,
    /// By how much the time is wrong, in microseconds; 0 if it is right.
    off: AtomicU64,
}

/// A moment by this clock and by the wall hand.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    steady: Timestamp,
    wall: Timestamp,
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

impl<H: Clock> Steady<H> {
    /// A clock that begins with what the wall hand says.
    pub fn new(hands: H) -> Self {
        let began = AtomicU64::new(began(&hands));
        Self { hands, began, off: AtomicU64::new(0) }
    }

    /// This moment, to compare with what the log says between two of them.
    pub fn moment(&self) -> Moment {
        Moment { steady: self.now(), wall: self.hands.now() }
    }

    /// Compares: between `asked` and now the log's clock said `said`.
    pub fn compare(&self, asked: Moment, said: Timestamp) {
        let answered = self.moment();
        // What lies between question and answer is no difference.
        let apart = |asked: Timestamp, answered: Timestamp| asked.since(said).max(said.since(answered));
        let (steady, wall) = (apart(asked.steady, answered.steady), apart(asked.wall, answered.wall));
        if wall <= OFF_MAX {
            if distance(answered.wall, answered.steady) > FOLLOW_MIN {
                self.began.store(began(&self.hands), Ordering::Relaxed);
            }
            self.off.store(0, Ordering::Relaxed);
        } else {
            let off = if steady <= OFF_MAX { 0 } else { micros(steady) };
            if self.off.swap(off, Ordering::Relaxed) == 0 {
                let (wall_ms, steady_ms) = (wall.as_millis(), steady.as_millis());
                tracing::error!(wall_ms, steady_ms, "the clock of this machine differs from the log's; set it right");
            }
        }
    }

    /// What is wrong with the machine's clock, as far as is known; for people.
    ///
    /// # Errors
    /// If something is.
    pub fn check(&self) -> Result<(), String> {
        if let Some(off) = self.off() {
            return Err(format!(
                "the clock of this machine is {} off from the log's: nothing is decided by it; set it right",
                rounded(off)
            ));
        }
        let Moment { steady, wall } = self.moment();
        if distance(steady, wall) <= OFF_MAX {
            return Ok(());
        }
        let (by, way) = if wall > steady { (wall.since(steady), "ahead") } else { (steady.since(wall), "back") };
        Err(format!(
            "the clock of this machine was set {} {way} of the log's; this process goes by the time since it was right; set it right",
            rounded(by)
        ))
    }
}

fn began(hands: &impl Clock) -> u64 {
    hands.now().0.saturating_sub(micros(hands.monotonic()))
}

fn rounded(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

impl<H: Clock> Clock for Steady<H> {
    fn now(&self) -> Timestamp {
        Timestamp(self.began.load(Ordering::Relaxed).saturating_add(micros(self.hands.monotonic())))
    }

    fn monotonic(&self) -> Duration {
        self.hands.monotonic()
    }

    fn off(&self) -> Option<Duration> {
        let off = self.off.load(Ordering::Relaxed);
        (off > 0).then(|| Duration::from_micros(off))
    }
}

/// Compares `clock` with the log's until `shutdown`: every few seconds, and often while something is wrong.
pub async fn keep_right<H: Clock>(clock: &Steady<H>, log: &dyn EventLog, shutdown: &CancellationToken) {
    let mut compared: Option<Duration> = None;
    while !shutdown.is_cancelled() {
        let due = compared.is_none_or(|at| clock.monotonic().saturating_sub(at) >= COMPARE_EVERY);
        if due || clock.check().is_err() {
            let asked = clock.moment();
            if let Ok(said) = log.time().await {
                clock.compare(asked, said);
                compared = Some(clock.monotonic());
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_790_000_000_000_000);
    const DAY: Duration = Duration::from_hours(25);

    /// Wall and monotonic time, set apart.
    #[derive(Debug)]
    struct Hands {
        wall: AtomicU64,
        monotonic: AtomicU64,
    }

    impl Clock for &'static Hands {
        fn now(&self) -> Timestamp {
            Timestamp(self.wall.load(Ordering::Relaxed))
        }
        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn clock() -> (&'static Hands, Steady<&'static Hands>) {
        let hands = Hands { wall: AtomicU64::new(NOON.0), monotonic: AtomicU64::new(7) };
        let hands: &'static Hands = Box::leak(Box::new(hands));
        (hands, Steady::new(hands))
    }

    impl Hands {
        fn pass(&self, span: Duration) {
            self.wall.fetch_add(micros(span), Ordering::Relaxed);
            self.monotonic.fetch_add(micros(span), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wall_hand_that_jumps_moves_nothing() {
        for ahead in [true, false] {
            let (hands, clock) = clock();
            hands.pass(DAY);
            if ahead {
                hands.wall.fetch_add(micros(DAY), Ordering::Relaxed);
            } else {
                hands.wall.fetch_sub(micros(DAY), Ordering::Relaxed);
            }
            assert_eq!(clock.now(), NOON.plus(DAY));
            let told = clock.check().unwrap_err();
            assert!(told.contains("1day 1h") && told.contains(if ahead { "ahead" } else { "back" }), "{told}");
            // The log agrees with what was counted.
            clock.compare(clock.moment(), NOON.plus(DAY));
            assert_eq!((clock.now(), clock.off()), (NOON.plus(DAY), None));
            assert!(clock.check().is_err(), "until it is set right");
            hands.wall.store(NOON.plus(DAY).0, Ordering::Relaxed);
            assert_eq!(clock.check(), Ok(()));
        }
    }

    #[test]
    fn a_machine_that_slept_is_followed_when_the_log_agrees() {
        let (hands, clock) = clock();
        hands.wall.fetch_add(micros(DAY), Ordering::Relaxed);
        clock.compare(clock.moment(), NOON.plus(DAY));
        assert_eq!((clock.now(), clock.off(), clock.check()), (NOON.plus(DAY), None, Ok(())));
    }

    #[test]
    fn a_time_that_nothing_agrees_with_is_known_to_be_off() {
        let (hands, clock) = clock();
        clock.compare(clock.moment(), NOON.plus(DAY));
        assert_eq!(clock.off(), Some(DAY));
        assert!(clock.check().unwrap_err().contains("nothing is decided"));
        hands.wall.fetch_add(micros(DAY), Ordering::Relaxed);
        clock.compare(clock.moment(), NOON.plus(DAY));
        assert_eq!((clock.now(), clock.off()), (NOON.plus(DAY), None));
    }

    #[test]
    fn two_seconds_and_the_time_of_the_question_are_borne() {
        for (said, off) in [(0, false), (2_000_000, false), (2_000_001, true)] {
            let (_, clock) = clock();
            clock.compare(clock.moment(), Timestamp(NOON.0 + said));
            assert_eq!(clock.off().is_some(), off, "{said}");
        }
        let (hands, clock) = clock();
        let asked = clock.moment();
        hands.pass(Duration::from_secs(9));
        clock.compare(asked, NOON.plus(Duration::from_secs(1)));
        assert_eq!(clock.off(), None);
    }
}
