//! The short forms of numbers and ids in journals.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{ServiceTier, TokenUsage};
use crate::id::InvalidId;
use crate::ids::{self, OfBits};
use crate::quantity::{Amounts, NanoDollars, Tokens};

/// Units of [`Amounts`]: calls, tokens, money.
pub(super) const UNITS: usize = 3;

/// Counts of [`TokenUsage`], in the order of its fields.
pub(super) const COUNTS: usize = 10;

/// Numbers in a fixed order. Zeros at the end are left out, so that one more kind of number costs nothing where it is zero.
#[derive(PartialEq)]
pub(super) struct Numbers<const N: usize>(pub(super) [u64; N]);

impl<const N: usize> Serialize for Numbers<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = self.0.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        self.0[..kept].serialize(serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Numbers<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UpTo<const N: usize>;

        impl<'de, const N: usize> Visitor<'de> for UpTo<N> {
            type Value = Numbers<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Numbers<N>, A::Error> {
                let mut numbers = [0; N];
                for number in &mut numbers {
                    match seq.next_element()? {
                        Some(next) => *number = next,
                        None => return Ok(Numbers(numbers)),
                    }
                }
                match seq.next_element::<u64>()? {
                    Some(_) => Err(A::Error::invalid_length(N + 1, &self)),
                    None => Ok(Numbers(numbers)),
                }
            }
        }

        deserializer.deserialize_seq(UpTo)
    }
}

impl From<Amounts> for Numbers<UNITS> {
    fn from(Amounts { calls, tokens: Tokens(tokens), money: NanoDollars(money) }: Amounts) -> Self {
        Self([calls, tokens, money])
    }
}

impl From<Numbers<UNITS>> for Amounts {
    fn from(Numbers([calls, tokens, money]): Numbers<UNITS>) -> Self {
        Self { calls, tokens: Tokens(tokens), money: NanoDollars(money) }
    }
}

impl From<TokenUsage> for Numbers<COUNTS> {
    fn from(usage: TokenUsage) -> Self {
        let TokenUsage {
            input,
            cached,
            output,
            reasoning,
            cache_write,
            cache_write_1h,
            audio_input,
            audio_output,
            images,
            searches,
            tier: _,
        } = usage;
        Self([
            input.0,
            cached.0,
            output.0,
            reasoning.0,
            cache_write.0,
            cache_write_1h.0,
            audio_input.0,
            audio_output.0,
            images,
            searches,
        ])
    }
}

impl From<Numbers<COUNTS>> for TokenUsage {
    fn from(Numbers(counts): Numbers<COUNTS>) -> Self {
        let [input, cached, output, reasoning, write, write_1h, audio_input, audio_output, images, searches] = counts;
        Self {
            input: Tokens(input),
            cached: Tokens(cached),
            output: Tokens(output),
            reasoning: Tokens(reasoning),
            cache_write: Tokens(write),
            cache_write_1h: Tokens(write_1h),
            audio_input: Tokens(audio_input),
            audio_output: Tokens(audio_output),
            images,
            searches,
            tier: ServiceTier::default(),
        }
    }
}

/// An id: its 16 bytes if it is unique, its text if it is any other.
pub(super) struct Compact<T>(pub(super) T);

impl<T: AsRef<str>> Serialize for Compact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match ids::from_base32(self.0.as_ref()) {
            Some(bits) => serializer.serialize_bytes(&bits.to_be_bytes()),
            None => serializer.serialize_str(self.0.as_ref()),
        }
    }
}

impl<'de, T: FromStr<Err = InvalidId> + OfBits> Deserialize<'de> for Compact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<fn() -> T>);

        impl<T: FromStr<Err = InvalidId> + OfBits> Visitor<'_> for Reading<T> {
            type Value = Compact<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: 16 bytes or a text")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Compact<T>, E> {
                let bits = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(Compact(T::of_bits(u128::from_be_bytes(bits))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Compact<T>, E> {
                text.parse().map(Compact).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Reading(PhantomData))
    }
}
