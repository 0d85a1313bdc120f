//! The Converse API of AWS Bedrock, as an upstream: one form for the models of all makers.

use bytes::Bytes;

use super::Recipient;
use super::canonical::{ReadsStream, Request, TranslatesUpstream, Whole};
use crate::error::Error;

mod answer;
mod blocks;
mod request;
mod usage;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct BedrockConverse;

impl TranslatesUpstream for BedrockConverse {
    fn write_request(&self, request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error> {
        request::write(request, to)
    }

    fn read_whole(&self, body: &Bytes) -> Whole {
        answer::whole(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadsStream> {
        Box::<answer::Reader>::default()
    }
}
