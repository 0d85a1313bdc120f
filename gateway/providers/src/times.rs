//! How long the parts of one call may take: as the settings say, or less where the route says less.

use std::time::Duration;

use steward_calls::upstream::TimeMax;
use tokio::time::Instant;

use crate::config::Config;

/// The bounds of one call in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// To connect. Where a proxy or HTTP/2 is wanted, connections are shared, and the settings alone count.
    pub(crate) connect: Duration,
    /// From sending the request to the first byte of the answer.
    pub(crate) first_byte: Duration,
    /// Between two pieces of the answer.
    pub(crate) idle: Duration,
    /// When all of it must be over.
    pub(crate) ends: Instant,
}

impl Times {
    /// Of a call that begins now.
    pub(crate) fn new(bounds: &Config, max: TimeMax) -> Self {
        let least = |setting: Duration, route: Option<Duration>| route.map_or(setting, |route| route.min(setting));
        Self {
            connect: least(bounds.connect_time_max, max.connect),
            first_byte: least(bounds.first_byte_time_max, max.first_byte),
            idle: least(bounds.idle_time_max, max.idle),
            ends: Instant::now() + least(bounds.total_time_max, max.whole),
        }
    }

    /// When the head of an answer must have come to a request that goes out now.
    pub(crate) fn head_by(&self) -> Instant {
        self.ends.min(Instant::now() + self.first_byte)
    }

    /// How much of the time is left.
    pub(crate) fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_route_shortens_and_never_lengthens() {
        let bounds = Config::default();
        let plain = Times::new(&bounds, TimeMax::default());
        assert_eq!((plain.connect, plain.idle), (bounds.connect_time_max, bounds.idle_time_max));
        assert_eq!(
            (plain.head_by(), plain.left()),
            (Instant::now() + bounds.first_byte_time_max, bounds.total_time_max)
        );
        let (short, long) = (Some(Duration::from_millis(7)), Some(Duration::from_hours(9)));
        let shorter = Times::new(&bounds, TimeMax { connect: short, first_byte: long, idle: short, whole: short });
        assert_eq!([shorter.connect, shorter.idle, shorter.left()].map(Some), [short; 3]);
        assert_eq!((shorter.first_byte, shorter.head_by()), (bounds.first_byte_time_max, shorter.ends));
        let longer = Times::new(&bounds, TimeMax { connect: long, first_byte: long, idle: long, whole: long });
        assert_eq!(longer, plain);
    }
}
