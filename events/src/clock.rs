//! Time and new ids, as ports: a decision never asks the operating system.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::InvalidQuantity;

/// A moment in microseconds since 1970 (UTC). RFC 3339 for people, a number in the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// As `jiff` sees it; the end of its range (year 9999) for anything later.
    pub fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }

    /// From `jiff`; anything before 1970 is 1970.
    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        Self(u64::try_from(at.as_microsecond()).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_jiff(), f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_jiff(at));
        }
        text.parse::<jiff::civil::Date>()
            .ok()
            .and_then(|date| date.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok())
            .map(|zoned| Self::from_jiff(zoned.timestamp()))
            .ok_or_else(|| InvalidQuantity {
                text: text.chars().take(40).collect(),
                expected: "a time such as 2026-11-23 or 2026-11-23T10:00:00Z",
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            crate::text::read(deserializer)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2026-11-23T10:00:00Z", "2026-11-23"] })
    }
}

/// A moment as text in every format: for fields of internally tagged enums, which serde buffers and then reads as if
/// the format were for people.
pub mod optional_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;

    /// Writes it.
    #[allow(clippy::ref_option, clippy::missing_errors_doc)] // serde's form
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&at.to_string()),
            None => serializer.serialize_none(),
        }
    }

    /// Reads it.
    #[allow(clippy::missing_errors_doc)]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// What time it is, and waiting.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Time since this process began, never set back: for "is that answer still fresh".
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock(std::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // this is the one place that asks
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that a test moves.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.0))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Where new ids come from.
pub trait Ids: Send + Sync + 'static {
    /// 128 bits that nobody else has, as 26 lower-case base-32 characters that sort by time of making.
    fn unique(&self) -> String;
}

/// 48 bits of wall clock and 80 random bits, the layout of ULID (<https://github.com/ulid/spec>), lower case.
#[derive(Debug, Default)]
pub struct RandomIds {
    clock: SystemClock,
    random: Mutex<Randomness>,
}

/// Bytes from the operating system, taken many at a time: it is asked for some at every call of a model.
#[derive(Debug)]
struct Randomness {
    bytes: [u8; 1_024],
    used: usize,
}

impl Default for Randomness {
    fn default() -> Self {
        Self { bytes: [0; 1_024], used: 1_024 }
    }
}

impl Randomness {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.bytes.len() {
            // Without randomness nothing here is safe; the operating system gives it or the process must not go on.
            #[allow(clippy::expect_used)]
            getrandom::fill(&mut self.bytes).expect("the operating system gives random bytes");
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        taken
    }
}

impl Ids for RandomIds {
    fn unique(&self) -> String {
        let mut id: [u8; 16] = self.random.lock().unwrap_or_else(PoisonError::into_inner).take();
        let millis = self.clock.now().0 / 1_000;
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        base32(u128::from_be_bytes(id))
    }
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

/// True if `name` is an IANA time zone that this machine knows.
pub fn time_zone_exists(name: &str) -> bool {
    jiff::tz::TimeZone::get(name).is_ok()
}

fn base32(mut bits: u128) -> String {
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
    fn a_day_is_its_midnight_in_utc() {
        assert_eq!("2026-11-23".parse::<Timestamp>().unwrap().to_string(), "2026-11-23T00:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn derived_ids_are_distinct_and_the_same_for_the_same_seed() {
        let (one, again) = (DerivedIds::from_seed("c1".to_owned()), DerivedIds::from_seed("c1".to_owned()));
        let (a, b) = (one.unique(), one.unique());
        assert_ne!(a, b);
        assert_eq!((a, b), (again.unique(), again.unique()));
        assert_ne!(one.unique(), DerivedIds::from_seed("c2".to_owned()).unique());
    }

    #[test]
    fn ids_are_distinct_and_sort_by_time() {
        let ids = RandomIds::default();
        let (a, b) = (ids.unique(), ids.unique());
        assert_eq!(a.len(), 26);
        assert!(a[..8] <= b[..8]);
        // More than are taken from the operating system at a time.
        let many: std::collections::HashSet<String> = (0..1_000).map(|_| ids.unique()).collect();
        assert_eq!(many.len(), 1_000);
    }
}
