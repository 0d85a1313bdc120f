//! Which target: a provider, and a model's name there.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::ProviderId;

/// A target by its name, whatever a route says of it. Text everywhere: `provider/model-there`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    /// The provider.
    pub provider: ProviderId,
    /// The model's name at that provider.
    pub upstream_model: String,
}

/// A text that names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a target such as provider/model-there")]
pub struct InvalidTargetId(String);

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.upstream_model)
    }
}

impl FromStr for TargetId {
    type Err = InvalidTargetId;

    fn from_str(text: &str) -> Result<Self, InvalidTargetId> {
        let invalid = || InvalidTargetId(text.chars().take(200).collect());
        let (provider, model) = text.split_once('/').filter(|(_, model)| !model.is_empty()).ok_or_else(invalid)?;
        let provider = ProviderId::new(provider).map_err(|_| invalid())?;
        Ok(Self { provider, upstream_model: model.to_owned() })
    }
}

impl Serialize for TargetId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for TargetId {
    fn schema_name() -> Cow<'static, str> {
        "TargetId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^/]+/.+$", "examples": ["local/small"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["local/small", "local/org/model-of:today", "script/echo delay=5"] {
            assert_eq!(text.parse::<TargetId>().unwrap().to_string(), text);
        }
        for text in ["", "local", "local/", "/x", "A B/x"] {
            assert!(text.parse::<TargetId>().is_err(), "{text:?}");
        }
    }
}
