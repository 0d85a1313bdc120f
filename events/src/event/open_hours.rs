//! Hours of the week in which something may be done or counts, written as text, in the log as well: `Mon-Fri 08:00-18:00
//! Europe/Berlin`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::TimeOfDay;
use crate::quantity::InvalidQuantity;
use crate::timestamp::Timestamp;

/// The longest text that is read as hours, in bytes.
const TEXT_BYTES_MAX: usize = 120;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const EVERY_DAY: u8 = 0b111_1111;
const MINUTES_OF_DAY: u16 = 1_440;

/// Hours of some days of the week in a time zone: `Mon-Fri 08:00-18:00 Europe/Berlin`. Without days it is every day; without a
/// zone it is the tenant's, which is filled in when it is recorded. Hours that end before they begin last into the next day.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenHours {
    /// A bit for each day, Monday's the lowest.
    days: u8,
    from: TimeOfDay,
    /// The first minute after.
    to: TimeOfDay,
    /// IANA name; none until it is known whose time zone is meant.
    zone: Option<Arc<str>>,
}

impl OpenHours {
    /// The time zone that they name.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The same in `zone`, if they name none.
    #[must_use]
    pub fn or_zone(self, zone: &str) -> Self {
        let zone = self.zone.unwrap_or_else(|| Arc::from(zone));
        Self { zone: Some(zone), ..self }
    }

    /// True if `at` lies within them. In a time zone that this machine does not know nothing does.
    pub fn contain(&self, at: Timestamp) -> bool {
        let Ok(zone) = TimeZone::get(self.zone().unwrap_or("UTC")) else { return false };
        let local = at.to_jiff().to_zoned_datetime(zone);
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        self.have(local.weekday().to_monday_zero_offset().unsigned_abs(), minute)
    }

    /// True if all hours of `other` are among these.
    pub fn cover(&self, other: &Self) -> bool {
        let mut week = (0..7).flat_map(|day| (0..MINUTES_OF_DAY).map(move |minute| (day, minute)));
        self.zone == other.zone && week.all(|(day, minute)| !other.have(day, minute) || self.have(day, minute))
    }

    /// True if this minute of this day, 0 for Monday, is among them.
    fn have(&self, day: u8, minute: u16) -> bool {
        let is_open = |day: u8| self.days & (1 << (day % 7)) != 0;
        let (begun, over) = (self.from.0 <= minute, self.to.0 <= minute);
        if self.from.0 < self.to.0 {
            return is_open(day) && begun && !over;
        }
        (is_open(day) && begun) || (is_open(day + 6) && !over)
    }
}

/// The days of `Mon-Fri,Sun` as bits. `Sat-Mon` goes round the end of the week.
fn days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|known| known.eq_ignore_ascii_case(name));
    text.split(',').try_fold(0_u8, |found, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        Some((first..=first + length).fold(found, |found, day| found | 1 << (day % 7)))
    })
}

impl FromStr for OpenHours {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let read = || {
            let mut words = text.split_ascii_whitespace().peekable();
            let named = words.peek().and_then(|word| days(word));
            if named.is_some() {
                words.next();
            }
            let (from, to) = words.next()?.split_once('-')?;
            let (from, to): (TimeOfDay, TimeOfDay) = (from.parse().ok()?, to.parse().ok()?);
            let zone = words.next().map(Arc::from);
            let is_sound = words.next().is_none() && from != to && from < TimeOfDay::MIDNIGHT;
            is_sound.then_some(Self { days: named.unwrap_or(EVERY_DAY), from, to, zone })
        };
        let read = if text.len() > TEXT_BYTES_MAX { None } else { read() };
        read.ok_or_else(|| InvalidQuantity {
            text: text.chars().take(60).collect(),
            expected: "hours such as \"Mon-Fri 08:00-18:00\" or \"Sat,Sun 22:00-06:00 Europe/Berlin\"",
        })
    }
}

