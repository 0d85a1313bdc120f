//! Texts that a model reads each for itself, as OpenAI's operations are given them: one text or many, in words or in tokens.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use crate::error::Error;

/// Bytes of text that a token stands for, where a text is given in tokens.
const BYTES_PER_TOKEN: u64 = 4;

/// How much there is to read. Nothing of it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    /// How many.
    pub(super) count: u64,
    /// Bytes of all, or of what tokens stand for.
    pub(super) bytes: u64,
}

impl Texts {
    /// Reads the field `name`: a text, a list of tokens, or a list of either; at most `count_max` of them.
    pub(super) fn read(name: &str, value: Option<&Bytes>, count_max: u64) -> Result<Self, Error> {
        let Some(value) = value else { return Err(Error::bad(name, format!("you must provide {name}"))) };
        let Whole(texts) =
            serde_json::from_slice(value).map_err(|error| Error::bad(name, format!("{name}: {error}")))?;
        if texts.count == 0 {
            return Err(Error::bad(name, format!("{name} must hold at least one text")));
        }
        if texts.count > count_max {
            return Err(Error::bad(name, format!("{name} must hold at most {count_max} texts")));
        }
        Ok(texts)
    }
}

/// What may stand in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Text(u64),
    Token,
    Tokens(u64),
}

struct Whole(Texts);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadsWhole).map(Self)
    }
}

struct ReadsWhole;

impl<'de> Visitor<'de> for ReadsWhole {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of tokens, or a list of either")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts { count: 1, bytes: text.len() as u64 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let (mut texts, mut tokens) = (Texts::default(), 0_u64);
        while let Some(item) = items.next_element::<Item>()? {
            match item {
                Item::Token => tokens += 1,
                Item::Text(bytes) => texts.bytes = texts.bytes.saturating_add(bytes),
                Item::Tokens(many) => texts.bytes = texts.bytes.saturating_add(many.saturating_mul(BYTES_PER_TOKEN)),
            }
            texts.count += u64::from(item != Item::Token);
        }
        match (texts.count, tokens) {
            (_, 0) => Ok(texts),
            (0, _) => Ok(Texts { count: 1, bytes: tokens.saturating_mul(BYTES_PER_TOKEN) }),
            _ => Err(A::Error::custom("texts and tokens stand in one list")),
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadsItem;
        impl<'de> Visitor<'de> for ReadsItem {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a token or a list of tokens")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.len() as u64))
            }

            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Item, E> {
                Ok(Item::Token)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tokens: A) -> Result<Item, A::Error> {
                let mut count = 0;
                while tokens.next_element::<u64>()?.is_some() {
                    count += 1;
                }
                Ok(Item::Tokens(count))
            }
        }
        deserializer.deserialize_any(ReadsItem)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Result<Texts, Error> {
        Texts::read("input", Some(&Bytes::copy_from_slice(value.as_bytes())), 3)
    }

    #[test]
    fn each_form_of_texts_is_counted() {
        for (value, count, bytes) in [
            (r#""good day""#, 1, 8),
            (r#"["good","\u00e9"]"#, 2, 6),
            ("[1,2,3]", 1, 12),
            ("[[1,2],[3]]", 2, 12),
            (r#"["a",[7]]"#, 2, 5),
            (r#""""#, 1, 0),
        ] {
            assert_eq!(read(value).unwrap(), Texts { count, bytes }, "{value}");
        }
    }

    #[test]
    fn what_are_no_texts_is_refused_by_name() {
        for value in ["[]", "null", "7", "{}", r#"["a",1]"#, "[[[1]]]", "[1.5]", "[-1]", "[{}]", r#"["a","b","c","d"]"#]
        {
            assert!(
                matches!(read(value), Err(Error::BadRequest { param: Some(name), .. }) if name == "input"),
                "{value}"
            );
        }
        assert!(read(r#"["a","b","c"]"#).is_ok());
        assert!(Texts::read("input", None, 3).is_err());
    }

    proptest! {
        #[test]
        fn there_are_no_more_bytes_than_in_the_body(texts in prop::collection::vec(".{0,20}", 1..4)) {
            let body = serde_json::to_string(&texts).unwrap();
            prop_assert!(read(&body).unwrap().bytes <= body.len() as u64);
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Texts::read("input", Some(&Bytes::from(value)), 3);
        }
    }
}
