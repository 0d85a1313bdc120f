//! Windows of budgets: from when to when a minute, day or month lasts in a tenant's time zone.
//!
//! Asked once per turn of a window; the answer is recorded, and readers never compute it again. Time zones change, and
//! what was recorded must not.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, ZonedDateTime};

use crate::quantity::Window;
use crate::timestamp::Timestamp;

/// From when (included) to when (excluded; none: for ever) the `window` lasts that holds `at`.
///
/// An unknown time zone counts as UTC; the tenant's creation has checked it.
pub fn bounds(window: Window, at: Timestamp, timezone: &str) -> (Timestamp, Option<Timestamp>) {
    if window == Window::Total {
        return (Timestamp(0), None);
    }
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let now = at.to_jiff().to_zoned_datetime(zone);
    match calendar(window, &now) {
        Some((from, to)) => {
            (Timestamp::from_jiff(from.timestamp()), Some(Timestamp::from_jiff(to.timestamp()).max(at.plus(TICK))))
        }
        // Only at the very ends of the calendar (year 9999).
        None => (at, Some(at.plus(TICK))),
    }
}

/// From when to when the turn lasts that holds `at`, after the one that was recorded last: that one while it lasts, else that of
/// the calendar.
///
/// Where the time zone was changed, the calendar's turn may have begun before the recorded one ended. Then the recorded one goes
/// on to the end of the calendar's: a turn between the two would give the whole limit for a part of the time, and a tenant that
/// goes to and fro would get it as often as it likes.
pub fn after(
    window: Window,
    recorded: (Timestamp, Option<Timestamp>),
    at: Timestamp,
    timezone: &str,
) -> (Timestamp, Option<Timestamp>) {
    let (from, Some(end)) = recorded else { return recorded };
    if at < end {
        return recorded;
    }
    let (calendar, to) = bounds(window, at, timezone);
    (if calendar < end { from } else { calendar }, to)
}

/// A window is never empty.
const TICK: std::time::Duration = std::time::Duration::from_micros(1);

fn calendar(window: Window, now: &ZonedDateTime) -> Option<(ZonedDateTime, ZonedDateTime)> {
    let midnight = now.start_of_day().ok()?;
    let from = match window {
        Window::Minute => return clock_span(now, 60),
        Window::Hour => return clock_span(now, 3_600),
        Window::Day => midnight,
        Window::Week => {
            let days = i64::from(now.weekday().to_monday_zero_offset());
            midnight.checked_sub(days.days()).ok()?.start_of_day().ok()?
        }
        Window::Month => now.first_of_month().ok()?.start_of_day().ok()?,
        Window::Total => return None,
    };
    let span = match window {
        Window::Week => 7.days(),
        Window::Month => 1.month(),
        _ => 1.day(),
    };
    // A day begins at its first moment, which is not midnight where clocks are put forward at midnight.
    let to = from.checked_add(span).ok()?.start_of_day().ok()?;
    Some((from, to))
}

/// Minutes and hours of the local clock; their length does not depend on clock changes.
fn clock_span(now: &ZonedDateTime, seconds: i64) -> Option<(ZonedDateTime, ZonedDateTime)> {
    let local = now.timestamp().as_second() + i64::from(now.offset().seconds());
    let whole = now.timestamp().as_second() - local.rem_euclid(seconds);
    let from = jiff::Timestamp::from_second(whole).ok()?.to_zoned_datetime(now.time_zone().clone());
    let to = from.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(window: Window, zone: &str, moment: &str, from: &str, to: &str) {
        assert_eq!(bounds(window, at(moment), zone), (at(from), Some(at(to))), "{window} in {zone} at {moment}");
    }

    #[test]
    fn windows_turn_by_the_tenants_own_clock() {
        check(Window::Minute, "UTC", "2026-11-23T10:00:59Z", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z");
        check(Window::Hour, "Asia/Kolkata", "2026-11-23T10:20:00Z", "2026-11-23T09:30:00Z", "2026-11-23T10:30:00Z");
        check(Window::Day, "Europe/Berlin", "2026-11-23T23:30:00Z", "2026-11-23T23:00:00Z", "2026-11-24T23:00:00Z");
        check(Window::Week, "UTC", "2026-11-29T10:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
        check(Window::Month, "UTC", "2024-02-29T10:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
    }

    #[test]
    fn a_turn_is_neither_given_twice_nor_lost_where_the_zone_changes() {
        let berlin = bounds(Window::Day, at("2026-11-23T12:00:00Z"), "Europe/Berlin");
        assert_eq!(
            after(Window::Day, berlin, at("2026-11-23T22:59:00Z"), "America/New_York"),
            berlin,
            "while it lasts"
        );
        let longer = after(Window::Day, berlin, at("2026-11-23T23:00:00Z"), "America/New_York");
        assert_eq!(longer, (berlin.0, Some(at("2026-11-24T05:00:00Z"))), "to the next midnight of the new zone");
        let next = after(Window::Day, longer, at("2026-11-24T05:00:00Z"), "America/New_York");
        assert_eq!(next, (at("2026-11-24T05:00:00Z"), Some(at("2026-11-25T05:00:00Z"))));
        let back = after(Window::Day, next, at("2026-11-25T05:00:00Z"), "Europe/Berlin");
        assert_eq!(back, (next.0, Some(at("2026-11-25T23:00:00Z"))), "nor by going back");
        let idle = after(Window::Day, berlin, at("2026-12-01T12:00:00Z"), "America/New_York");
        assert_eq!(idle, bounds(Window::Day, at("2026-12-01T12:00:00Z"), "America/New_York"), "long after");
        let total = (Timestamp(0), None);
        assert_eq!(after(Window::Total, total, at("2026-12-01"), "UTC"), total);
    }

    #[test]
    fn turns_follow_each_other_without_gap_whatever_zones_are_set() {
        let zones =
            ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago"];
        for window in [Window::Hour, Window::Day, Window::Week, Window::Month] {
            let mut turn = bounds(window, at("2026-11-23T12:00:00Z"), "UTC");
            for number in 0..200 {
                let end = turn.1.unwrap();
                let next = after(window, turn, end, zones[number * 7 % zones.len()]);
                assert!(next.0 == turn.0 || next.0 == end, "a new turn begins where the last one ended: {next:?}");
                assert!(next.1.unwrap() > end);
                turn = next;
            }
        }
    }

    #[test]
    fn a_day_with_clock_change_has_23_or_25_hours() {
        check(Window::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(Window::Day, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    }

    #[test]
    fn a_total_never_turns_and_every_window_holds_its_moment() {
        assert_eq!(bounds(Window::Total, at("2026-11-23"), "UTC"), (Timestamp(0), None));
        for moment in [Timestamp(0), at("2026-11-23T10:00:00Z"), at("9000-01-01")] {
            for window in [Window::Minute, Window::Hour, Window::Day, Window::Week, Window::Month] {
                for zone in ["UTC", "Europe/Berlin", "Nowhere/Else"] {
                    let (from, to) = bounds(window, moment, zone);
                    assert!(from <= moment && to.is_none_or(|to| moment < to), "{window} {zone} {moment:?}");
                    let _past_the_calendar = bounds(window, Timestamp(u64::MAX), zone);
                }
            }
        }
    }
}
