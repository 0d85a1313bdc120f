//! Coded bodies of requests: unpacked within the bounds of a body, or refused by the names of those that are taken.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};
use steward_calls::BodyMemory;

use crate::error::Error;

/// The body as it was before it was coded.
pub(crate) fn unpack(
    headers: &HeaderMap,
    body: Bytes,
    bytes_max: usize,
    memory: &mut BodyMemory,
) -> Result<Bytes, Error> {
    let said = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
    let said: Vec<String> =
        said.flat_map(|value| value.split(',')).map(|coding| coding.trim().to_ascii_lowercase()).collect();
    let codings: Vec<&str> =
        said.iter().map(String::as_str).filter(|coding| !matches!(*coding, "" | "identity")).collect();
    match codings[..] {
        [] => Ok(body),
        ["gzip" | "x-gzip"] => read(MultiGzDecoder::new(&*body), "gzip", bytes_max, memory),
        ["deflate"] => read(ZlibDecoder::new(&*body), "deflate", bytes_max, memory),
        _ => Err(Error::UnknownCoding(codings.join(", ").chars().take(80).collect())),
    }
}

/// Reads what comes of a packed body, no more than is allowed.
fn read(packed: impl Read, coding: &str, bytes_max: usize, memory: &mut BodyMemory) -> Result<Bytes, Error> {
    const STEP_BYTES: usize = 64 * 1024;
    let mut packed = packed.take(bytes_max as u64 + 1);
    let (mut body, mut length) = (Vec::new(), 0);
    loop {
        let step = packed.by_ref().take(STEP_BYTES as u64).read_to_end(&mut body);
        let step = step.map_err(|error| Error::bad("Content-Encoding", format!("the body is no {coding}: {error}")))?;
        if step == 0 {
            return Ok(body.into());
        }
        length += step;
        if length > bytes_max {
            return Err(Error::TooLarge(bytes_max));
        }
        memory.grow(step)?;
    }
}
