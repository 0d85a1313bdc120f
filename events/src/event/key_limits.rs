//! From where and when a key may be used: ranges of addresses, and hours of the week.
//!
//! Both are written as text, in the log as well: `10.0.0.0/8`, `Mon-Fri 08:00-18:00 Europe/Berlin`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::TimeOfDay;
use crate::quantity::InvalidQuantity;
use crate::timestamp::Timestamp;

/// The longest text that is read as hours, in bytes.
const HOURS_BYTES_MAX: usize = 120;

/// Addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// True if `address` is one of these. An IPv4 address that is written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of `other` is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Every range that holds `address`, from that of all addresses to that of itself alone.
    pub fn all_of(address: IpAddr) -> impl Iterator<Item = Self> {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (0..=bits).filter_map(move |length| Some(Self(IpNet::new(address, length).ok()?.trunc())))
    }
}

impl FromStr for AddressRange {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = |expected| InvalidQuantity { text: text.chars().take(60).collect(), expected };
        let alone = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
        let range = text.parse::<IpNet>().ok().or_else(alone).ok_or_else(|| {
            wrong("a range of addresses such as 10.0.0.0/8 or 2001:db8::/32, or one address such as 192.0.2.7")
        })?;
        if range.trunc() != range {
            return Err(wrong("a range whose address ends in zeros behind its length, such as 10.0.0.0/8"));
        }
        if matches!(range, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() > 0) {
            return Err(wrong("a range of IPv4 addresses written as such: 10.0.0.0/8"));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Hours of the week in which something may be done: `Mon-Fri 08:00-18:00 Europe/Berlin`.
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

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const EVERY_DAY: u8 = 0b111_1111;

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
        let day = local.weekday().to_monday_zero_offset();
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let on_the_day = u32::try_from(day).is_ok_and(|day| self.days & (1 << day) != 0);
        on_the_day && i32::from(self.from.0) <= minute && minute < i32::from(self.to.0)
    }

    /// True if all hours of `other` are among these.
    pub fn cover(&self, other: &Self) -> bool {
        self.zone == other.zone && other.days & !self.days == 0 && self.from <= other.from && other.to <= self.to
    }
}

/// The days of `Mon-Fri,Sun` as bits.
fn days(text: &str) -> Option<u8> {
    let number = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut all = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        for day in 0..DAYS.len() {
            // `Sat-Mon` goes round the end of the week.
            let within = if first <= last { first <= day && day <= last } else { day >= first || day <= last };
            all |= u8::from(within) << day;
        }
    }
    Some(all)
}

impl FromStr for OpenHours {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let wrong = |expected| InvalidQuantity { text: text.chars().take(60).collect(), expected };
        let form = || wrong("hours such as \"Mon-Fri 08:00-18:00\" or \"Sat,Sun 10:00-24:00 Europe/Berlin\"");
        if text.len() > HOURS_BYTES_MAX {
            return Err(form());
        }
        let mut words = text.split_ascii_whitespace().peekable();
        let named = words.peek().and_then(|word| days(word));
        if named.is_some() {
            words.next();
        }
        let (from, to) = words.next().and_then(|word| word.split_once('-')).ok_or_else(form)?;
        let (from, to) = (from.parse::<TimeOfDay>().map_err(|_| form())?, to.parse().map_err(|_| form())?);
        if from >= to {
            return Err(wrong(
                "hours that end later on the same day: write what goes over midnight as two, up to 24:00",
            ));
        }
        let zone = words.next().map(Arc::from);
        if words.next().is_some() {
            return Err(form());
        }
        Ok(Self { days: named.unwrap_or(EVERY_DAY), from, to, zone })
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

/// Both are read and written as text, whatever the format.
macro_rules! as_text {
    ($($name:ident, $examples:tt;)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::read(deserializer)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": $examples })
            }
        }
    )+};
}

