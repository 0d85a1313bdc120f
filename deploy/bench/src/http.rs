//! As much HTTP/1.1 as a load generator and a mock upstream need, and as cheap as can be: where a message's head ends and
//! how its body does. It must not know what is measured.

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Bytes(usize),
    /// With the empty chunk.
    Chunked,
}

/// Where the head of a message ends: after its empty line.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\n') {
        let line_end = from + at + 1;
        match bytes.get(line_end..line_end + 2) {
            Some(b"\r\n") => return Some(line_end + 2),
            Some(_) => from = line_end,
            None => return None,
        }
    }
    None
}

/// How the body after `head` ends; a message that does not say has none.
pub(super) fn length(head: &[u8]) -> Length {
    for line in head.split(|byte| *byte == b'\n') {
        if let Some(value) = value_of(line, b"content-length:") {
            let digits = value.iter().filter(|byte| byte.is_ascii_digit());
            return Length::Bytes(
                digits.fold(0_usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0'))),
            );
        }
        if value_of(line, b"transfer-encoding:").is_some() {
            return Length::Chunked;
        }
    }
    Length::Bytes(0)
}

/// What follows `name` in `line`, if the line is that header.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// The status of an answer; 0 if its first line says none.
pub(super) fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Where the message at the start of `bytes` ends, if all of it is there. Of a chunked one nothing may follow.
pub(super) fn message_end(bytes: &[u8], head_end: usize) -> Option<usize> {
    match length(&bytes[..head_end]) {
        Length::Bytes(length) => Some(head_end.saturating_add(length)).filter(|end| *end <= bytes.len()),
        Length::Chunked => {
            let body = &bytes[head_end..];
            (body == b"0\r\n\r\n" || body.ends_with(b"\r\n0\r\n\r\n")).then_some(bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let head = head_end(whole).unwrap();
        assert_eq!((status(whole), length(&whole[..head])), (200, Length::Bytes(3)));
        assert_eq!(message_end(whole, head), Some(whole.len()));
        assert_eq!(message_end(&whole[..whole.len() - 1], head), None);
        assert_eq!(head_end(&whole[..head - 1]), None);
    }

    #[test]
    fn a_chunked_message_ends_with_the_empty_chunk() {
        let whole = b"HTTP/1.1 402 X\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let head = head_end(whole).unwrap();
        assert_eq!((status(whole), message_end(whole, head)), (402, Some(whole.len())));
        assert_eq!(message_end(&whole[..whole.len() - 2], head), None);
    }

    #[test]
    fn text_that_is_no_http_has_no_status() {
        assert_eq!((status(b"hello"), head_end(b""), length(b"")), (0, None, Length::Bytes(0)));
    }
}
