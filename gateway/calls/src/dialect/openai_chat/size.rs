//! How many tokens a part of a request can be worth at most, counted while it is read: nothing of it is kept.
//!
//! The tokenizer is unknown, so a byte of text counts as a token: byte-level vocabularies have no shorter ones.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Tokens that an image may be worth, whatever its size.
const IMAGE_TOKENS: u64 = 20_000;

/// Tokens that punctuation and quotes around a field may be worth.
const FIELD_TOKENS: u64 = 6;

/// Tokens that an item of a list adds.
const ITEM_TOKENS: u64 = 2;

/// Characters of the longest number that is no whole one.
const FRACTION_TOKENS: u64 = 25;

/// The tokens of any JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measuring { objects_only: false })
    }
}

/// The tokens of an object, which it must be.
struct ObjectSize(u64);

impl<'de> Deserialize<'de> for ObjectSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measuring { objects_only: true }).map(|Size(tokens)| Self(tokens))
    }
}

struct Measuring {
    objects_only: bool,
}

impl Measuring {
    fn leaf<E: Error>(&self, tokens: u64) -> Result<Size, E> {
        if self.objects_only { Err(E::custom("an object is wanted")) } else { Ok(Size(tokens)) }
    }
}

impl<'de> Visitor<'de> for Measuring {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        self.leaf(text.len() as u64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Size, A::Error> {
        self.leaf::<A::Error>(0)?;
        let mut sum = 0_u64;
        while let Some(Size(tokens)) = items.next_element()? {
            sum = sum.saturating_add(tokens).saturating_add(ITEM_TOKENS);
        }
        Ok(Size(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Size, A::Error> {
        let mut sum = 0_u64;
        while let Some(name) = fields.next_key()? {
            let tokens = match name {
                Name::Image => {
                    fields.next_value::<IgnoredAny>()?;
                    IMAGE_TOKENS
                }
                Name::Other(length) => fields.next_value::<Size>()?.0.saturating_add(length + FIELD_TOKENS),
            };
            sum = sum.saturating_add(tokens);
        }
        Ok(Size(sum))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Size, E> {
        self.leaf(5)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
        self.leaf(digits(number.unsigned_abs()) + 1)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Size, E> {
        self.leaf(digits(number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Size, E> {
        self.leaf(FRACTION_TOKENS)
    }

    fn visit_unit<E: Error>(self) -> Result<Size, E> {
        self.leaf(5)
    }
}

fn digits(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

/// A field's name, as far as it says what stands under it.
enum Name {
    Image,
    Other(u64),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl Visitor<'_> for Reading {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "image_url" | "input_image" => Name::Image,
                    _ => Name::Other(name.len() as u64),
                })
            }
        }
        deserializer.deserialize_str(Reading)
    }
}

/// A list of messages: how many, and their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Messages {
    pub(super) count: u64,
    pub(super) tokens: u64,
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Messages;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of objects")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Messages, A::Error> {
                let mut all = Messages { count: 0, tokens: 0 };
                while let Some(ObjectSize(tokens)) = items.next_element()? {
                    all.count += 1;
                    all.tokens = all.tokens.saturating_add(tokens);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::dialect::openai_chat::any_json::any_json;

    /// The same bound, made of the whole value.
    fn measured(value: &Value) -> u64 {
        match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(number) if number.is_f64() => FRACTION_TOKENS,
            Value::Number(number) => number.to_string().len() as u64,
            Value::String(text) => text.len() as u64,
            Value::Array(items) => items.iter().map(|item| measured(item) + ITEM_TOKENS).sum(),
            Value::Object(fields) => (fields.iter())
                .map(|(name, value)| match name.as_str() {
                    "image_url" | "input_image" => IMAGE_TOKENS,
                    _ => measured(value) + name.len() as u64 + FIELD_TOKENS,
                })
                .sum(),
        }
    }

    proptest! {
        #[test]
        fn it_is_the_size_of_the_whole(value in any_json(&["image_url"])) {
            let Size(tokens) = serde_json::from_str(&value.to_string()).unwrap();
            prop_assert_eq!(tokens, measured(&value));
        }

        #[test]
        fn a_number_is_never_worth_more_than_its_bound(number in any::<f64>()) {
            let text = Value::from(number).to_string();
            prop_assert!(text.len() as u64 <= FRACTION_TOKENS, "{}", text);
        }

        #[test]
        fn messages_are_objects(values in prop::collection::vec(any_json(&["image_url"]), 0..4)) {
            let text = Value::from(values.clone()).to_string();
            let sum: u64 = values.iter().map(measured).sum();
            let expected = values.iter().all(Value::is_object)
                .then_some(Messages { count: values.len() as u64, tokens: sum });
            prop_assert_eq!(serde_json::from_str::<Messages>(&text).ok(), expected);
        }
    }
}
