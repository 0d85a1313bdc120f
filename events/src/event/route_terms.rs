//! What else a route says, beside its targets and how one is chosen.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::ModelId;

/// Terms of a route. What is left out is as the gateway's settings say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTerms {
    /// How long a connection to a provider may take to be made, in milliseconds; never longer than the gateway allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<NonZeroU32>,
    /// How long a provider may take to begin its answer, in milliseconds; never longer than the gateway allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<NonZeroU32>,
    /// How long an answer may pause between two pieces, in milliseconds; never longer than the gateway allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<NonZeroU32>,
    /// How long an attempt may take in all, in milliseconds; never longer than the gateway allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_ms: Option<NonZeroU32>,
    /// How long to wait for an answer before the next target is asked as well, e.g. `800ms`, or `p95`: as long as nineteen of
    /// twenty answers of the first took to begin. The first answer counts; both attempts are paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after: Option<HedgeAfter>,
    /// The model that stands in for this one where the other `degrade_` terms say so. It holds for calls of the tenant whose
    /// route this is only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degrade_to: Option<ModelId>,
    /// It stands in when less than so many percent are left of a budget that the call touches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degrade_below: Option<NonZeroU8>,
    /// It stands in when every target of this route is to be left alone because it fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degrade_down: bool,
}

/// When a call is hedged. Text everywhere: `p95`, or milliseconds such as `800ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HedgeAfter {
    /// When nineteen of twenty answers would have begun, as far as the gateway has seen.
    P95,
    /// After so many milliseconds.
    Ms(NonZeroU32),
}

/// A text that says no time to hedge after.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time to hedge after; write p95, or milliseconds such as 800ms")]
pub struct InvalidHedge(String);

impl fmt::Display for HedgeAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P95 => f.write_str("p95"),
            Self::Ms(ms) => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for HedgeAfter {
    type Err = InvalidHedge;

    fn from_str(text: &str) -> Result<Self, InvalidHedge> {
        if text == "p95" {
            return Ok(Self::P95);
        }
        let ms = text.strip_suffix("ms").and_then(|ms| ms.parse().ok());
        ms.map(Self::Ms).ok_or_else(|| InvalidHedge(text.chars().take(40).collect()))
    }
}

impl Serialize for HedgeAfter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HedgeAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for HedgeAfter {
    fn schema_name() -> Cow<'static, str> {
        "HedgeAfter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^p95$|^[1-9][0-9]*ms$", "examples": ["p95", "800ms"] })
    }
}

impl RouteTerms {
    /// True if it says nothing.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hedge_is_read_as_it_is_written() {
        for text in ["p95", "800ms"] {
            assert_eq!(text.parse::<HedgeAfter>().unwrap().to_string(), text);
        }
        for text in ["", "p50", "0ms", "-1ms", "1s", "99999999999ms"] {
            assert!(text.parse::<HedgeAfter>().unwrap_err().to_string().contains("800ms"), "{text}");
        }
    }
}