impl fmt::Display for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = |day: usize| self.days & (1 << day) != 0;
        let (mut parts, mut day) = (Vec::new(), 0);
        while day < DAYS.len() && self.days != EVERY_DAY {
            if !open(day) {
                day += 1;
                continue;
            }
            let last = (day..DAYS.len()).take_while(|next| open(*next)).last().unwrap_or(day);
            parts.push(if last == day { DAYS[day].to_owned() } else { format!("{}-{}", DAYS[day], DAYS[last]) });
            day = last + 1;
        }
        if !parts.is_empty() {
            write!(f, "{} ", parts.join(","))?;
        }
        write!(f, "{}-{}", self.from, self.to)?;
        self.zone.iter().try_for_each(|zone| write!(f, " {zone}"))
    }
}

impl fmt::Debug for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for OpenHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OpenHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for OpenHours {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpenHours".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["Mon-Fri 08:00-18:00", "Sat,Sun 22:00-06:00 Europe/Berlin"] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> OpenHours {
        text.parse().unwrap()
    }

    fn within(text: &str, at: &str) -> bool {
        hours(text).contain(at.parse().unwrap())
    }

    proptest! {
        #[test]
        fn hours_are_read_as_they_are_written(days in 1_u8..128, from in 0_u16..1_440, length in 1_u16..1_440) {
            let to = TimeOfDay((from + length) % 1_440);
            let hours = OpenHours { days, from: TimeOfDay(from), to, zone: Some(Arc::from("Europe/Berlin")) };
            prop_assert_eq!(hours.to_string().parse::<OpenHours>(), Ok(hours));
        }
    }

    #[test]
    fn hours_go_by_the_clock_of_their_zone() {
        // A Monday; Berlin is an hour ahead in winter, two in summer.
        assert!(within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T07:00:00Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T06:59:59Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T17:00:00Z"));
        assert!(within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-06-22T06:00:00Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-22T12:00:00Z"), "a Sunday");
        assert!(within("Sun-Tue 00:00-24:00 UTC", "2026-11-23T23:59:59Z"));
        assert!(!within("00:00-24:00 Europe/Atlantis", "2026-11-27T07:00:00Z"), "nobody knows when that is");
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin() {
        let within = |at: &str| within("Fri 22:00-06:00 UTC", at);
        assert!(within("2026-11-27T22:00:00Z") && within("2026-11-28T05:59:00Z"));
        assert!(!within("2026-11-28T06:00:00Z") && !within("2026-11-28T22:00:00Z") && !within("2026-11-27T05:00:00Z"));
        assert!(self::within("Sun 22:00-06:00 UTC", "2026-11-23T05:00:00Z"), "Monday follows Sunday");
    }

    #[test]
    fn hours_are_written_shortly_and_refused_clearly() {
        assert_eq!(hours("mon,Tue,Wed,Sun 09:00-12:30").to_string(), "Mon-Wed,Sun 09:00-12:30");
        assert_eq!(hours("Sat-Mon 09:00-12:30").to_string(), "Mon,Sat-Sun 09:00-12:30");
        assert_eq!(hours("Mon-Sun 00:00-24:00").to_string(), "00:00-24:00");
        for text in ["", "Mon-Fri", "Mon-Foo 08:00-18:00", "08:00-08:00", "24:00-01:00", "8-18", "08:00-18:00 UTC x"] {
            assert!(text.parse::<OpenHours>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn fewer_hours_are_among_more() {
        let office = hours("Mon-Fri 08:00-18:00 UTC");
        assert!(office.cover(&hours("Tue 08:00-12:00 UTC")) && office.cover(&office));
        assert!(hours("Mon 22:00-06:00 UTC").cover(&hours("Tue 01:00-02:00 UTC")));
        for more in [
            "Mon-Sat 08:00-18:00 UTC",
            "Mon 07:59-18:00 UTC",
            "Mon 08:00-18:00 Europe/Berlin",
            "Mon 08:00-18:00",
            "Mon 17:00-01:00 UTC",
        ] {
            assert!(!office.cover(&hours(more)), "{more}");
        }
    }
}
