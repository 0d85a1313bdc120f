//! Server-sent events, read within bounds: bytes in, the data of each event out.
//!
//! Follows <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>: lines end with CR,
//! LF or both, `data` lines of one event are joined, everything else is of no use here. Works on bytes: a character
//! may be split over two reads.

use bytes::{Bytes, BytesMut};

/// One event grew beyond the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {0} bytes")]
pub struct TooLong(pub usize);

/// Reads a stream of events. What stands in one piece is passed on as a slice of it, without a copy.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    /// The beginning of a line that is not complete yet.
    line: BytesMut,
    /// The data of the event that is not complete yet.
    data: Data,
    /// The last byte was CR: an LF next belongs to it.
    after_cr: bool,
    /// Nothing has been read yet: a byte order mark may come.
    at_start: bool,
}

/// The lines of data of one event.
#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    /// Joined with LF.
    Several(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len() + 1,
            Self::Several(lines) => lines.len() + 1,
        }
    }

    fn add(&mut self, line: Bytes) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.extend_from_slice(&first);
                Self::Several(joined(lines, &line))
            }
            Self::Several(lines) => Self::Several(joined(lines, &line)),
        };
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Several(lines) => Some(lines.freeze()),
        }
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

impl Parser {
    /// Refuses events longer than `event_bytes_max`.
    pub fn new(event_bytes_max: usize) -> Self {
        Self { event_bytes_max, line: BytesMut::new(), data: Data::None, after_cr: false, at_start: true }
    }

    /// Takes in what was read and hands each event that is complete now to `take`.
    ///
    /// # Errors
    /// [`TooLong`], also of an event that is not complete.
    pub fn feed(&mut self, piece: &Bytes, mut take: impl FnMut(Bytes)) -> Result<(), TooLong> {
        let mut at = usize::from(self.after_cr && piece.first() == Some(&b'\n'));
        if !piece.is_empty() {
            self.after_cr = false;
        }
        while let Some(length) = memchr::memchr2(b'\r', b'\n', &piece[at..]) {
            let end = at + length;
            self.check(length)?;
            let line = if self.line.is_empty() {
                piece.slice(at..end)
            } else {
                self.line.extend_from_slice(&piece[at..end]);
                self.line.split().freeze()
            };
            at = end + 1;
            if piece[end] == b'\r' {
                match piece.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if let Some(event) = self.end_line(line) {
                take(event);
            }
        }
        self.check(piece.len() - at)?;
        self.line.extend_from_slice(&piece[at..]);
        Ok(())
    }

    /// The event ends here; none if it has no data. At the stream's end too: an event that lacks only its empty line is
    /// taken for whole, as clients do.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.data.take()
    }

    /// That so many bytes more are not too many.
    fn check(&self, more: usize) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + more > self.event_bytes_max {
            return Err(TooLong(self.event_bytes_max));
        }
        Ok(())
    }

    /// The line is complete; so may be the event.
    fn end_line(&mut self, mut line: Bytes) -> Option<Bytes> {
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line = line.slice(3..);
        }
        if line.is_empty() {
            return self.finish();
        }
        if line.starts_with(b"data") {
            match line.get(4..) {
                Some([b':', b' ', ..]) => self.data.add(line.slice(6..)),
                Some([b':', ..]) => self.data.add(line.slice(5..)),
                Some([]) => self.data.add(Bytes::new()),
                _ => {} // another field whose name begins so
            }
        }
        None
    }
}

/// The data of all events of a stream that came as one body.
pub fn events_of(body: &Bytes) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut parser = Parser::new(body.len());
    // No event is longer than all of them.
    let _ = parser.feed(body, |event| events.push(event));
    events.extend(parser.finish());
    events
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]], max: usize) -> Result<Vec<String>, TooLong> {
        let mut parser = Parser::new(max);
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(&Bytes::copy_from_slice(piece), |event| {
                events.push(String::from_utf8_lossy(&event).into_owned());
            })?;
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
                if parser.feed(&Bytes::copy_from_slice(piece), |event| assert!(event.len() <= 32)).is_err() {
                    break;
                }
                // Each data line adds its own end.
                prop_assert!(parser.line.len() + parser.data.len() <= 33);
            }
        }
    }
}
