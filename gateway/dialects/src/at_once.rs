//! Dialects of operations whose answers are never streamed.

use bytes::{Bytes, BytesMut};
use steward_events::event::Operation;

use super::{AnswerEvent, CutOff, Dialect, Makes, ModelRequest, Recipient, Speaks, WholeAnswer, sse};
use crate::Refused;
use crate::Total;
use crate::error::Error;

/// A [`Dialect`] whose answers come at once: its requests never ask for a stream, and an upstream's refusal teaches nothing
/// about it.
pub trait AnswersAtOnce: Send + Sync {
    /// As [`Dialect::operation`].
    fn operation(&self) -> Operation;

    /// As [`Dialect::makes`].
    fn makes(&self) -> Makes;

    /// As [`Dialect::is_spoken`].
    fn is_spoken(&self, upstream: Speaks) -> bool;

    /// As [`Dialect::read`]; of what it gives, `stream` is false.
    ///
    /// # Errors
    /// [`Error::BadRequest`] or [`Error::NoSuchModel`], in words for the caller.
    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error>;

    /// As [`Dialect::write`].
    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes;

    /// As [`Dialect::idle_fields`].
    fn idle_fields(&self, _request: &ModelRequest) -> Option<&'static [&'static str]> {
        None
    }

    /// As [`Dialect::read_answer`].
    fn read_answer(&self, body: &Bytes) -> WholeAnswer;

    /// As [`Dialect::media_type`].
    fn media_type(&self, _request: &ModelRequest) -> &'static str {
        "application/json"
    }
}

impl<D: AnswersAtOnce> Dialect for D {
    fn operation(&self) -> Operation {
        AnswersAtOnce::operation(self)
    }

    fn makes(&self) -> Makes {
        AnswersAtOnce::makes(self)
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        AnswersAtOnce::is_spoken(self, upstream)
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        AnswersAtOnce::read(self, body)
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        AnswersAtOnce::write(self, request, to)
    }

    fn idle_fields(&self, request: &ModelRequest) -> Option<&'static [&'static str]> {
        AnswersAtOnce::idle_fields(self, request)
    }

    fn otherwise(&self, _: &Refused, _: Speaks) -> Option<Speaks> {
        None
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        AnswersAtOnce::read_answer(self, body)
    }

    fn media_type(&self, request: &ModelRequest) -> &'static str {
        AnswersAtOnce::media_type(self, request)
    }

    // Nothing of what follows is asked for: no request wants a stream.

    fn read_event(&self, _: &ModelRequest, _: &Bytes) -> AnswerEvent {
        AnswerEvent::Unreadable
    }

    fn as_events(&self, answer: &Bytes) -> Vec<Bytes> {
        vec![answer.clone()]
    }

    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        sse::put_event(to, data);
    }

    fn keep_alive(&self) -> Bytes {
        Bytes::new()
    }

    fn cut_off(&self, _: &CutOff<'_>) -> Bytes {
        Bytes::new()
    }

    fn end(&self, held: Option<Bytes>, _: &Total) -> Bytes {
        held.unwrap_or_default()
    }
}
