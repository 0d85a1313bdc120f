//! When who answers wants to be asked again.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::rfc2822::DateTimeParser;
use steward_events::timestamp::Timestamp;

/// Nobody is believed who wants longer.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// What OpenAI limits a minute or a day.
const OPENAI_LIMITS: &[&str] = &["requests", "tokens"];
/// What Anthropic limits a minute.
const ANTHROPIC_LIMITS: &[&str] = &["requests", "tokens", "input-tokens", "output-tokens"];

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

    /// What these headers say of limits that are used up: as OpenAI tells them (`x-ratelimit-remaining-…: 0`, and with
    /// `x-ratelimit-reset-…` how long that lasts) or Anthropic (`anthropic-ratelimit-…-remaining: 0`, and with `…-reset` until
    /// when). Of several the last counts. Both in a mixture is nobody's form.
    pub fn of_limits<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<Self> {
        let is_used_up = |name: &str| header(name).is_some_and(|left| left.trim() == "0");
        let openai = OPENAI_LIMITS.iter().filter(|limit| is_used_up(&format!("x-ratelimit-remaining-{limit}")));
        let spans = openai.filter_map(|limit| span(header(&format!("x-ratelimit-reset-{limit}"))?));
        let anthropic =
            ANTHROPIC_LIMITS.iter().filter(|limit| is_used_up(&format!("anthropic-ratelimit-{limit}-remaining")));
        let moments = anthropic.filter_map(|limit| header(&format!("anthropic-ratelimit-{limit}-reset"))?.parse().ok());
        spans.max().map(Self::In).or_else(|| moments.max().map(Self::At))
    }

    /// After a span such as `34.5s`; none if it says none.
    pub fn after(text: &str) -> Option<Self> {
        span(text).map(Self::In)
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

/// `6m0s`, `1.5s` or `20ms`; a bare number is seconds.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
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

    #[test]
    fn limits_that_are_used_up_say_until_when() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let wait = |headers: &[(&str, &str)]| {
            let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            AskAgain::of_limits(header).map(|again| again.wait(now).as_millis())
        };
        let openai = |requests: &'static str, tokens: &'static str| {
            wait(&[
                ("x-ratelimit-remaining-requests", requests),
                ("x-ratelimit-reset-requests", "8.64s"),
                ("x-ratelimit-remaining-tokens", tokens),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ])
        };
        assert_eq!([openai("0", "7"), openai("0", "0"), openai("1", "7")], [Some(8_640), Some(360_000), None]);
        let anthropic = |left: &'static str, reset: &'static str| {
            wait(&[
                ("anthropic-ratelimit-input-tokens-remaining", left),
                ("anthropic-ratelimit-input-tokens-reset", reset),
            ])
        };
        assert_eq!(anthropic("0", "2026-11-29T12:00:07Z"), Some(7_000));
        assert_eq!([anthropic("9", "2026-11-29T12:00:07Z"), anthropic("0", "soon")], [None; 2]);
        let odd =
            |reset: &'static str| wait(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", reset)]);
        assert_eq!([odd("20ms"), odd("2"), odd("-1s"), odd("NaN"), odd("")], [Some(20), Some(2_000), None, None, None]);
    }
}
