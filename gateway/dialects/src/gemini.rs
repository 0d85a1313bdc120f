//! Google's Gemini, as an upstream: `generateContent` and `streamGenerateContent`.

use bytes::Bytes;

use super::Recipient;
use super::canonical::{ReadsStream, Request, TranslatesUpstream, Whole};
use crate::error::Error;

mod answer;
mod call_id;
mod request;
mod usage;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gemini;

impl TranslatesUpstream for Gemini {
    fn write_request(&self, request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
        request::write(request, to.output_max)
    }

    fn read_whole(&self, body: &Bytes) -> Whole {
        answer::whole(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadsStream> {
        Box::<answer::Reader>::default()
    }
}
