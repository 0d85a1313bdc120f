//! Streams of AWS: binary messages with checksums. Each becomes one event, an object with one field: its type, and what it says.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use serde_json::{Map, Value, json};
use steward_calls::upstream::{Cause, Failure};

use crate::reading::Reading;

/// Event by event, until the body ends or something breaks.
pub(super) fn events(reading: Reading, event_bytes_max: usize) -> impl Stream<Item = Result<Bytes, Failure>> {
    let frames = Frames::new(event_bytes_max);
    stream::unfold(Some((reading, frames)), |reading| async move {
        let (mut reading, mut frames) = reading?;
        match next(&mut reading, &mut frames).await {
            Ok(Some(event)) => Some((Ok(event), Some((reading, frames)))),
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
        }
    })
}

async fn next(reading: &mut Reading, frames: &mut Frames) -> Result<Option<Bytes>, Failure> {
    loop {
        if let Some(event) = frames.next().map_err(broke)? {
            return Ok(Some(event));
        }
        match reading.next().await? {
            Some(piece) => frames.feed(&piece),
            None if frames.is_open => return Err(broke("its answer ended within an event")),
            None => return Ok(None),
        }
    }
}

fn broke(why: impl Into<String>) -> Failure {
    Failure::possibly(Cause::Broke(why.into()))
}

/// Messages, as their bytes come.
struct Frames {
    decoder: MessageFrameDecoder,
    buffer: BytesMut,
    event_bytes_max: usize,
    /// True within a message.
    is_open: bool,
}

impl Frames {
    fn new(event_bytes_max: usize) -> Self {
        Self { decoder: MessageFrameDecoder::new(), buffer: BytesMut::new(), event_bytes_max, is_open: false }
    }

    fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
        self.is_open |= !piece.is_empty();
    }

    /// The next event that is whole.
    fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = self.decoder.decode_frame(&mut self.buffer);
            let message = match frame.map_err(|error| format!("its stream cannot be read: {error}"))? {
                DecodedFrame::Complete(message) => message,
                DecodedFrame::Incomplete if self.buffer.len() > self.event_bytes_max => {
                    return Err(format!("an event of more than {} bytes", self.event_bytes_max));
                }
                DecodedFrame::Incomplete => return Ok(None),
            };
            self.is_open = !self.buffer.is_empty();
            let header = |name: &str| {
                let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
                let value = header.value().as_string().ok()?;
                Some(value.as_str())
            };
            let kind = match header(":message-type") {
                Some("event") => header(":event-type"),
                Some("exception") => header(":exception-type"),
                Some("error") => {
                    let problem = json!({ "code": header(":error-code"), "message": header(":error-message") });
                    return Ok(Some(Bytes::from(json!({ "error": problem }).to_string())));
                }
                // One that says nothing to us.
                _ => continue,
            };
            return Ok(Some(event(kind.unwrap_or_default(), message.payload())));
        }
    }
}

fn event(kind: &str, payload: &[u8]) -> Bytes {
    let said: Value = serde_json::from_slice(payload).unwrap_or_default();
    Bytes::from(Value::Object(Map::from_iter([(kind.to_owned(), said)])).to_string())
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::*;

    fn message(headers: &[(&'static str, &'static str)], payload: &'static str) -> Vec<u8> {
        let mut message = Message::new(payload.as_bytes());
        for (name, value) in headers {
            message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
        }
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn stream() -> Vec<u8> {
        let text = message(
            &[(":message-type", "event"), (":event-type", "contentBlockDelta"), (":content-type", "application/json")],
            r#"{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abc"}"#,
        );
        let unknown = message(&[(":message-type", "weather")], "{}");
        let exception = message(
            &[(":message-type", "exception"), (":exception-type", "throttlingException")],
            r#"{"message":"too much"}"#,
        );
        let error =
            message(&[(":message-type", "error"), (":error-code", "Internal"), (":error-message", "sorry")], "");
        [text, unknown, exception, error].concat()
    }

    /// The events of what comes in pieces of this size, and whether it ended between two.
    fn events_of(bytes: &[u8], step: usize, event_bytes_max: usize) -> Result<(Vec<String>, bool), String> {
        let (mut frames, mut events) = (Frames::new(event_bytes_max), Vec::new());
        for piece in bytes.chunks(step) {
            frames.feed(piece);
            while let Some(event) = frames.next()? {
                events.push(String::from_utf8(event.to_vec()).unwrap());
            }
        }
        Ok((events, !frames.is_open))
    }

    #[test]
    fn events_are_read_however_they_come() {
        for step in [1, 7, 10_000] {
            let (events, is_whole) = events_of(&stream(), step, 1_000).unwrap();
            assert_eq!(
                events,
                [
                    r#"{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abc"}}"#,
                    r#"{"throttlingException":{"message":"too much"}}"#,
                    r#"{"error":{"code":"Internal","message":"sorry"}}"#,
                ]
            );
            assert!(is_whole);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_whole() {
        let bytes = stream();
        for length in [1, 11, 12, 13, bytes.len() - 1] {
            assert!(!events_of(&bytes[..length], 5, 1_000).unwrap().1, "{length}");
        }
    }

    #[test]
    fn an_event_may_have_so_many_bytes() {
        let bytes =
            message(&[(":message-type", "event"), (":event-type", "metadata")], r#"{"a":"bbbbbbbbbbbbbbbbbbbbb"}"#);
        // The first twelve bytes are taken when they come.
        assert!(events_of(&bytes, 1, bytes.len() - 12).is_ok());
        assert!(events_of(&bytes, 1, bytes.len() - 14).unwrap_err().contains("an event of more than"));
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let bytes = message(&[(":message-type", "event"), (":event-type", "metadata")], "{}");
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let read = events_of(&bytes, 1_000, 1_000);
            assert!(!matches!(read, Ok((events, true)) if !events.is_empty()), "byte {place}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..20) {
            let _ = events_of(&bytes, step, 100);
        }

        #[test]
        fn no_headers_make_it_panic(headers in prop::collection::vec(any::<u8>(), 0..40)) {
            let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
            let mut bytes = [length(16 + headers.len()), length(headers.len())].concat();
            bytes.extend(crc(&bytes).to_be_bytes());
            bytes.extend(headers);
            bytes.extend(crc(&bytes).to_be_bytes());
            let _ = events_of(&bytes, 7, 100);
        }
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }
}
