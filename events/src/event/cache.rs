//! Whether and how answers of a model are given more than once.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Whether an answer is given to more calls than the one that it was made for: to calls that ask for the very same, within
/// the same scope. Off unless something is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicy {
    /// For how many seconds a whole answer is kept; not at all if 0.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub ttl_s: u32,
    /// Whether calls that run at the same time share one call to the provider, and who pays it.
    #[serde(default, skip_serializing_if = "Coalesce::is_off")]
    pub coalesce: Coalesce,
    /// True if what is kept is kept for all gateways: sealed, beside the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl CachePolicy {
    /// True if every call is made by itself, and nothing is kept.
    pub const fn is_off(&self) -> bool {
        self.ttl_s == 0 && self.coalesce.is_off()
    }
}

/// Whether equal calls that run at the same time share one call to the provider, and who pays it. Recorded as `true` where
/// the first pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coalesce {
    /// Each is made.
    #[default]
    Off,
    /// They share, and the one that began first pays.
    First,
    /// They share, and each pays the same part.
    Even,
}

/// How the last of these is written.
const EVEN: &str = "even";

impl Coalesce {
    /// True if each call is made.
    pub const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }
}

impl Serialize for Coalesce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::First => serializer.serialize_bool(true),
            Self::Even => serializer.serialize_str(EVEN),
        }
    }
}

impl<'de> Deserialize<'de> for Coalesce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Coalesce;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "true, false or \"{EVEN}\"")
            }

            fn visit_bool<E: de::Error>(self, first: bool) -> Result<Coalesce, E> {
                Ok(if first { Coalesce::First } else { Coalesce::Off })
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Coalesce, E> {
                if word == EVEN { Ok(Coalesce::Even) } else { Err(E::invalid_value(de::Unexpected::Str(word), &self)) }
            }
        }
        deserializer.deserialize_any(Word)
    }
}

impl JsonSchema for Coalesce {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Coalesce".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "string"], "enum": [false, true, EVEN] })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_nothing(seconds: &u32) -> bool {
    *seconds == 0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(policy: Value) -> Result<CachePolicy, serde_json::Error> {
        serde_json::from_value(policy)
    }

    #[test]
    fn who_pays_is_written_as_it_always_was() {
        for (coalesce, written) in [
            (Coalesce::Off, json!({ "ttl_s": 60 })),
            (Coalesce::First, json!({ "ttl_s": 60, "coalesce": true })),
            (Coalesce::Even, json!({ "ttl_s": 60, "coalesce": "even" })),
        ] {
            let policy = CachePolicy { ttl_s: 60, coalesce, shared: false };
            assert_eq!(serde_json::to_value(&policy).unwrap(), written);
            assert_eq!(read(written).unwrap(), policy);
        }
        assert_eq!(read(json!({ "coalesce": false })).unwrap(), CachePolicy::default());
        let refused = read(json!({ "coalesce": "first" })).unwrap_err().to_string();
        assert!(refused.contains("expected true, false or \"even\""), "{refused}");
    }
}
