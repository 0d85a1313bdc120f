//! How soon answers begin: a mean in which what is old counts less, and the slowest of the last ones.

use std::collections::VecDeque;
use std::time::Duration;

/// The part of a new answer in the mean.
const NEW: f64 = 0.2;
/// Without news the mean halves in this time, so that a target that was slow once is asked again.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// How many answers are remembered each for itself.
const LAST_MAX: usize = 100;
/// Of fewer it is not said how soon nineteen of twenty begin.
const LAST_MIN: usize = 20;

/// What is known of one target; nothing before its first answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    mean: Duration,
    /// When it was last changed.
    at: Duration,
    /// The last answers, the oldest first.
    last: VecDeque<Duration>,
}

impl Latency {
    /// As it counts at `now`.
    pub(super) fn at(&self, now: Duration) -> Duration {
        let age = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.mean.mul_f64((-age).exp2())
    }

    /// An answer began, so long after it was asked for.
    pub(super) fn add(&mut self, now: Duration, after: Duration) {
        // What was forgotten by age is not mixed in again: the mean is of answers.
        self.mean = if self.mean.is_zero() { after } else { self.mean.mul_f64(1.0 - NEW) + after.mul_f64(NEW) };
        self.at = now;
        if self.last.len() == LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(after);
    }

    /// How soon nineteen of twenty of the last answers began; none if there were too few.
    pub(super) fn p95(&self) -> Option<Duration> {
        let mut last: Vec<Duration> = self.last.iter().copied().collect();
        last.sort_unstable();
        last.get(last.len() * 19 / 20).copied().filter(|_| last.len() >= LAST_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_the_answers() {
        let (mut latency, now) = (Latency::default(), Duration::from_secs(9));
        assert_eq!(latency.at(now), Duration::ZERO, "nothing is known yet");
        latency.add(now, Duration::from_millis(100));
        assert_eq!(latency.at(now), Duration::from_millis(100));
        for _ in 0..50 {
            latency.add(now, Duration::from_millis(500));
        }
        assert!(latency.at(now) > Duration::from_millis(490));
    }

    #[test]
    fn the_slowest_of_the_last_are_known_once_there_were_enough() {
        let mut latency = Latency::default();
        let add = |latency: &mut Latency, ms| latency.add(Duration::ZERO, Duration::from_millis(ms));
        for ms in 1..LAST_MIN as u64 {
            add(&mut latency, ms);
        }
        assert_eq!(latency.p95(), None);
        add(&mut latency, 900);
        assert_eq!(latency.p95(), Some(Duration::from_millis(900)));
        for ms in 1..=LAST_MAX as u64 {
            add(&mut latency, ms);
        }
        assert_eq!(latency.p95(), Some(Duration::from_millis(96)), "what was before is forgotten");
    }

    #[test]
    fn without_news_it_halves() {
        let (mut latency, now) = (Latency::default(), Duration::from_secs(9));
        latency.add(now, Duration::from_millis(100));
        assert_eq!(latency.at(now + HALF_LIFE), Duration::from_millis(50));
    }
}
