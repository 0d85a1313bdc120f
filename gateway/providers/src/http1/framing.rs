//! Where a body ends (RFC 9112, section 6.3), and its pieces out of what was read.

use bytes::{Buf, Bytes, BytesMut};
use http::{StatusCode, header};

use super::head::Head;

/// Bytes of the line that says how long a chunk is.
const SIZE_LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of what may follow the last chunk.
const TRAILER_BYTES_MAX: usize = 32 * 1024;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBody {
    #[error("its answer says two lengths")]
    TwoLengths,
    #[error("its answer says a length that is none")]
    NoLength,
    #[error("its answer is transferred in a coding that was not asked for")]
    UnknownCoding,
    #[error("a chunk of its answer is malformed")]
    Chunk,
    #[error("its answer broke off")]
    BrokeOff,
}

/// What of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// All until the connection ends.
    UntilClosed,
}

/// What comes next of a body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with its size.
    Size,
    /// So many bytes of it.
    Data(u64),
    /// The end of its line.
    End,
    /// What follows the last, of which so many bytes have come.
    Trailer(usize),
}

/// What is there of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A piece.
    Piece(Bytes),
    /// Nothing before more has been read.
    More,
    /// It is whole.
    End,
}

impl Framing {
    /// As `head` says it.
    pub(super) fn of(Head { status, headers, .. }: &Head) -> Result<Self, BadBody> {
        if matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Self::Length(0));
        }
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter().peekable();
        if codings.peek().is_some() {
            let codings: Vec<&str> = codings.map(|value| value.to_str().unwrap_or("?")).collect();
            let is_chunked = codings.len() == 1 && codings[0].trim().eq_ignore_ascii_case("chunked");
            return if is_chunked { Ok(Self::Chunked(Chunk::Size)) } else { Err(BadBody::UnknownCoding) };
        }
        let mut length = None;
        let said = headers.get_all(header::CONTENT_LENGTH).iter();
        for value in said.flat_map(|value| value.to_str().unwrap_or("?").split(',')) {
            let value = value.trim();
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let value: u64 = value.parse().ok().filter(|_| digits).ok_or(BadBody::NoLength)?;
            if length.replace(value).is_some_and(|before| before != value) {
                return Err(BadBody::TwoLengths);
            }
        }
        Ok(length.map_or(Self::UntilClosed, Self::Length))
    }

    /// Takes the next piece out of `read`.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Next, BadBody> {
        match self {
            Self::Length(0) => Ok(Next::End),
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) if !read.is_empty() => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= length as u64;
                let piece = read.split_to(length).freeze();
                if let Self::Chunked(at @ Chunk::Data(0)) = self {
                    *at = Chunk::End;
                }
                Ok(Next::Piece(piece))
            }
            Self::UntilClosed if !read.is_empty() => Ok(Next::Piece(read.split().freeze())),
            Self::Length(_) | Self::UntilClosed | Self::Chunked(Chunk::Data(_)) => Ok(Next::More),
            Self::Chunked(at) => {
                let end = match at.step(read)? {
                    Step::Again => return self.next(read),
                    Step::More => Next::More,
                    Step::End => Next::End,
                };
                if end == Next::End {
                    *self = Self::Length(0);
                }
                Ok(end)
            }
        }
    }

    /// That the connection has ended.
    pub(super) const fn closed(self) -> Result<(), BadBody> {
        match self {
            Self::UntilClosed | Self::Length(0) => Ok(()),
            Self::Length(_) | Self::Chunked(_) => Err(BadBody::BrokeOff),
        }
    }
}

enum Step {
    Again,
    More,
    End,
}

impl Chunk {
    /// Takes in what is not data.
    fn step(&mut self, read: &mut BytesMut) -> Result<Step, BadBody> {
        let most = match self {
            Self::Size => SIZE_LINE_BYTES_MAX,
            Self::Data(_) => return Ok(Step::Again),
            Self::End => 0,
            Self::Trailer(seen) => TRAILER_BYTES_MAX.saturating_sub(*seen),
        };
        // The line ends with CRLF, nothing else: what others might read differently is refused.
        let Some(end) = memchr::memchr(b'\n', &read[..read.len().min(most + 2)]) else {
            return if read.len() >= most + 2 { Err(BadBody::Chunk) } else { Ok(Step::More) };
        };
        let line = read[..end].strip_suffix(b"\r").ok_or(BadBody::Chunk)?;
        *self = match self {
            Self::Size => match size(line).ok_or(BadBody::Chunk)? {
                0 => Self::Trailer(0),
                size => Self::Data(size),
            },
            Self::End if line.is_empty() => Self::Size,
            Self::Trailer(_) if line.is_empty() => {
                read.advance(end + 1);
                return Ok(Step::End);
            }
            Self::Trailer(seen) => Self::Trailer(*seen + end + 1),
            Self::End | Self::Data(_) => return Err(BadBody::Chunk),
        };
        read.advance(end + 1);
        Ok(Step::Again)
    }
}

/// The size that a chunk's line says; what follows it is of no use here.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