as_text! {
    AddressRange, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"];
    OpenHours, ["Mon-Fri 08:00-18:00", "Sat,Sun 10:00-24:00 Europe/Berlin"];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    fn hours(text: &str) -> OpenHours {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_read_as_people_write_it() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("192.0.2.7").to_string(), "192.0.2.7/32");
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/104", "localhost", "10.0.0.0/8 "] {
            assert!(text.parse::<AddressRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_one_however_it_is_written() {
        let ours = range("10.0.0.0/8");
        for (address, within) in [("10.255.0.1", true), ("::ffff:10.1.2.3", true), ("11.0.0.0", false), ("::1", false)]
        {
            assert_eq!(ours.contains(address.parse().unwrap()), within, "{address}");
        }
        assert!(ours.covers(&range("10.2.0.0/16")) && !ours.covers(&range("0.0.0.0/0")));
        assert!(!range("::/0").covers(&ours), "what is no IPv4 address is none of ours");
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_ranges_that_are_its_own(bits in any::<u32>(), other in any::<u32>(), length in 0_u8..=32) {
            let (address, other) = (IpAddr::V4(bits.into()), IpAddr::V4(other.into()));
            let range = AddressRange(IpNet::new(other, length).unwrap().trunc());
            prop_assert_eq!(range.contains(address), AddressRange::all_of(address).any(|of| of == range));
        }

        #[test]
        fn hours_are_read_as_they_are_written(days in 1_u8..128, from in 0_u16..1_440, length in 1_u16..1_440) {
            let to = TimeOfDay((from + length).min(1_440));
            let hours = OpenHours { days, from: TimeOfDay(from), to, zone: Some(Arc::from("Europe/Berlin")) };
            prop_assert_eq!(hours.to_string().parse::<OpenHours>(), Ok(hours));
        }
    }

    #[test]
    fn hours_hold_in_their_own_time_zone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let office = hours("mon-fri 08:00-18:00 Europe/Berlin");
        // 2026-11-27 is a Friday, and Berlin is an hour ahead of UTC.
        assert!(office.contain(at("2026-11-27T07:00:00Z")) && office.contain(at("2026-11-27T16:59:59Z")));
        assert!(!office.contain(at("2026-11-27T06:59:59Z")) && !office.contain(at("2026-11-27T17:00:00Z")));
        assert!(!office.contain(at("2026-11-28T12:00:00Z")), "a Saturday");
        assert!(office.contain(at("2026-07-03T06:30:00Z")), "in summer it is two hours ahead");
        assert!(hours("00:00-24:00").contain(at("2026-11-29T23:59:59Z")));
        assert!(!hours("00:00-24:00 Europe/Atlantis").contain(at("2026-11-27T07:00:00Z")), "nobody knows when that is");
    }

    #[test]
    fn hours_are_written_shortly_and_refused_clearly() {
        assert_eq!(hours("Mon,Tue,Wed,Sun 09:00-12:30").to_string(), "Mon-Wed,Sun 09:00-12:30");
        assert_eq!(hours("Sat-Mon 09:00-12:30").to_string(), "Mon,Sat-Sun 09:00-12:30");
        assert_eq!(hours("Mon-Sun 00:00-24:00").to_string(), "00:00-24:00");
        for text in ["", "Mon-Fri", "Mon-Foo 08:00-18:00", "18:00-08:00", "08:00-08:00", "8-18", "08:00-18:00 UTC x"] {
            assert!(text.parse::<OpenHours>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn fewer_hours_are_among_more() {
        let office = hours("Mon-Fri 08:00-18:00 UTC");
        assert!(office.cover(&hours("Tue 08:00-12:00 UTC")) && office.cover(&office));
        for more in
            ["Mon-Sat 08:00-18:00 UTC", "Mon 07:59-18:00 UTC", "Mon 08:00-18:00 Europe/Berlin", "Mon 08:00-18:00"]
        {
            assert!(!office.cover(&hours(more)), "{more}");
        }
    }
}
