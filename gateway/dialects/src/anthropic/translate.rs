//! Messages and the canonical form, each way.

use bytes::Bytes;

use super::Anthropic;
use crate::canonical::{
    Answer, Frame, ReadsStream, Request, TranslatesCaller, TranslatesUpstream, Whole, WritesStream,
};
use crate::error::Error;
use crate::{ModelRequest, Recipient};

mod answer;
mod content;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod upstream;
mod usage;

impl TranslatesCaller for Anthropic {
    fn read_request(&self, request: &ModelRequest) -> Result<Request, Error> {
        request::read(request)
    }

    fn write_whole(&self, answer: &Answer, frame: &Frame) -> Bytes {
        answer::write(answer, frame)
    }

    fn stream_writer(&self, frame: Frame) -> Box<dyn WritesStream> {
        Box::new(stream::Writer::new(frame))
    }
}

impl TranslatesUpstream for Anthropic {
    fn write_request(&self, request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
        upstream::write(request, to)
    }

    fn read_whole(&self, body: &Bytes) -> Whole {
        answer::read(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadsStream> {
        Box::new(stream::Reader::default())
    }
}
