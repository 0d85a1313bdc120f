//! What a provider takes a minute of one gateway: requests and tokens, each a bucket that fills evenly. Pure: time is given
//! to it.
//!
//! A library of rate limits (`governor`) counts whole cells by its own clock and gives nothing back; here what a call took is
//! corrected when it is known what it used, and time is the port's.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use steward_events::event::Target;

/// What one call takes, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    /// Requests that the provider takes a minute; any number if none.
    pub(crate) rpm: Option<NonZeroU32>,
    /// Tokens that it takes a minute; any number if none.
    pub(crate) tpm: Option<NonZeroU64>,
    /// Tokens that the call probably uses.
    pub(crate) tokens: u64,
}

/// What was taken of a provider's minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Minute {
    requests: Bucket,
    tokens: Bucket,
}

/// What was taken of something, and has not come back yet.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    taken: f64,
    /// When that was so.
    at: Duration,
}

impl Takes {
    /// By what is said of `target`.
    pub(crate) fn of(target: &Target, tokens: u64) -> Self {
        Self { rpm: target.rpm, tpm: target.tpm, tokens }
    }

    fn of_each(self) -> [(Option<f64>, f64); 2] {
        #[allow(clippy::cast_precision_loss)] // no minute has so many tokens
        let (tpm, tokens) = (self.tpm.map(|tpm| tpm.get() as f64), self.tokens as f64);
        [(self.rpm.map(|rpm| f64::from(rpm.get())), 1.0), (tpm, tokens)]
    }
}

impl Minute {
    /// Takes what the call takes; or says how long it must wait, and takes nothing.
    pub(super) fn take(&mut self, now: Duration, takes: Takes) -> Result<(), Duration> {
        let [requests, tokens] = takes.of_each();
        let wait = self.requests.wait(now, requests).max(self.tokens.wait(now, tokens));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.requests.add(now, requests);
        self.tokens.add(now, tokens);
        Ok(())
    }

    /// The call was not made.
    pub(super) fn give_back(&mut self, now: Duration, takes: Takes) {
        let [(rpm, request), (tpm, tokens)] = takes.of_each();
        self.requests.add(now, (rpm, -request));
        self.tokens.add(now, (tpm, -tokens));
    }

    /// It used so many tokens.
    pub(super) fn used(&mut self, now: Duration, takes: Takes, tokens: u64) {
        let [_, (tpm, expected)] = takes.of_each();
        #[allow(clippy::cast_precision_loss)]
        self.tokens.add(now, (tpm, tokens as f64 - expected));
    }
}

impl Bucket {
    fn taken_at(&self, now: Duration, a_minute: f64) -> f64 {
        let back = now.saturating_sub(self.at).as_secs_f64() * a_minute / 60.0;
        (self.taken - back).max(0.0)
    }

    /// How long until so much can be taken. What is more than a whole minute gives goes when all of that is there.
    fn wait(&self, now: Duration, (a_minute, wanted): (Option<f64>, f64)) -> Duration {
        let Some(a_minute) = a_minute else { return Duration::ZERO };
        let lacking = self.taken_at(now, a_minute) + wanted.min(a_minute) - a_minute;
        // Less than a millionth of something is what floats lose.
        if lacking <= 1e-6 { Duration::ZERO } else { Duration::from_secs_f64(lacking * 60.0 / a_minute) }
    }

    fn add(&mut self, now: Duration, (a_minute, amount): (Option<f64>, f64)) {
        let Some(a_minute) = a_minute else { return };
        *self = Self { taken: (self.taken_at(now, a_minute) + amount).max(0.0), at: now };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(500);

    fn takes(rpm: u32, tpm: u64, tokens: u64) -> Takes {
        Takes { rpm: NonZeroU32::new(rpm), tpm: NonZeroU64::new(tpm), tokens }
    }

    #[test]
    fn as_many_requests_go_as_a_minute_has() {
        let mut minute = Minute::default();
        for _ in 0..60 {
            assert_eq!(minute.take(NOW, takes(60, 0, 9)), Ok(()));
        }
        assert_eq!(minute.take(NOW, takes(60, 0, 9)), Err(Duration::from_secs(1)));
        assert_eq!(minute.take(NOW + Duration::from_secs(1), takes(60, 0, 9)), Ok(()));
        assert_eq!(minute.take(NOW, takes(0, 0, 9)), Ok(()), "without a bound");
    }

    #[test]
    fn tokens_bound_too_and_are_corrected() {
        let mut minute = Minute::default();
        assert_eq!(minute.take(NOW, takes(0, 600, 500)), Ok(()));
        assert_eq!(minute.take(NOW, takes(0, 600, 200)), Err(Duration::from_secs(10)));
        minute.used(NOW, takes(0, 600, 500), 100);
        assert_eq!(minute.take(NOW, takes(0, 600, 500)), Ok(()));
        minute.used(NOW, takes(0, 600, 500), 800);
        assert_eq!(minute.take(NOW, takes(0, 600, 1)), Err(Duration::from_millis(30_100)), "it used more");
    }

    #[test]
    fn a_call_larger_than_a_minute_waits_for_all_of_it() {
        let mut minute = Minute::default();
        assert_eq!(minute.take(NOW, takes(0, 600, 9_000)), Ok(()));
        assert_eq!(minute.take(NOW, takes(0, 600, 9_000)), Err(Duration::from_secs(900)));
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let mut minute = Minute::default();
        assert_eq!(minute.take(NOW, takes(1, 100, 100)), Ok(()));
        minute.give_back(NOW, takes(1, 100, 100));
        assert_eq!(minute.take(NOW, takes(1, 100, 100)), Ok(()));
    }

    proptest! {
        #[test]
        fn who_waits_as_long_as_told_is_let_in(
            calls in prop::collection::vec((0_u64..5_000, 0_u64..3_000, 0_u64..3_000), 1..60), rpm in 1_u32..100, tpm in 1_u64..5_000,
        ) {
            let (mut minute, mut now, mut let_in) = (Minute::default(), NOW, 0_u32);
            for (pause, tokens, used) in calls {
                now += Duration::from_millis(pause);
                let takes = takes(rpm, tpm, tokens);
                if let Err(wait) = minute.take(now, takes) {
                    now += wait + Duration::from_micros(1);
                    prop_assert_eq!(minute.take(now, takes), Ok(()));
                }
                let_in += 1;
                minute.used(now, takes, used);
            }
            // A whole minute at once, then evenly.
            let most = f64::from(rpm) * (1.0 + now.saturating_sub(NOW).as_secs_f64() / 60.0) + 1e-3;
            prop_assert!(f64::from(let_in) <= most, "{let_in} > {most}");
        }
    }
}
