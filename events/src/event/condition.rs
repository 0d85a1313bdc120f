//! Conditions: what else must hold of a request for a grant, or a denial, to count.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::event::TimeOfDay;
use crate::id::{DataClass, ModelId};
use crate::quantity::NanoDollars;
use crate::timestamp::{Timestamp, time_zone_exists};

/// What else must hold for a grant to count; every part that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The call names one of these models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelId>,
    /// The call's worst case costs no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<NanoDollars>,
    /// It is within one of these hours, e.g. `Mon-Fri 08:00-18:00 Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<OpenHours>,
    /// The request is of one of these classes of data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_classes: Vec<DataClass>,
    /// It runs one of these tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The tool's arguments meet all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ArgumentRule>,
}

impl Condition {
    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one argument of a tool must be; every part that is present. An argument that is not there meets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgumentRule {
    /// Which argument, as a JSON pointer: `/path`, `/options/limit`.
    pub at: String,
    /// It is one of these: a text as it is, a number or `true` as JSON writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// It is a text that begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// It is a number, and no more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl ArgumentRule {
    /// True if `arguments` meet it.
    pub fn is_met(&self, arguments: &Value) -> bool {
        let Some(argument) = arguments.pointer(&self.at) else { return false };
        let one = || match argument {
            Value::String(text) => self.one_of.contains(text),
            Value::Number(_) | Value::Bool(_) | Value::Null => self.one_of.contains(&argument.to_string()),
            Value::Array(_) | Value::Object(_) => false,
        };
        // A path that leads upwards begins like one that does not.
        let climbs = |text: &str| text.split(['/', '\\']).any(|part| part == "..");
        let begins = |prefix: &str| argument.as_str().is_some_and(|text| text.starts_with(prefix) && !climbs(text));
        (self.one_of.is_empty() || one())
            && self.prefix.as_deref().is_none_or(begins)
            && self.max.is_none_or(|max| is_at_most(argument, max))
    }
}

/// True for a number that is no more than `max`.
fn is_at_most(argument: &Value, max: i64) -> bool {
    if let Some(number) = argument.as_i64() {
        return number <= max;
    }
    // A whole number beyond i64 is more than any bound; of the others a float is near enough.
    #[allow(clippy::cast_precision_loss)]
    argument.as_f64().is_some_and(|number| !argument.is_u64() && number <= max as f64)
}

impl fmt::Display for ArgumentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, one_of, prefix, max } = self;
        f.write_str(at)?;
        if !one_of.is_empty() {
            write!(f, " one of {}", one_of.join(", "))?;
        }
        if let Some(prefix) = prefix {
            write!(f, " begins with {prefix}")?;
        }
        match max {
            Some(max) => write!(f, " at most {max}"),
            None => Ok(()),
        }
    }
}

/// Hours of some days of the week in a time zone: `Mon-Fri 08:00-18:00 Europe/Berlin`. Without days it is every day;
/// without a zone it is the tenant's, which is filled in when it is recorded. Hours that end before they begin last into the
/// next day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenHours {
    /// One bit a day, Monday's the lowest.
    days: u8,
    from: TimeOfDay,
    to: TimeOfDay,
    zone: Option<String>,
}

/// Why a text is no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} are no hours: write days, times and zone, e.g. Mon-Fri 08:00-18:00 Europe/Berlin")]
pub struct InvalidHours(String);

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const EVERY_DAY: u8 = 0b111_1111;

impl OpenHours {
    /// The same, in `zone` if it names none.
    #[must_use]
    pub fn in_zone(self, zone: &str) -> Self {
        Self { zone: self.zone.or_else(|| Some(zone.to_owned())), ..self }
    }

    /// True if `at` lies within them. A zone that is not known counts as UTC; what is recorded was checked.
    pub fn contain(&self, at: Timestamp) -> bool {
        let zone = self.zone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
        let local = at.to_jiff().to_zoned_datetime(zone);
        let today = local.weekday().to_monday_zero_offset();
        let minute = TimeOfDay(minute_of(local.time()));
        let is_open = |day: i8| self.days & (1 << day.rem_euclid(7)) != 0;
        if self.from < self.to {
            return is_open(today) && self.from <= minute && minute < self.to;
        }
        (is_open(today) && self.from <= minute) || (is_open(today - 1) && minute < self.to)
    }
}

fn minute_of(time: civil::Time) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

