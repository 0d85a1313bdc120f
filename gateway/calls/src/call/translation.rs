//! Between a caller and an upstream that speak differently: the request on its way out, and the answer on its way back, so
//! that all that reads answers here reads one dialect only, the caller's.

use std::future::ready;

use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::dialect::canonical::{Delta, Frame, ReadsStream, TranslatesCaller, TranslatesUpstream, Whole, WritesStream};
use crate::dialect::prompt::{mark, with_marks};
use crate::dialect::{Dialect, Error, ModelRequest, Recipient, Speaks};
use crate::upstream::{Cause, Failure, UpstreamAnswer, UpstreamEvents};

/// From a caller's dialect to an upstream's, and back.
#[derive(Clone, Copy)]
pub(super) struct Translation {
    caller: &'static dyn TranslatesCaller,
    upstream: &'static dyn TranslatesUpstream,
}

/// How a request is put to an upstream.
#[derive(Clone, Copy)]
pub(super) enum Put {
    /// As it is: both speak the same.
    Same,
    /// In the upstream's words.
    Translated(Translation),
}

impl Put {
    /// From `caller` to an upstream that speaks so; none if nobody can translate.
    pub(super) fn of(caller: &dyn Dialect, upstream: Speaks) -> Option<Self> {
        if caller.is_spoken(upstream) {
            return Some(Self::Same);
        }
        Some(Self::Translated(Translation { caller: caller.translates()?, upstream: upstream.translates()? }))
    }

    /// The request, as the upstream gets it; with `marks` for its prompt cache, if it is one that wants them.
    pub(super) fn write(
        self,
        caller: &dyn Dialect,
        request: &ModelRequest,
        to: &Recipient<'_>,
        marks: bool,
    ) -> Result<Bytes, Error> {
        match self {
            Self::Same if marks && matches!(to.speaks, Speaks::Anthropic { .. }) => {
                Ok(with_marks(caller.write(request, to)))
            }
            Self::Same => Ok(caller.write(request, to)),
            Self::Translated(between) => {
                let mut said = between.caller.read_request(request)?;
                if marks && matches!(to.speaks, Speaks::Anthropic { .. } | Speaks::BedrockConverse) {
                    mark(&mut said);
                }
                between.upstream.write_request(&said, to)
            }
        }
    }

    /// The answer, as the caller would have got it from an upstream of its own dialect.
    pub(super) fn read(self, answer: UpstreamAnswer, frame: impl FnOnce() -> Frame) -> Result<UpstreamAnswer, Failure> {
        let Self::Translated(between) = self else { return Ok(answer) };
        match answer {
            UpstreamAnswer::Stream(events) => Ok(UpstreamAnswer::Stream(between.stream(events, frame()))),
            UpstreamAnswer::Whole(body) => match between.upstream.read_whole(&body) {
                Whole::Answer(answer) => Ok(UpstreamAnswer::Whole(between.caller.write_whole(&answer, &frame()))),
                Whole::Problem(problem) => Err(Failure::instead_of_answer(problem)),
                Whole::Unreadable => Err(Failure::possibly(Cause::Broke("its answer cannot be read".to_owned()))),
            },
        }
    }
}

impl Translation {
    fn stream(self, events: UpstreamEvents, frame: Frame) -> UpstreamEvents {
        let (reader, writer) = (self.upstream.stream_reader(), self.caller.stream_writer(frame));
        let mut translating = Translating { reader, writer, is_broken: false };
        let end = stream::once(ready(None));
        events.map(Some).chain(end).flat_map(move |event| stream::iter(translating.next(event))).boxed()
    }
}

/// A stream on its way.
struct Translating {
    reader: Box<dyn ReadsStream>,
    writer: Box<dyn WritesStream>,
    /// True if something of it failed: then its end says nothing.
    is_broken: bool,
}

impl Translating {
    /// What the next event is to the caller; none at the end.
    fn next(&mut self, event: Option<Result<Bytes, Failure>>) -> Vec<Result<Bytes, Failure>> {
        let deltas = match event {
            Some(Ok(data)) => self.reader.read(&data),
            Some(Err(failure)) => return vec![self.broke(failure)],
            None if self.is_broken => return Vec::new(),
            None => self.reader.end(),
        };
        let mut events = Vec::new();
        for delta in deltas {
            if matches!(delta, Delta::Unreadable) {
                let why = Cause::Broke("a piece of its answer cannot be read".to_owned());
                events.push(self.broke(Failure::possibly(why)));
                break;
            }
            events.extend(self.writer.write(delta).into_iter().map(Ok));
        }
        events
    }

    fn broke(&mut self, failure: Failure) -> Result<Bytes, Failure> {
        self.is_broken = true;
        Err(failure)
    }
}
