//! Reads MessagePack that comes from outside: bounded in depth, and to the last byte.

use rmp_serde::decode::{Deserializer, Error};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};

/// The deepest nesting that is read; what Steward writes stays below 16. The library's own bound is deeper than the
/// stack of a thread.
const DEPTH_MAX: usize = 64;

/// Reads one value, which is all there is.
pub(crate) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut deserializer = Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer)?;
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(Error::InvalidMarkerRead(end)) if end.kind() == std::io::ErrorKind::UnexpectedEof => Ok(value),
        _ => Err(Error::custom("something follows its end")),
    }
}
