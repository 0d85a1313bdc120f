//! How much text a model generated within a message or delta, counted while it is read: nothing of it is kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Bytes of generated text: contents, reasoning, tool calls; not the names that the protocol adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generated(pub(super) u64);

impl<'de> Deserialize<'de> for Generated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counting)
    }
}

/// Takes any JSON.
struct Counting;

impl<'de> Visitor<'de> for Counting {
    type Value = Generated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Generated, E> {
        Ok(Generated(text.len() as u64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Generated, A::Error> {
        let mut sum = 0;
        while let Some(Generated(bytes)) = items.next_element()? {
            sum += bytes;
        }
        Ok(Generated(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Generated, A::Error> {
        let mut sum = 0;
        while let Some(IsCounted(counted)) = fields.next_key()? {
            if counted {
                sum += fields.next_value::<Generated>()?.0;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Generated(sum))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Generated, E> {
        Ok(Generated(0))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Generated, E> {
        Ok(Generated(0))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Generated, E> {
        Ok(Generated(0))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Generated, E> {
        Ok(Generated(0))
    }

    fn visit_unit<E>(self) -> Result<Generated, E> {
        Ok(Generated(0))
    }
}

/// Whether what stands under a name was generated.
struct IsCounted(bool);

impl<'de> Deserialize<'de> for IsCounted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = IsCounted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<IsCounted, E> {
                Ok(IsCounted(!matches!(name, "role" | "id" | "type" | "index")))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::dialect::openai_chat::any_json::any_json;

    /// The same count, made of the whole value.
    fn counted(value: &Value) -> u64 {
        match value {
            Value::String(text) => text.len() as u64,
            Value::Array(items) => items.iter().map(counted).sum(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| !["role", "id", "type", "index"].contains(&name.as_str()))
                .map(|(_, value)| counted(value))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }

    proptest! {
        #[test]
        fn as_much_is_counted_as_stands_there(value in any_json(&["role", "id"])) {
            let Generated(bytes) = serde_json::from_str(&value.to_string()).unwrap();
            prop_assert_eq!(bytes, counted(&value));
        }
    }
}
