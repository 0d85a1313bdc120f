//! A circuit breaker: closed while a target does well, open for a while after it failed several times in a row, then half
//! open for one probe. Pure: time and chance are given to it.

use std::time::Duration;

use super::config::TargetsConfig;

/// How a target is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// It is asked.
    Closed,
    /// It is left alone.
    Open,
    /// One call asks it, to see whether it is well again.
    HalfOpen,
}

/// As what a call may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Like every call.
    Call,
    /// As the one that finds out.
    Probe,
}

/// What is known of one target's failures.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// How often it was opened since it last did well.
    openings: u32,
    /// Until when it is left alone, by the monotonic clock; none if it is closed.
    until: Option<Duration>,
    /// True while a probe is under way.
    probing: bool,
}

impl Breaker {
    pub(super) const fn state(&self) -> State {
        match (self.until, self.probing) {
            (None, _) => State::Closed,
            (Some(_), false) => State::Open,
            (Some(_), true) => State::HalfOpen,
        }
    }

    /// None if it may be asked; else for how long it is to be left alone. While a probe is under way it may be well the next
    /// moment.
    pub(super) fn closed_for(&self, now: Duration) -> Option<Duration> {
        let wait = self.until?.saturating_sub(now);
        (self.probing || !wait.is_zero()).then_some(wait)
    }

    /// Whether a call may ask it now.
    pub(super) fn enter(&mut self, now: Duration) -> Option<Entry> {
        if self.closed_for(now).is_some() {
            return None;
        }
        if self.until.is_none() {
            return Some(Entry::Call);
        }
        self.probing = true;
        Some(Entry::Probe)
    }

    /// The probe ended without a word on the target: the next call may be one.
    pub(super) fn probe_untold(&mut self, now: Duration) {
        if self.probing {
            (self.until, self.probing) = (Some(now), false);
        }
    }

    /// An answer began. That ends the pause; but until one came to its end, the next failure begins it again.
    pub(super) fn answered(&mut self) {
        (self.until, self.probing) = (None, false);
    }

    /// It did well.
    pub(super) fn well(&mut self) {
        *self = Self::default();
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Duration, config: &TargetsConfig, lot: u64) {
        self.failures = self.failures.saturating_add(1);
        // Calls that began before do not prolong the pause.
        let is_open = self.until.is_some() && !self.probing && self.closed_for(now).is_some();
        if is_open || self.failures < config.failures_max.get() {
            return;
        }
        let pause = config.pause_after(self.openings, lot);
        self.openings = self.openings.saturating_add(1);
        (self.until, self.probing) = (Some(now.saturating_add(pause)), false);
    }

    /// It said for how long it wants to be left alone.
    pub(super) fn wants_rest(&mut self, now: Duration, wait: Duration) {
        let until = now.saturating_add(wait);
        (self.until, self.probing) = (Some(self.until.map_or(until, |known| known.max(until))), false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> TargetsConfig {
        TargetsConfig::default()
    }

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn failing(times: u32) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..times {
            breaker.failed(at(0), &config(), u64::MAX);
        }
        breaker
    }

    #[test]
    fn it_opens_at_the_last_failure_in_a_row_and_not_before() {
        let bound = config().failures_max.get();
        assert_eq!(failing(bound - 1).state(), State::Closed);
        assert_eq!(failing(bound).state(), State::Open);
        let mut interrupted = failing(bound - 1);
        interrupted.well();
        interrupted.failed(at(0), &config(), 0);
        assert_eq!(interrupted.state(), State::Closed, "a success between them");
    }

    #[test]
    fn after_the_pause_one_probe_goes_and_no_second() {
        let mut breaker = failing(config().failures_max.get());
        assert_eq!(breaker.enter(at(0)), None);
        let after = config().pause_max;
        assert_eq!((breaker.enter(after), breaker.enter(after)), (Some(Entry::Probe), None));
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.probe_untold(after);
        assert_eq!(breaker.enter(after), Some(Entry::Probe), "the first said nothing");
        breaker.answered();
        assert_eq!(breaker.enter(after), Some(Entry::Call));
    }

    #[test]
    fn a_failed_probe_makes_the_next_pause_longer() {
        let mut breaker = failing(config().failures_max.get());
        let first = breaker.closed_for(at(0)).unwrap();
        assert_eq!(breaker.enter(first), Some(Entry::Probe));
        breaker.failed(first, &config(), u64::MAX);
        assert!(breaker.closed_for(first).unwrap() > first);
    }

    #[test]
    fn an_answer_that_broke_off_opens_it_again() {
        let mut breaker = failing(config().failures_max.get());
        breaker.answered();
        assert_eq!(breaker.state(), State::Closed);
        breaker.failed(at(1), &config(), 0);
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn who_says_when_to_come_back_is_left_alone_until_then() {
        let mut breaker = Breaker::default();
        breaker.wants_rest(at(0), at(700));
        assert_eq!((breaker.closed_for(at(0)), breaker.closed_for(at(700))), (Some(at(700)), None));
        breaker.wants_rest(at(0), at(10));
        assert_eq!(breaker.closed_for(at(0)), Some(at(700)), "what was said before still holds");
    }

    proptest! {
        #[test]
        fn a_pause_never_outlasts_its_bound(openings in any::<u32>(), lot in any::<u64>()) {
            let (config, pause) = (config(), config().pause_after(openings, lot));
            prop_assert!(pause <= config.pause_max && pause >= config.pause / 2, "{pause:?}");
        }

        #[test]
        fn whatever_happens_it_is_asked_again_in_time(events in prop::collection::vec((0_u8..6, 0_u64..5_000), 0..40)) {
            let (mut breaker, mut now, config) = (Breaker::default(), at(0), config());
            for (event, ms) in events {
                now += at(ms);
                match event {
                    0 => _ = breaker.enter(now),
                    1 => breaker.probe_untold(now),
                    2 => breaker.answered(),
                    3 => breaker.well(),
                    4 => breaker.wants_rest(now, at(ms)),
                    _ => breaker.failed(now, &config, ms),
                }
            }
            breaker.probe_untold(now);
            prop_assert!(breaker.enter(now + config.pause_max).is_some(), "{breaker:?}");
        }
    }
}
