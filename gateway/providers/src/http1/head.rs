//! The head of an answer.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

/// Bytes of a head.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a head.
const HEADERS_MAX: usize = 100;

/// A head that has come.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Whether the connection may serve again after this.
    pub(super) keeps_alive: bool,
}

/// Why it is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHead {
    #[error("its answer is no HTTP: {0}")]
    Malformed(httparse::Error),
    #[error("its answer begins with more than {HEAD_BYTES_MAX} bytes of headers")]
    TooLong,
}

/// Looks for the end of a head, each byte once.
#[derive(Debug, Default)]
pub(super) struct HeadEnd {
    looked_at: usize,
}

impl HeadEnd {
    /// The length of the head that `bytes` begins with, once it is whole.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        // An empty line, also one that ends with LF alone.
        let from = self.looked_at.saturating_sub(3);
        let end = memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find(|&at| {
            let before = &bytes[..at];
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            before.ends_with(b"\n")
        });
        self.looked_at = bytes.len();
        end.map(|at| at + 1)
    }
}

impl Head {
    /// Reads a whole head.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoHead> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(bytes).map_err(NoHead::Malformed)? {
            httparse::Status::Complete(_) => {}
            // An empty line before the status line looks like an end; clients pass over it, but no server has reason to.
            httparse::Status::Partial => return Err(NoHead::Malformed(httparse::Error::NewLine)),
        }
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(NoHead::Malformed(httparse::Error::Status))?;
        let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut headers = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let name = name.map_err(|_| NoHead::Malformed(httparse::Error::HeaderName))?;
            let value = HeaderValue::from_bytes(field.value);
            let value = value.map_err(|_| NoHead::Malformed(httparse::Error::HeaderValue))?;
            headers.append(name, value);
        }
        let said = |word| says(&headers, &header::CONNECTION, word);
        let keeps_alive = if version == Version::HTTP_10 { said("keep-alive") } else { !said("close") };
        Ok(Self { status, headers, keeps_alive })
    }
}

/// Whether the list in the headers `name` has `word`.
pub(super) fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
    })
}
