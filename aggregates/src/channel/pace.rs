//! How often messages are sent: bounds over a minute, of a channel and of a tenant.

use std::collections::VecDeque;
use std::time::Duration;

use steward_events::timestamp::Timestamp;

/// After a message of a kind, further notices of this kind are gathered for so long into one.
pub(super) const GATHER: Duration = Duration::from_secs(10);

/// Over this time messages are counted.
pub(super) const PACE_TIME: Duration = Duration::from_secs(60);

/// The most messages of one channel in that time.
pub(super) const CHANNEL_MAX: usize = 20;

/// The most messages of one tenant in that time.
pub(super) const TENANT_MAX: usize = 60;

/// When the last messages are to be sent, or were; the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(VecDeque<Timestamp>);

impl Pace {
    /// When a further message may be sent, if at most `max` are within [`PACE_TIME`].
    pub(super) fn next(&self, now: Timestamp, max: usize) -> Timestamp {
        let over = self.0.len().checked_sub(max).and_then(|place| self.0.get(place));
        over.map_or(now, |oldest| now.max(oldest.plus(PACE_TIME)))
    }

    /// A message is to be sent at this moment.
    pub(super) fn took(&mut self, at: Timestamp, max: usize) {
        let place = self.0.partition_point(|taken| *taken <= at);
        self.0.insert(place, at);
        while self.0.len() > max {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_messages_than_its_bound() {
        let (mut pace, mut sent) = (Pace::default(), Vec::new());
        for asked in 0..200_u64 {
            let now = Timestamp(asked * 100_000);
            let at = pace.next(now, 7);
            pace.took(at, 7);
            sent.push(at);
        }
        for eight in sent.windows(8) {
            assert!(eight[7] >= eight[0].plus(PACE_TIME), "{eight:?}");
        }
        assert!(
            sent[..7].iter().enumerate().all(|(place, at)| at.0 == place as u64 * 100_000),
            "the first ones wait for nothing"
        );
    }
}
