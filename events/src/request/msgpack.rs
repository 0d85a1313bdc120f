//! Reads MessagePack that comes from outside: bounded in depth, and to the last byte.

use rmp_serde::decode::{Deserializer, Error};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};

/// The deepest nesting that is read; what Steward writes stays below 16. The library's own bound is deeper than the
/// stack of a thread.
const DEPTH_MAX: usize = 64;

/// The same for a part that is read by itself, so that it is never deeper than the whole may be.
const PART_DEPTH_MAX: usize = 32;

/// Reads one value, which is all there is.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    read_within(DEPTH_MAX, bytes)
}

/// Reads one value that stands in another one.
pub(crate) fn read_part<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    read_within(PART_DEPTH_MAX, bytes)
}

fn read_within<'de, T: Deserialize<'de>>(depth_max: usize, bytes: &'de [u8]) -> Result<T, Error> {
    let mut deserializer = Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(depth_max);
    let value = T::deserialize(&mut deserializer)?;
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(Error::InvalidMarkerRead(end)) if end.kind() == std::io::ErrorKind::UnexpectedEof => Ok(value),
        _ => Err(Error::custom("something follows its end")),
    }
}
