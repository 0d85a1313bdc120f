//! Between the Responses API and the canonical form: for callers whose model is somewhere that has no such API, and for
//! callers of another dialect whose model is only here.
//!
//! Nothing is kept between calls, so what builds on a kept response, or runs at a provider, is refused by name.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::OpenAiResponses;
use crate::canonical::{
    Answer, Frame, ReadsStream, Request, TranslatesCaller, TranslatesUpstream, Whole, WritesStream,
};
use crate::error::Error;
use crate::{Fields, ModelRequest, Recipient};

mod ask;
mod events;
mod input;
mod items;
mod request;
mod stream;
mod thoughts;
mod usage;
mod whole;

impl TranslatesCaller for OpenAiResponses {
    fn read_request(&self, request: &ModelRequest) -> Result<Request, Error> {
        request::read(request)
    }

    fn write_whole(&self, answer: &Answer, frame: &Frame) -> Bytes {
        whole::write(answer, frame)
    }

    fn stream_writer(&self, frame: Frame) -> Box<dyn WritesStream> {
        Box::new(stream::Writer::new(frame))
    }
}

impl TranslatesUpstream for OpenAiResponses {
    fn write_request(&self, request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
        ask::write(request, to)
    }

    fn read_whole(&self, body: &Bytes) -> Whole {
        whole::read(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadsStream> {
        Box::<events::Reader>::default()
    }
}

/// The objects of a list, each as it stands there.
fn objects(list: &Bytes) -> Result<Vec<Fields>, serde_json::Error> {
    let items: Vec<&RawValue> = serde_json::from_slice(list)?;
    items.into_iter().map(|item| Fields::read(&list.slice_ref(item.get().as_bytes()))).collect()
}
