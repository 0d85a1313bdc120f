//! A chat in no dialect: what all of them say, each in its own shape. Between unequal dialects a request, an answer and each
//! event of a stream go through these forms, so that one more dialect is two translations and not one for each other one.
//!
//! Nothing is lost silently. What a dialect says that has no place here, or that the other one cannot say, is refused by
//! name ([`Error::bad`]) before anything is sent.

use bytes::Bytes;
use serde_json::Number;
use serde_json::value::RawValue;
use steward_answers::problem::Problem;
use steward_answers::usage::Usage;

use super::{ModelRequest, Recipient};
use crate::error::Error;

/// A caller's dialect that can be translated: its requests to the canonical form, answers back into its own bytes.
pub trait TranslatesCaller: Send + Sync {
    /// A request of this dialect.
    ///
    /// # Errors
    /// [`Error::BadRequest`], naming the field that the canonical form has no place for, or that cannot be read.
    fn read_request(&self, request: &ModelRequest) -> Result<Request, Error>;

    /// The answer in this dialect.
    fn write_whole(&self, answer: &Answer, frame: &Frame) -> Bytes;

    /// Writes the events of one streamed answer.
    fn stream_writer(&self, frame: Frame) -> Box<dyn WritesStream>;
}

/// An upstream's dialect that can be translated: canonical requests into its own bytes, its answers to the canonical form.
pub trait TranslatesUpstream: Send + Sync {
    /// The request in this dialect, for `to`.
    ///
    /// # Errors
    /// [`Error::BadRequest`], naming what this dialect cannot say, in the canonical form's words.
    fn write_request(&self, request: &Request, to: &Recipient<'_>) -> Result<Bytes, Error>;

    /// A whole answer of this dialect.
    fn read_whole(&self, body: &Bytes) -> Whole;

    /// Reads the events of one streamed answer.
    fn stream_reader(&self) -> Box<dyn ReadsStream>;
}

/// Reads the events of one streamed answer, in their order.
pub trait ReadsStream: Send {
    /// What the data of one event says: nothing, one thing or several.
    fn read(&mut self, data: &Bytes) -> Vec<Delta>;

    /// What it says that the stream has ended without a failure: [`Delta::Done`] where no event of its own says so.
    fn end(&mut self) -> Vec<Delta> {
        Vec::new()
    }
}

/// Writes the events of one streamed answer, in their order.
pub trait WritesStream: Send {
    /// The data of the events that say so; none if that has no event of its own, or waits for what comes.
    fn write(&mut self, delta: Delta) -> Vec<Bytes>;
}

/// What an answer says of itself where the provider's does not.
#[derive(Clone, Debug)]
pub struct Frame {
    /// An id for it.
    pub id: String,
    /// The model, as the provider knows it.
    pub model: String,
    /// When it began, in seconds since 1970.
    pub created: u64,
}

/// A request for a chat.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What was said so far, in its order. Instructions may stand among them ([`Role::System`]).
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must, and what.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tools: Option<bool>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// How much chance there is.
    pub temperature: Option<Number>,
    /// Out of which part of what is likely a token is chosen.
    pub top_p: Option<Number>,
    /// Out of how many likely ones.
    pub top_k: Option<u64>,
    /// What chance begins with.
    pub seed: Option<i64>,
    /// How much what was often said is avoided.
    pub frequency_penalty: Option<Number>,
    /// How much what was said is avoided.
    pub presence_penalty: Option<Number>,
    /// How much the model thinks before it answers.
    pub thinking: Option<Thinking>,
    /// In which form it answers.
    pub format: Option<Format>,
    /// Who is behind the caller, as the caller says it.
    pub user: Option<String>,
    /// How many answers.
    pub choices: u64,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who instructs.
    System,
    /// Who asks, or answers for a tool.
    User,
    /// The model.
    Assistant,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// Who that is, if it has a name.
    pub name: Option<String>,
    /// What, in parts.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub content: Content,
    /// True if the provider is to remember what stands up to here for calls to come.
    pub cache_until_here: Option<CacheFor>,
}

/// How long a provider is to remember what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFor {
    /// For its usual, short time.
    Short,
    /// For an hour.
    Hour,
}

