//! Where new ids come from: a decision gets them with its command and never makes them up.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// 128 bits as 26 lower-case characters of Crockford's base 32, which sort as the bits do.
pub fn base32(mut bits: u128) -> String {
    let mut text = [0_u8; 26];
    for place in text.iter_mut().rev() {
        *place = crate::secret::ALPHABET[usize::try_from(bits & 31).unwrap_or(0)];
        bits >>= 5;
    }
    text.iter().map(|&b| char::from(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_distinct_and_the_same_for_the_same_seed() {
        let (one, again) = (DerivedIds::from_seed("c1".to_owned()), DerivedIds::from_seed("c1".to_owned()));
        let (a, b) = (one.unique(), one.unique());
        assert_ne!(a, b);
        assert_eq!((a, b), (again.unique(), again.unique()));
        assert_ne!(one.unique(), DerivedIds::from_seed("c2".to_owned()).unique());
    }
}
