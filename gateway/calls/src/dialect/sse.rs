//! Server-sent events, as they are written.

use bytes::{BufMut, BytesMut};

/// Adds an event with this data.
pub(super) fn put_event(to: &mut BytesMut, data: &[u8]) {
    to.reserve(data.len() + 8);
    for line in data.split(|b| *b == b'\n') {
        to.put_slice(b"data: ");
        to.put_slice(line);
        to.put_u8(b'\n');
    }
    to.put_u8(b'\n');
}
