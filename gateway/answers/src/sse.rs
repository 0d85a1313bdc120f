//! Server-sent events, read within bounds: bytes in, the data of each event out.
//!
//! Follows <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>: lines end with CR,
//! LF or both, `data` lines of one event are joined, everything else is of no use here. Works on bytes: a character
//! may be split over two reads.

use bytes::Bytes;

/// One event grew beyond the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {0} bytes")]
pub struct TooLong(pub usize);

/// Reads a stream of events.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// The data of the event that is not complete yet, each line ended with LF.
    data: Vec<u8>,
    /// The last byte was CR: an LF next belongs to it.
    after_cr: bool,
    /// Nothing has been read yet: a byte order mark may come.
    at_start: bool,
}

impl Parser {
    /// Refuses events longer than `event_bytes_max`.
    pub fn new(event_bytes_max: usize) -> Self {
        Self { event_bytes_max, line: Vec::new(), data: Vec::new(), after_cr: false, at_start: true }
    }

    /// Takes in what was read and hands each event that is complete now to `take`.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Bytes)) -> Result<(), TooLong> {
        if self.after_cr && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        if !bytes.is_empty() {
            self.after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|b| matches!(b, b'\r' | b'\n')) {
            self.grow(&bytes[..end])?;
            let cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if cr {
                match bytes.first() {
                    Some(b'\n') => bytes = &bytes[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if let Some(event) = self.end_line() {
                take(event);
            }
        }
        self.grow(bytes)
    }

    /// The event ends here; none if it has no data. At the stream's end too: an event that lacks only its empty line is
    /// taken for whole, as clients do.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.data.pop()?;
        Some(Bytes::from(std::mem::take(&mut self.data)))
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + bytes.len() > self.event_bytes_max {
            return Err(TooLong(self.event_bytes_max));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The line is complete; so may be the event.
    fn end_line(&mut self) -> Option<Bytes> {
        let line = std::mem::take(&mut self.line);
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
        } else {
            &line
        };
        if line.is_empty() {
            return self.finish();
        }
        let value = line.strip_prefix(b"data")?;
        let value = match value.split_first() {
            None => value,
            Some((b':', value)) => value.strip_prefix(b" ").unwrap_or(value),
            Some(_) => return None, // another field whose name begins so
        };
        self.data.extend_from_slice(value);
        self.data.push(b'\n');
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]], max: usize) -> Result<Vec<String>, TooLong> {
        let mut parser = Parser::new(max);
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece, |event| events.push(String::from_utf8_lossy(&event).into_owned()))?;
        }
        Ok(events)
    }

    #[test]
    fn only_data_lines_of_an_event_are_joined() {
        let text = b"\xef\xbb\xbfevent: x\ndata: a\ndata:b\n: comment\nid: 7\n\ndatax: no\n\n\ndata\n\ndata: [DONE]\n\ndata: cut";
        assert_eq!(read(&[text], 100).unwrap(), ["a\nb", "", "[DONE]"]);
    }

    #[test]
    fn an_event_may_be_as_long_as_its_bound() {
        assert_eq!(read(&[b"data: 1234\n\n"], 10).unwrap(), ["1234"]);
        assert_eq!(read(&[b"data: 12345\n\n"], 10), Err(TooLong(10)));
        assert_eq!(read(&[b"data: 12", b"345"], 10), Err(TooLong(10)), "also before its end");
        assert_eq!(read(&[b"data: 1\n", b"data: 23456789\n"], 10), Err(TooLong(10)), "also over several lines");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_reads_the_same(
            lines in prop::collection::vec(("(data: ?|data|: |event: )?[a-zé{}:]{0,8}", prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n", "\r\r", "\r\n\r\n"])), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = lines.iter().flat_map(|(line, end)| [line.as_str(), *end]).collect::<Vec<_>>().concat();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&pieces, 1_000), read(&[bytes], 1_000));
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow_beyond_its_bound(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let mut parser = Parser::new(32);
            for piece in &pieces {
                if parser.feed(piece, |event| assert!(event.len() <= 32)).is_err() {
                    break;
                }
                // Each data line adds its own end.
                prop_assert!(parser.line.len() + parser.data.len() <= 33);
            }
        }
    }
}
