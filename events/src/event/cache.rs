//! Whether and how answers of a model are given more than once.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::id::ModelId;

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
    /// Whether a question in other words may be given what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similar: Option<Similar>,
}

impl CachePolicy {
    /// True if every call is made by itself, and nothing is kept.
    pub const fn is_off(&self) -> bool {
        self.ttl_s == 0 && self.coalesce.is_off()
    }
}

/// When a question in other words is given the answer to another: if their embeddings are near each other and the words that
/// count are the same. Only a call whose last message is plain text and which is equal in all else; none with tools, images,
/// a format, or several choices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Similar {
    /// The model that makes the embeddings, each by a call of its own with the caller's key.
    pub model: ModelId,
    /// How near two questions must be, from 0.8 to 1.
    pub threshold: Similarity,
    /// Whether answers are given, or it is only counted how often one would have been.
    #[serde(default)]
    pub mode: SimilarMode,
}

/// What is done where a similar question was answered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SimilarMode {
    /// The call is made, and says that it would have been given an answer.
    #[default]
    Shadow,
    /// It is given that answer.
    On,
}

/// How near two questions are: the cosine of their embeddings, in thousandths. Written as a number up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Similarity(u16);

/// A whole, in the unit of a [`Similarity`].
const WHOLE: f64 = 1_000.0;

impl Similarity {
    /// The nearest that there is to `cosine`; what is below 0 is 0.
    pub fn of(cosine: f64) -> Self {
        // Between 0 and 1,000.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Self((cosine.clamp(0.0, 1.0) * WHOLE).round() as u16)
    }

    /// As a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / WHOLE
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.as_f64())
    }
}

impl Serialize for Similarity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Similarity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&number) {
            Ok(Self::of(number))
        } else {
            Err(de::Error::invalid_value(de::Unexpected::Float(number), &"a number from 0 to 1"))
        }
    }
}

impl JsonSchema for Similarity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Similarity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
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
    fn a_similarity_is_a_number_of_three_digits() {
        let read = |number: Value| serde_json::from_value::<Similarity>(number);
        assert_eq!(read(json!(0.92)).unwrap(), Similarity(920));
        assert_eq!(serde_json::to_value(Similarity::of(0.923_4)).unwrap(), json!(0.923));
        assert_eq!((read(json!(1)).unwrap(), Similarity::of(-0.5)), (Similarity(1_000), Similarity(0)));
        assert!(read(json!(1.01)).is_err() && read(json!(-0.1)).is_err() && read(json!("0.9")).is_err());
        assert_eq!(Similarity::of(0.9).to_string(), "0.900");
    }

    #[test]
    fn who_pays_is_written_as_it_always_was() {
        for (coalesce, written) in [
            (Coalesce::Off, json!({ "ttl_s": 60 })),
            (Coalesce::First, json!({ "ttl_s": 60, "coalesce": true })),
            (Coalesce::Even, json!({ "ttl_s": 60, "coalesce": "even" })),
        ] {
            let policy = CachePolicy { ttl_s: 60, coalesce, ..CachePolicy::default() };
            assert_eq!(serde_json::to_value(&policy).unwrap(), written);
            assert_eq!(read(written).unwrap(), policy);
        }
        assert_eq!(read(json!({ "coalesce": false })).unwrap(), CachePolicy::default());
        let refused = read(json!({ "coalesce": "first" })).unwrap_err().to_string();
        assert!(refused.contains("expected true, false or \"even\""), "{refused}");
    }
}