/// The days that `text` names: `Mon-Fri`, `Sat,Sun`, `Mon`.
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
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let read = || {
            let mut words = text.split_whitespace().peekable();
            let named = words.peek().and_then(|word| days(word));
            if named.is_some() {
                words.next();
            }
            let (from, to) = words.next()?.split_once('-')?;
            let zone = words.next().map(str::to_owned);
            let is_zone = zone.as_deref().is_none_or(time_zone_exists);
            let (from, to): (TimeOfDay, TimeOfDay) = (from.parse().ok()?, to.parse().ok()?);
            let sound = is_zone && words.next().is_none() && from != to && from < TimeOfDay::MIDNIGHT;
            sound.then_some(Self { days: named.unwrap_or(EVERY_DAY), from, to, zone })
        };
        read().ok_or_else(|| InvalidHours(text.chars().take(80).collect()))
    }
}

impl fmt::Display for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<usize> = (0..7).filter(|day| self.days & (1 << day) != 0).collect();
        let in_a_row = open.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match open.as_slice() {
            [] | [_, _, _, _, _, _, _] => {}
            [first, .., last] if in_a_row && open.len() > 2 => write!(f, "{}-{} ", DAYS[*first], DAYS[*last])?,
            some => {
                let names: Vec<&str> = some.iter().map(|day| DAYS[*day]).collect();
                write!(f, "{} ", names.join(","))?;
            }
        }
        write!(f, "{}-{}", self.from, self.to)?;
        match &self.zone {
            Some(zone) => write!(f, " {zone}"),
            None => Ok(()),
        }
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
    fn schema_name() -> Cow<'static, str> {
        "OpenHours".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["Mon-Fri 08:00-18:00 Europe/Berlin"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> OpenHours {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        for text in [
            "Mon-Fri 08:00-18:00 Europe/Berlin",
            "Sat,Sun 10:00-12:00",
            "08:00-24:00 UTC",
            "Mon 22:00-06:00 Asia/Kolkata",
            "Mon,Wed-Fri 08:00-09:00",
        ] {
            assert_eq!(hours(text).to_string().parse::<OpenHours>().unwrap(), hours(text), "{text}");
        }
        assert_eq!(hours("mon-fri 08:00-18:00 UTC").to_string(), "Mon-Fri 08:00-18:00 UTC");
        for wrong in ["", "Mon", "Foo 08:00-09:00", "08:00", "08:00-08:00", "08:00-09:00 Nowhere/Else", "24:00-01:00"] {
            assert!(wrong.parse::<OpenHours>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hours_go_by_the_clock_of_their_zone() {
        let within = |text: &str, at: &str| hours(text).contain(at.parse().unwrap());
        // A Monday; Berlin is an hour ahead in winter, two in summer.
        assert!(within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T07:00:00Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T06:59:59Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-23T17:00:00Z"));
        assert!(within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-06-22T06:00:00Z"));
        assert!(!within("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-22T12:00:00Z"), "a Sunday");
        assert!(within("Sun-Tue 00:00-24:00 UTC", "2026-11-23T23:59:59Z"));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin() {
        let within = |at: &str| hours("Fri 22:00-06:00 UTC").contain(at.parse().unwrap());
        assert!(within("2026-11-27T22:00:00Z") && within("2026-11-28T05:59:00Z"));
        assert!(!within("2026-11-28T06:00:00Z") && !within("2026-11-28T22:00:00Z") && !within("2026-11-27T05:00:00Z"));
    }

    #[test]
    fn an_argument_is_what_its_rule_says() {
        let arguments = serde_json::json!({ "path": "/data/in", "up": "/data/../etc", "n": 5, "f": 5.5, "yes": true });
        let rule = |text: &str| serde_json::from_str::<ArgumentRule>(text).unwrap().is_met(&arguments);
        assert!(rule(r#"{"at":"/path","prefix":"/data/"}"#) && !rule(r#"{"at":"/path","prefix":"/etc/"}"#));
        assert!(!rule(r#"{"at":"/up","prefix":"/data/"}"#), "it leads out of where it begins");
        assert!(rule(r#"{"at":"/n","max":5}"#) && !rule(r#"{"at":"/n","max":4}"#) && !rule(r#"{"at":"/f","max":5}"#));
        assert!(rule(r#"{"at":"/n","one_of":["4","5"]}"#) && rule(r#"{"at":"/yes","one_of":["true"]}"#));
        assert!(!rule(r#"{"at":"/none","one_of":["x"]}"#) && !rule(r#"{"at":"/path","max":5}"#));
        let huge = serde_json::json!({ "n": u64::MAX });
        let at_most = ArgumentRule { at: "/n".to_owned(), max: Some(i64::MAX), ..ArgumentRule::default() };
        assert!(!at_most.is_met(&huge));
    }
}
