//! An answer's body as it comes: waited for no longer than allowed, unpacked, whole or event by event.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use steward_answers::chat;
use steward_answers::sse::Parser;
use steward_calls::upstream::{Cause, Failure};
use tokio::time::Instant;

use crate::coding::Unpacking;
use crate::http::Incoming;
use crate::http1::Next;

/// Bytes that show how a body begins.
const BEGINNING_BYTES: usize = 8;

/// A body that comes.
pub(crate) struct Reading {
    incoming: Incoming,
    unpacking: Unpacking,
    idle_max: Duration,
    ends: Instant,
    /// What came and is not unpacked yet.
    packed: Bytes,
    /// What was read to see how it begins.
    begun: Option<Bytes>,
}

impl Reading {
    /// With at most `idle_max` between two pieces, and no longer than to `ends`.
    pub(crate) const fn new(incoming: Incoming, unpacking: Unpacking, idle_max: Duration, ends: Instant) -> Self {
        Self { incoming, unpacking, idle_max, ends, packed: Bytes::new(), begun: None }
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(begun) = self.begun.take() {
            return Ok(Some(begun));
        }
        loop {
            while !self.packed.is_empty() {
                let unpacked = self.unpacking.unpack(&mut self.packed);
                let unpacked = unpacked.map_err(|broken| Failure::possibly(Cause::Broke(broken.to_string())))?;
                if !unpacked.is_empty() {
                    return Ok(Some(unpacked));
                }
            }
            // Most of it is there when it is asked for, and then nothing is timed.
            let next = match self.incoming.next_read()? {
                Next::Piece(piece) => Some(piece),
                Next::End => None,
                Next::More => self.wait().await?,
            };
            let Some(piece) = next else { return Ok(None) };
            self.packed = piece;
        }
    }

    async fn wait(&mut self) -> Result<Option<Bytes>, Failure> {
        let until = self.ends.min(Instant::now() + self.idle_max);
        match tokio::time::timeout_at(until, self.incoming.next()).await {
            Ok(next) => next,
            Err(_) if until == self.ends => Err(Failure::possibly(Cause::TimedOut("its answer took too long"))),
            Err(_) => Err(Failure::possibly(Cause::TimedOut("its answer stalled"))),
        }
    }

    /// Whether the body begins like a stream of events. Nothing of it is lost.
    pub(crate) async fn begins_like_a_stream(&mut self) -> Result<bool, Failure> {
        let mut begun = BytesMut::new();
        while begun.trim_ascii_start().len() < BEGINNING_BYTES {
            let Some(piece) = self.next().await? else { break };
            begun.extend_from_slice(&piece);
        }
        let is_streamed = chat::is_streamed(&begun);
        self.begun = Some(begun.freeze()).filter(|begun| !begun.is_empty());
        Ok(is_streamed)
    }

    /// All of it.
    pub(crate) async fn whole(mut self, bytes_max: usize) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > bytes_max {
                return Err(Failure::possibly(Cause::Broke(format!("an answer of more than {bytes_max} bytes"))));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Its beginning, as far as it comes.
    pub(crate) async fn beginning(mut self, bytes_max: usize) -> Bytes {
        let mut body = BytesMut::new();
        while body.len() < bytes_max
            && let Ok(Some(piece)) = self.next().await
        {
            body.extend_from_slice(&piece);
        }
        body.truncate(bytes_max);
        body.freeze()
    }

    /// Event by event, until the body ends or something breaks; what was complete before the break comes first. A body that
    /// is no stream is one event.
    pub(crate) fn events(self, event_bytes_max: usize) -> impl Stream<Item = Result<Bytes, Failure>> {
        let events = Events { reading: self, form: Form::Unknown, event_bytes_max, ready: VecDeque::new(), end: None };
        stream::unfold(events, |mut events| async move {
            loop {
                if let Some(event) = events.ready.pop_front() {
                    return Some((Ok(event), events));
                }
                match events.end.replace(Ok(())) {
                    Some(Ok(())) => return None,
                    Some(Err(failure)) => return Some((Err(failure), events)),
                    None => events.end = events.read().await,
                }
            }
        })
    }
}

struct Events {
    reading: Reading,
    form: Form,
    event_bytes_max: usize,
    ready: VecDeque<Bytes>,
    /// Nothing more is read: the body ended, or this broke it.
    end: Option<Result<(), Failure>>,
}

/// What a body turns out to be.
enum Form {
    Unknown,
    Stream(Parser),
    Whole(BytesMut),
}

impl Events {
    /// Takes in a piece; says how the body ended if it did.
    async fn read(&mut self) -> Option<Result<(), Failure>> {
        let piece = match self.reading.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                match std::mem::replace(&mut self.form, Form::Unknown) {
                    Form::Unknown => {}
                    Form::Stream(mut parser) => self.ready.extend(parser.finish()),
                    Form::Whole(body) => self.ready.push_back(body.freeze()),
                }
                return Some(Ok(()));
            }
            Err(failure) => return Some(Err(failure)),
        };
        if let Form::Unknown = &self.form {
            self.form = match piece.trim_ascii_start().first() {
                Some(b'{') => Form::Whole(BytesMut::new()),
                Some(_) => Form::Stream(Parser::new(self.event_bytes_max)),
                None => return None,
            };
        }
        let fed = match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Stream(parser) => {
                parser.feed(&piece, |event| self.ready.push_back(event)).map_err(|error| error.to_string())
            }
            Form::Whole(body) if body.len() + piece.len() > self.event_bytes_max => {
                Err(format!("an answer of more than {} bytes", self.event_bytes_max))
            }
            Form::Whole(body) => {
                body.extend_from_slice(&piece);
                Ok(())
            }
        };
        fed.err().map(|why| Err(Failure::possibly(Cause::Broke(why))))
    }
}
