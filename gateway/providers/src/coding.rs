//! Coded bodies: a provider, or a proxy before it, may pack an answer although it was asked not to.

use std::io::Write;

use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

/// Packed bytes that are unpacked at once: what comes of them at most is a thousand times as much.
const STEP_BYTES: usize = 1024;

/// A coding that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer is coded as {0}, which was not asked for")]
pub(crate) struct UnknownCoding(String);

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer cannot be unpacked")]
pub(crate) struct Broken;

/// Unpacks a body piece by piece.
pub(crate) enum Unpacking {
    /// Nothing is to be done.
    Plain,
    /// gzip.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// `deflate`, which is zlib's form.
    Zlib(Box<ZlibDecoder<Vec<u8>>>),
}

impl Unpacking {
    /// As the headers say that the body is coded.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        let said = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
        let said: Vec<String> =
            said.flat_map(|value| value.split(',')).map(|coding| coding.trim().to_ascii_lowercase()).collect();
        let codings: Vec<&str> =
            said.iter().map(String::as_str).filter(|coding| !matches!(*coding, "" | "identity")).collect();
        match codings[..] {
            [] => Ok(Self::Plain),
            ["gzip" | "x-gzip"] => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))),
            ["deflate"] => Ok(Self::Zlib(Box::new(ZlibDecoder::new(Vec::new())))),
            _ => Err(UnknownCoding(codings.join(", ").chars().take(40).collect())),
        }
    }

    /// Unpacks a first part of `packed`, so that what comes of it is bounded; it may be nothing yet.
    pub(crate) fn unpack(&mut self, packed: &mut Bytes) -> Result<Bytes, Broken> {
        if matches!(self, Self::Plain) {
            return Ok(std::mem::take(packed));
        }
        let part = packed.split_to(packed.len().min(STEP_BYTES));
        let unpacked = match self {
            Self::Plain => return Ok(part),
            Self::Gzip(decoder) => {
                decoder.write_all(&part).and_then(|()| decoder.flush()).map_err(|_| Broken)?;
                std::mem::take(decoder.get_mut())
            }
            Self::Zlib(decoder) => {
                decoder.write_all(&part).and_then(|()| decoder.flush()).map_err(|_| Broken)?;
                std::mem::take(decoder.get_mut())
            }
        };
        Ok(unpacked.into())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;

    fn unpacked(coding: &'static str, packed: &[u8], step: usize) -> Option<Vec<u8>> {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        let mut unpacking = Unpacking::of(&headers).ok()?;
        let mut whole = Vec::new();
        for piece in packed.chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            while !piece.is_empty() {
                whole.extend_from_slice(&unpacking.unpack(&mut piece).ok()?);
            }
        }
        Some(whole)
    }

    #[test]
    fn each_coding_is_unpacked_however_it_comes() {
        let text = "good day ".repeat(1_000).into_bytes();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        let zlib = zlib.finish().unwrap();
        for step in [1, 7, 10_000] {
            assert_eq!(unpacked("gzip", &gzip, step).as_ref(), Some(&text));
            assert_eq!(unpacked("X-GZIP, identity", &gzip, step).as_ref(), Some(&text));
            assert_eq!(unpacked("deflate", &zlib, step).as_ref(), Some(&text));
            assert_eq!(unpacked("identity", &text, step).as_ref(), Some(&text));
        }
        assert_eq!(unpacked("br", &text, 10), None);
        assert_eq!(unpacked("gzip", b"no gzip at all", 10), None);
    }
}
