//! What the pipeline asks of the language that a caller speaks: of a request and of an answer. One dialect a folder.
//!
//! Where the upstream speaks the same, bytes pass through untouched but for what must change. A dialect must not know
//! callers, budgets or routes.

use bytes::{Bytes, BytesMut};
use steward_events::event::TokenUsage;
use steward_events::id::{CorrelationId, ModelId};

use crate::error::Error;
use crate::settled::Settled;

mod fields;
pub mod openai_chat;
mod sse;

pub use fields::Fields;
use openai_chat::LimitField;

/// What is not JSON, or not the JSON that was expected.
pub type Unreadable = serde_json::Error;

/// A language of model calls.
pub trait Dialect: Send + Sync {
    /// Reads a request. What is not understood passes through.
    ///
    /// # Errors
    /// [`Error::BadRequest`] or [`Error::NoSuchModel`], in words for the caller.
    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error>;

    /// The request as an upstream gets it.
    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes;

    /// Reads a whole answer, as far as it must be understood.
    ///
    /// # Errors
    /// If it is no answer.
    fn read_answer(&self, body: &[u8]) -> Result<Measured, Unreadable>;

    /// Reads the data of one event of a streamed answer.
    ///
    /// # Errors
    /// If it is no event.
    fn read_event(&self, request: &ModelRequest, data: &Bytes) -> Result<AnswerEvent, Unreadable>;

    /// Adds an event with this data to what goes to the caller.
    fn put_event(&self, to: &mut BytesMut, data: &[u8]);

    /// The data of the event that says, as a provider would, that the answer ends here for its length.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes;

    /// The last bytes of a stream that ended well: what was `held` back for the end, and what the call came to.
    fn end(&self, held: Option<Bytes>, settled: &Settled) -> Bytes;
}

/// A request, as far as it must be understood.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The model, as the caller names it.
    pub model: ModelId,
    /// The most output tokens of one choice, if the caller says so.
    pub output_limit: Option<u64>,
    /// How many choices.
    pub choices: u64,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the stream is to say at its end what was used.
    pub include_usage: bool,
    /// How large it is.
    pub size: RequestSize,
    /// The whole body, as it came.
    pub body: Fields,
}

/// How many tokens a request can be worth at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// How many messages.
    pub messages: u64,
    /// Tokens of all messages.
    pub message_tokens: u64,
    /// Tokens of each part that explains tools or a format to the model.
    pub tooling_tokens: Vec<u64>,
}

/// An upstream, as far as a request is written for it.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// What it speaks.
    pub speaks: Speaks,
    /// Its own name of the model.
    pub model: &'a str,
    /// The most output tokens of one choice that were reserved.
    pub output_max: u64,
}

/// What an upstream speaks. Each dialect says how its requests are written for each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// OpenAI's chat completions.
    OpenAiChat {
        /// The field that limits the output, where the caller named none.
        limit_field: LimitField,
    },
}

/// What a whole answer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What was used, if the provider said so.
    pub usage: Option<TokenUsage>,
    /// Bytes of generated text, to estimate by where the provider did not say.
    pub text_bytes: u64,
}

/// One event of a streamed answer.
#[derive(Debug)]
pub enum AnswerEvent {
    /// The provider says that the answer is whole.
    Done,
    /// The provider failed after it began.
    Failed {
        /// In its own words.
        message: String,
    },
    /// Something of the answer.
    Piece {
        /// What to pass on; none if it only says what the caller did not ask for.
        data: Option<Bytes>,
        /// What was used so far or in all, if it says so.
        usage: Option<TokenUsage>,
        /// True if it holds no choice: the report of usage at the end.
        only_usage: bool,
        /// Bytes of generated text.
        text_bytes: u64,
        /// True if a choice ended here.
        finished: bool,
    },
}

/// An answer that is cut off because its reservation is used up.
#[derive(Clone, Copy, Debug)]
pub struct CutOff<'a> {
    /// The caller's request.
    pub request: &'a CorrelationId,
    /// The model, as the caller names it.
    pub model: &'a ModelId,
    /// When, in seconds since 1970.
    pub at: u64,
}
