//! When who answers wants to be asked again.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use steward_events::timestamp::Timestamp;

/// Nobody is believed who wants longer.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskAgain {
    /// After so long.
    In(Duration),
    /// At this moment.
    At(Timestamp),
}

impl AskAgain {
    /// What these headers say: `retry-after-ms`, or `retry-after` in seconds or as a moment. Seconds and milliseconds may
    /// have fractions.
    pub fn read(milliseconds: Option<&str>, retry_after: Option<&str>) -> Option<Self> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let span = |seconds: f64| Self::In(Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX));
        if let Some(milliseconds) = milliseconds.and_then(number) {
            return Some(span(milliseconds / 1e3));
        }
        let text = retry_after?;
        if let Some(seconds) = number(text) {
            return Some(span(seconds));
        }
        let moment = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
        Some(Self::At(Timestamp::from_jiff(moment)))
    }

    /// How long that is from `now` on.
    pub fn wait(self, now: Timestamp) -> Duration {
        let wait = match self {
            Self::In(wait) => wait,
            Self::At(moment) => moment.since(now),
        };
        wait.min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        for (milliseconds, retry_after, expected) in [
            (None, Some("7"), Some(7_000)),
            (None, Some("0.25"), Some(250)),
            (Some("1500.5"), Some("7"), Some(1_500)),
            (Some("soon"), Some("7"), Some(7_000)),
            (None, Some("Sun, 29 Nov 2026 12:00:30 GMT"), Some(30_000)),
            (None, Some("Sun, 29 Nov 2026 11:00:00 GMT"), Some(0)),
            (None, Some("1e9"), Some(3_600_000)),
            (None, Some("-1"), None),
            (None, Some("soon"), None),
            (None, None, None),
        ] {
            let waited = AskAgain::read(milliseconds, retry_after).map(|again| again.wait(now).as_millis());
            assert_eq!(waited, expected, "{milliseconds:?} {retry_after:?}");
        }
    }
}
