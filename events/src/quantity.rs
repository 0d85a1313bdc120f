//! Numbers with their units.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

counts! {
    /// Model tokens.
    Tokens(u64);
    /// Pico-dollars (10⁻¹² USD) for one token: one dollar a million tokens is 1,000,000.
    PicoDollarsPerToken(u64);
    /// How many commits a stream holds.
    Version(u64);
    /// A place in a shard's log: the broker's sequence, from 1. 0 is before the first.
    Position(u64);
    /// The number of a lease's renewal; the grant itself is turn 0.
    Turn(u64);
    /// Which claim on a task counts; a smaller one is stale.
    Epoch(u32);
    /// The number of a task's step, from 1.
    StepNumber(u32);
    /// Which of the log's streams holds a tenant.
    Shard(u16);
    /// The schema of one aggregate's events; any change of a recorded shape raises it.
    SchemaVersion(u16);
}

impl Version {
    /// The version after one more commit.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Money in nano-dollars (10⁻⁹ USD). As text: `$5.00`, `$0.000021`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoDollars(pub u64);

impl NanoDollars {
    /// Rounds pico-dollars up to whole nano-dollars; the one place where money is rounded.
    pub fn from_pico_rounded_up(pico: u128) -> Self {
        Self(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    /// The amount in dollars, for metrics and plots only: never decide on it.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_dollars_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for NanoDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nano) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let digits = format!("{nano:09}");
        let kept = digits.trim_end_matches('0').len().max(2);
        f.pad(&format!("${whole}.{}", &digits[..kept]))
    }
}

impl fmt::Debug for NanoDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidQuantity {
    /// What was given.
    pub text: String,
    /// What would have been right, with an example.
    pub expected: &'static str,
}

impl FromStr for NanoDollars {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity {
            text: text.chars().take(40).collect(),
            expected: "an amount of dollars such as $5.00 (at most 9 decimals)",
        };
        let number = text.trim().strip_prefix('$').ok_or_else(invalid)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return Err(invalid());
        }
        let whole: u64 = whole.parse().map_err(|_| invalid())?;
        let nano: u64 = format!("{fraction:0<9}").parse().map_err(|_| invalid())?;
        whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(nano)).map(Self).ok_or_else(invalid)
    }
}

/// Text for people, a number in the log.
impl Serialize for NanoDollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for NanoDollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            crate::text::read(deserializer)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for NanoDollars {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dollars".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\$[0-9]+(\\.[0-9]{1,9})?$", "examples": ["$5.00"] })
    }
}

/// What budgets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls to a model.
    Calls,
    /// Input and output tokens.
    Tokens,
    /// Nano-dollars.
    Money,
}

/// A vector over the units: what a lease holds, a call reserves, a window has spent. A unit that is not named is zero, so
/// that one more unit, left out where it is zero, changes no recorded amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Calls.
    pub calls: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// Money.
    pub money: NanoDollars,
}

impl Amounts {
    /// Nothing of anything.
    pub const ZERO: Self = Self { calls: 0, tokens: Tokens(0), money: NanoDollars(0) };
    /// More than anything.
    pub const MAX: Self = Self { calls: u64::MAX, tokens: Tokens(u64::MAX), money: NanoDollars(u64::MAX) };

    /// The component of one unit, as a bare number of calls, tokens or nano-dollars.
    pub const fn get(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Calls => self.calls,
            Unit::Tokens => self.tokens.0,
            Unit::Money => self.money.0,
        }
    }

    /// Replaces the component of one unit.
    pub const fn set(&mut self, unit: Unit, value: u64) {
        match unit {
            Unit::Calls => self.calls = value,
            Unit::Tokens => self.tokens = Tokens(value),
            Unit::Money => self.money = NanoDollars(value),
        }
    }

    /// Applies `f` to each component of both.
    #[must_use]
    pub fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            calls: f(self.calls, other.calls),
            tokens: Tokens(f(self.tokens.0, other.tokens.0)),
            money: NanoDollars(f(self.money.0, other.money.0)),
        }
    }

    /// Component-wise difference, 0 where `other` is larger.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// Component-wise minimum.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        self.zip(other, u64::min)
    }

    /// Component-wise maximum.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    /// True if no component is larger than `other`'s.
    pub fn fits(self, other: Self) -> bool {
        self.calls <= other.calls && self.tokens <= other.tokens && self.money <= other.money
    }

    /// True if nothing is left of any unit.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

/// Saturating: hostile sizes must not wrap, and nothing real comes near the end of 64 bits.
impl Add for Amounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Amounts {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls, {} tokens, {}", self.calls, self.tokens, self.money)
    }
}

/// A budget's limit. As text: `$5.00`, `100 calls`, `50000 tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How much of it: calls, tokens or nano-dollars.
    pub amount: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Calls => write!(f, "{} calls", self.amount),
            Unit::Tokens => write!(f, "{} tokens", self.amount),
            Unit::Money => write!(f, "{}", NanoDollars(self.amount)),
        }
    }
}

impl FromStr for Limit {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let text = text.trim();
        if text.starts_with('$') {
            return text.parse().map(|NanoDollars(amount)| Self { unit: Unit::Money, amount });
        }
        let invalid = || InvalidQuantity {
            text: text.chars().take(40).collect(),
            expected: "a limit such as $5.00, 100 calls or 50000 tokens",
        };
        let (number, unit) = text.split_once(' ').ok_or_else(invalid)?;
        let unit = match unit.trim() {
            "call" | "calls" => Unit::Calls,
            "token" | "tokens" => Unit::Tokens,
            _ => return Err(invalid()),
        };
        Ok(Self { unit, amount: number.parse().map_err(|_| invalid())? })
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(\\$[0-9]+(\\.[0-9]{1,9})?|[0-9]+ (calls?|tokens?))$",
                       "examples": ["$5.00", "100 calls", "50000 tokens"] })
    }
}

/// The span over which a budget counts, in the tenant's time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// One minute: this is how rates are exact over many gateways.
    Minute,
    /// One hour.
    Hour,
    /// One calendar day.
    Day,
    /// One week, from Monday.
    Week,
    /// One calendar month.
    Month,
    /// For ever.
    #[default]
    Total,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        })
    }
}

impl FromStr for Window {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Total]
            .into_iter()
            .find(|window| window.to_string() == text)
            .ok_or_else(|| InvalidQuantity {
                text: text.chars().take(40).collect(),
                expected: "a window: minute, hour, day, week, month or total",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_every_digit() {
        for (text, nano) in
            [("$5.00", 5_000_000_000), ("$0.000021", 21_000), ("$0.00", 0), ("$1.000000001", 1_000_000_001)]
        {
            assert_eq!(text.parse::<NanoDollars>().unwrap(), NanoDollars(nano));
            assert_eq!(NanoDollars(nano).to_string(), text);
        }
        for text in ["5", "$", "$-1", "$1.0000000001", "$1e3", "$99999999999999999999"] {
            assert!(text.parse::<NanoDollars>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_read_as_people_write_them() {
        assert_eq!("100 calls".parse::<Limit>().unwrap(), Limit { unit: Unit::Calls, amount: 100 });
        assert_eq!("$0".parse::<Limit>().unwrap(), Limit { unit: Unit::Money, amount: 0 });
        assert!("100".parse::<Limit>().is_err());
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_charged_whole() {
        assert_eq!(NanoDollars::from_pico_rounded_up(1), NanoDollars(1));
        assert_eq!(NanoDollars::from_pico_rounded_up(1_000), NanoDollars(1));
    }
}
