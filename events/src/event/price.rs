//! What a model costs: rates, and when which of them apply.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::TargetId;
use crate::id::ModelId;
use crate::quantity::{InvalidQuantity, NanoDollars, PicoDollarsPerToken, Tokens};
use crate::timestamp::Timestamp;

/// What is charged for what. A rate that is left out is the one its doc names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Price of input.
    pub input: PicoDollarsPerToken,
    /// Price of input read from the provider's cache.
    pub cached: PicoDollarsPerToken,
    /// Output.
    pub output: PicoDollarsPerToken,
    /// Input written to the provider's cache for its usual, short time; as input if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<PicoDollarsPerToken>,
    /// Input written to the provider's cache for an hour; as `cache_write` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoDollarsPerToken>,
    /// Reasoning; as output if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PicoDollarsPerToken>,
    /// Sound in the input; as input if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<PicoDollarsPerToken>,
    /// Sound in the output; as output if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PicoDollarsPerToken>,
    /// One image made; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<NanoDollars>,
    /// One search that the provider makes; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<NanoDollars>,
    /// One call, beside its tokens; nothing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<NanoDollars>,
}

/// Other rates for some calls. They replace all base rates, for the whole request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceVariant {
    /// For calls with more input tokens than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_above: Option<Tokens>,
    /// For calls that the provider serves at this tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<ServiceTier>,
    /// For calls that begin within one of these hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// What is charged then.
    pub rates: Rates,
}

/// How urgently a provider serves a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// As usual.
    #[default]
    Standard,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
    /// Faster than usual.
    Fast,
    /// With many others, within a day or so.
    Batch,
}

impl ServiceTier {
    /// True for the usual one.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
    pub const fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }
}

/// What a call used that its price does not name: it is charged as something else or not at all, so its cost may differ
/// from the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// A tier, charged at the usual rates.
    Tier,
    /// Input written to the provider's cache, charged as input.
    CacheWrite,
    /// Sound in the input, charged as input.
    AudioInput,
    /// Sound in the output, charged as output.
    AudioOutput,
    /// Searches, not charged.
    Search,
    /// Images, not charged.
    Image,
}

impl Unpriced {
    const ALL: [Self; 6] =
        [Self::Tier, Self::CacheWrite, Self::AudioInput, Self::AudioOutput, Self::Search, Self::Image];
}

/// Some of them, each once.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct UnpricedSet(u8);

impl UnpricedSet {
    /// True if there are none.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Unpriced> {
        Unpriced::ALL.into_iter().filter(move |what| self.0 & (1 << *what as u8) != 0)
    }
}

impl FromIterator<Unpriced> for UnpricedSet {
    fn from_iter<I: IntoIterator<Item = Unpriced>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, what| set | 1 << what as u8))
    }
}

impl fmt::Debug for UnpricedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for UnpricedSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for UnpricedSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Unpriced>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Hours of some days of the week, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The days; every day if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// The first minute.
    pub from: TimeOfDay,
    /// The first minute after; `24:00` is the end of the day.
    pub to: TimeOfDay,
}

impl Hours {
    /// True if `at` lies within them.
    pub fn contain(&self, at: Timestamp) -> bool {
        const MINUTE: u64 = 60_000_000;
        let minutes = at.0 / MINUTE;
        let (day, minute) = (minutes / 1_440, minutes % 1_440);
        let within = u64::from(self.from.0) <= minute && minute < u64::from(self.to.0);
        within && (self.days.is_empty() || self.days.contains(&Weekday::of_day(day)))
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // their names say it
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// Of the day with this number, 1970-01-01 being 0.
    const fn of_day(day: u64) -> Self {
        match day % 7 {
            0 => Self::Thursday,
            1 => Self::Friday,
            2 => Self::Saturday,
            3 => Self::Sunday,
            4 => Self::Monday,
            5 => Self::Tuesday,
            _ => Self::Wednesday,
        }
    }
}

/// A time of day in minutes. `08:30` for people, a number in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(pub u16);

impl TimeOfDay {
    /// The end of the day.
    pub const MIDNIGHT: Self = Self(1_440);
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let two = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Some((two(hour)?, two(minute).filter(|minute| *minute < 60)?)))
            .map(|(hour, minute)| Self(hour * 60 + minute))
            .filter(|time| *time <= Self::MIDNIGHT)
            .ok_or_else(|| InvalidQuantity {
                text: text.chars().take(40).collect(),
                expected: "a time of day from 00:00 to 24:00",
            })
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u16(self.0) }
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return crate::text::read(deserializer);
        }
        let time = u16::deserialize(deserializer).map(Self)?;
        if time > Self::MIDNIGHT {
            return Err(serde::de::Error::custom(format_args!("a day has 1440 minutes, not {}", time.0)));
        }
        Ok(time)
    }
}

impl JsonSchema for TimeOfDay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", "examples": ["08:30"] })
    }
}

/// Which price a call was charged at: the model and the moment from which that price applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceVersion {
    /// The model.
    pub model: ModelId,
    /// From when the price applies.
    pub from: Timestamp,
    /// The target that it is for; none if it is for all that have no price of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.to_string();
        let from = from.strip_suffix("T00:00:00Z").unwrap_or(&from);
        match &self.target {
            None => write!(f, "{}@{from}", self.model),
            Some(target) => write!(f, "{}[{target}]@{from}", self.model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_on_their_days_first_to_last_minute() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let peak = Hours {
            days: vec![Weekday::Monday, Weekday::Friday],
            from: "01:00".parse().unwrap(),
            to: "04:00".parse().unwrap(),
        };
        // 2026-11-27 is a Friday.
        assert!(peak.contain(at("2026-11-27T01:00:00Z")) && peak.contain(at("2026-11-27T03:59:59Z")));
        assert!(!peak.contain(at("2026-11-27T00:59:59Z")) && !peak.contain(at("2026-11-27T04:00:00Z")));
        assert!(!peak.contain(at("2026-11-28T02:00:00Z")) && peak.contain(at("2026-11-30T02:00:00Z")));
        let always = Hours { days: vec![], from: TimeOfDay(0), to: TimeOfDay::MIDNIGHT };
        assert!(always.contain(Timestamp(0)) && always.contain(at("2026-11-29T23:59:59Z")));
    }

    #[test]
    fn a_time_of_day_reads_as_people_write_it() {
        for text in ["00:00", "08:30", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in ["", "8:30", "24:01", "12:60", "-1:00", "+1:00", "08:30:00"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