/// What a part of a message is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(Source),
    /// A document, and what it is called.
    Document(Source, Option<String>),
    /// Sound.
    Audio(Source),
    /// The model calls a tool.
    ToolUse(ToolUse),
    /// What a tool answered.
    ToolResult {
        /// Whose call that was.
        id: String,
        /// What it answered.
        parts: Vec<Part>,
        /// True if the tool failed.
        is_error: bool,
    },
    /// What the model thought, and its provider's proof of it.
    Thinking {
        /// Its words.
        text: String,
        /// What its provider signed.
        signature: Option<String>,
    },
    /// What the model thought, as only its provider can read it.
    HiddenThinking(String),
    /// Why the model does not answer.
    Refusal(String),
}

/// Where an image, a document or sound is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Here, in base64.
    Data {
        /// What it is, e.g. `image/png`.
        media_type: String,
        /// In base64.
        data: String,
    },
    /// At an address.
    Url(String),
    /// With the provider, by this id.
    Id(String),
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// What it takes: a JSON Schema.
    pub parameters: Option<Box<RawValue>>,
    /// Whether the model must keep to that.
    pub strict: Option<bool>,
    /// As [`Part::cache_until_here`].
    pub cache_until_here: Option<CacheFor>,
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// No.
    Never,
    /// Any.
    Any,
    /// This one.
    Named(String),
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct ToolUse {
    /// Its id, which the result names.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is given: a JSON object, as text that the model wrote. May be no JSON, if the model erred.
    pub input: String,
}

/// How much a model thinks before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Not at all.
    Off,
    /// As the model sees fit.
    Adaptive,
    /// So much: `minimal`, `low`, `medium`, `high` or another of the provider's words.
    Effort(String),
    /// At most so many tokens.
    Tokens(u64),
}

/// In which form a model answers.
#[derive(Clone, Debug)]
pub enum Format {
    /// Some JSON object.
    Json,
    /// JSON of this schema.
    Schema {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// A JSON Schema.
        schema: Box<RawValue>,
        /// Whether the model must keep to it.
        strict: Option<bool>,
    },
}

/// What a body says that came as a whole answer.
#[derive(Clone, Debug)]
pub enum Whole {
    /// It is one.
    Answer(Answer),
    /// It tells what went wrong instead.
    Problem(Problem),
    /// It cannot be read.
    Unreadable,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its id, if the provider gave one.
    pub id: Option<String>,
    /// The model, as the provider knows it.
    pub model: Option<String>,
    /// One answer for each that was asked for.
    pub choices: Vec<Choice>,
    /// What was used, as far as the provider said so.
    pub usage: Option<Usage>,
}

/// One of the answers.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What the model says.
    pub parts: Vec<Content>,
    /// Why it ends; none if the provider does not say.
    pub end: Option<End>,
}

/// Why an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All is said.
    Stop,
    /// At this text of [`Request::stop`].
    StopText(String),
    /// It may not be longer.
    Length,
    /// The model calls tools.
    ToolUse,
    /// The provider holds it back.
    Filtered,
    /// The model will not answer.
    Refusal,
    /// For now: the provider works on when it is asked again.
    Pause,
}

/// What an event of a streamed answer says.
#[derive(Clone, Debug)]
pub enum Delta {
    /// The answer begins.
    Begins {
        /// Its id, if the provider gives one.
        id: Option<String>,
        /// The model, as the provider knows it.
        model: Option<String>,
    },
    /// More text of this choice.
    Text(u64, String),
    /// More of what the model thinks.
    Thinking(u64, String),
    /// The provider's proof of what the model thought.
    Signature(u64, String),
    /// What the model thought, as only its provider can read it.
    HiddenThinking(u64, String),
    /// More of why the model does not answer.
    Refusal(u64, String),
    /// This choice calls a tool; what it is given follows.
    ToolBegins {
        /// The choice.
        choice: u64,
        /// The number of this call in it, from 0.
        number: u64,
        /// Its id.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of what a tool is given.
    ToolInput {
        /// The choice.
        choice: u64,
        /// The number of the call in it, from 0.
        number: u64,
        /// A piece of JSON.
        text: String,
    },
    /// This choice ends.
    Ends(u64, End),
    /// What was used so far, or in all.
    Usage(Usage),
    /// The answer is whole.
    Done,
    /// The provider failed after it began.
    Failed(Problem),
    /// The event cannot be read.
    Unreadable,
}
