//! How soon answers begin: a mean in which what is old counts less.

use std::time::Duration;

/// The part of a new answer in the mean.
const NEW: f64 = 0.2;
/// Without news the mean halves in this time, so that a target that was slow once is asked again.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// The mean of one target; nothing before its first answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    mean: Duration,
    /// When it was last changed.
    at: Duration,
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
    fn without_news_it_halves() {
        let (mut latency, now) = (Latency::default(), Duration::from_secs(9));
        latency.add(now, Duration::from_millis(100));
        assert_eq!(latency.at(now + HALF_LIFE), Duration::from_millis(50));
    }
}
