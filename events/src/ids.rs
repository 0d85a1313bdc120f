//! Where new ids come from: a decision gets them with its command and never makes them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// Crockford's letters in lower case: none is taken for another, and none is `_`.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Where new ids come from.
pub trait Ids: Send + Sync + 'static {
    /// 128 bits that nobody else has, as 26 lower-case base-32 characters that sort by time of making.
    fn unique(&self) -> String;
}

/// Ids in sequence, for tests that must repeat.
#[derive(Debug, Default)]
pub struct CountingIds(AtomicU64);

impl Ids for CountingIds {
    fn unique(&self) -> String {
        base32(u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

/// Ids that follow from a seed: at every retry of one command, on every replica, the same things get the same names.
#[derive(Debug)]
pub struct DerivedIds {
    seed: String,
    made: AtomicU64,
}

impl DerivedIds {
    /// Ids that follow from `seed`.
    pub fn from_seed(seed: String) -> Self {
        Self { seed, made: AtomicU64::new(0) }
    }
}

impl Ids for DerivedIds {
    fn unique(&self) -> String {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::hash(format!("{}\0{made}", self.seed).as_bytes());
        base32(u128::from_be_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16])))
    }
}

/// An id that may be the text of 128 bits.
pub(crate) trait OfBits {
    /// The id that [`base32`] writes for `bits`.
    fn of_bits(bits: u128) -> Self;
}

/// How many digits 128 bits take, 5 bits each.
const UNIQUE_BYTES: usize = 26;

/// 128 bits as 26 lower-case characters of Crockford's base 32, which sort as the bits do.
pub fn base32(bits: u128) -> String {
    digits(bits).iter().map(|&digit| char::from(digit)).collect()
}

/// The characters of [`base32`], without an allocation.
pub(crate) fn digits(bits: u128) -> [u8; UNIQUE_BYTES] {
    const HALF: u128 = (1 << 60) - 1;
    let mut text = [0; UNIQUE_BYTES];
    // In parts that fit the machine's words: 2, 12 and 12 digits.
    for (from, to, part) in [(0, 2, bits >> 120), (2, 14, bits >> 60 & HALF), (14, 26, bits & HALF)] {
        let mut part = u64::try_from(part).unwrap_or(0);
        for place in text[from..to].iter_mut().rev() {
            *place = ALPHABET[usize::try_from(part & 31).unwrap_or(0)];
            part >>= 5;
        }
    }
    text
}

/// The bits that [`base32`] writes as `text`; none if it writes no bits so.
pub fn from_base32(text: &str) -> Option<u128> {
    // The first digit stands for 3 bits only.
    if text.len() != UNIQUE_BYTES || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |bits, byte| {
        let value = VALUES[usize::from(byte)];
        (value < 32).then(|| bits << 5 | u128::from(value))
    })
}

/// What each byte stands for as a digit; 32 if it is none.
const VALUES: [u8; 256] = {
    let mut values = [32; 256];
    let mut value = 0_u8;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_texts_are_the_text_of_no_bits() {
        let others = [
            "",
            "call_88",
            &"8".repeat(26),
            &"7".repeat(25),
            "7zzzzzzzzzzzzzzzzzzzzzzzzi",
            "É234567890123456789012345",
        ];
        for other in others {
            assert_eq!(from_base32(other), None, "{other}");
        }
        assert_eq!(from_base32(&base32(u128::MAX)), Some(u128::MAX));
        assert_eq!(base32(0), "0".repeat(26));
    }

    proptest! {
        #[test]
        fn bits_and_text_are_the_same_thing(some in any::<u128>(), other in "[0-7][0-9a-z]{25}") {
            prop_assert_eq!(from_base32(&base32(some)), Some(some));
            if let Some(bits) = from_base32(&other) {
                prop_assert_eq!(base32(bits), other);
            }
        }
    }

    #[test]
    fn derived_ids_are_distinct_and_repeat_for_one_seed() {
        let (one, again) = (DerivedIds::from_seed("c1".to_owned()), DerivedIds::from_seed("c1".to_owned()));
        let (a, b) = (one.unique(), one.unique());
        assert_ne!(a, b);
        assert_eq!((a, b), (again.unique(), again.unique()));
        assert_ne!(one.unique(), DerivedIds::from_seed("c2".to_owned()).unique());
    }
}
