//! Server-sent events, as they are written.

use bytes::{BufMut, Bytes, BytesMut};
use steward_answers::chat;
use steward_answers::sse::events_of;
use steward_answers::usage::Usage;

use crate::{Measured, Total};

/// A comment, so that the connection is not taken for dead: clients pass over it.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b": the model is at work\n\n");

/// What of an event goes on, in OpenAI's form: its usage only to those who `asked`.
pub(super) fn data_for(asked: bool, data: &Bytes, only_usage: bool, has_usage_field: bool) -> Option<Bytes> {
    match (asked, has_usage_field) {
        (false, _) if only_usage => None,
        (false, true) => Some(chat::without_usage(data).into()),
        _ => Some(data.clone()),
    }
}

/// What a stream says that came as a whole answer; `read` tells of one event what was used so far, and its bytes of generated text.
pub(super) fn measured(body: &Bytes, read: impl Fn(&Bytes) -> (Option<Usage>, u64)) -> Measured {
    let mut measured = Measured::default();
    for data in events_of(body) {
        let (usage, text_bytes) = read(&data);
        measured.usage = usage.map(|usage| usage.after(measured.usage)).or(measured.usage);
        measured.text_bytes += text_bytes;
    }
    measured
}

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

/// The end of a stream as OpenAI writes it: what was `held` back, the cost as a comment (clients pass over it), `[DONE]`.
pub(super) fn end(held: Option<Bytes>, total: &Total) -> Bytes {
    let mut last = BytesMut::new();
    if let Some(data) = held {
        put_event(&mut last, &data);
    }
    last.put_slice(format!(": x-steward-response-cost: {}\n", total.cost).as_bytes());
    if let Some(left) = total.budget_left {
        last.put_slice(format!(": x-steward-budget-remaining: {left}\n").as_bytes());
    }
    last.put_slice(b"\ndata: [DONE]\n\n");
    last.freeze()
}
