//! Moments: microseconds in the log, RFC 3339 for people.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::InvalidQuantity;

/// A moment in microseconds since 1970 (UTC). RFC 3339 for people, a number in the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// As `jiff` sees it; the end of its range (year 9999) for anything later.
    pub fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }

    /// From `jiff`; anything before 1970 is 1970.
    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        Self(u64::try_from(at.as_microsecond()).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_jiff(), f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_jiff(at));
        }
        text.parse::<jiff::civil::Date>()
            .ok()
            .and_then(|date| date.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok())
            .map(|zoned| Self::from_jiff(zoned.timestamp()))
            .ok_or_else(|| InvalidQuantity {
                text: text.chars().take(40).collect(),
                expected: "a time such as 2026-11-23 or 2026-11-23T10:00:00Z",
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            crate::text::read(deserializer)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2026-11-23T10:00:00Z", "2026-11-23"] })
    }
}

/// A moment as text in every format: for fields of internally tagged enums, which serde buffers and then reads as if
/// the format were for people.
pub mod optional_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;

    /// Writes it.
    #[allow(clippy::ref_option, clippy::missing_errors_doc)] // serde's form
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&at.to_string()),
            None => serializer.serialize_none(),
        }
    }

    /// Reads it.
    #[allow(clippy::missing_errors_doc)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// True if `name` is an IANA time zone that this machine knows.
pub fn time_zone_exists(name: &str) -> bool {
    jiff::tz::TimeZone::get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_midnight_in_utc() {
        assert_eq!("2026-11-23".parse::<Timestamp>().unwrap().to_string(), "2026-11-23T00:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
