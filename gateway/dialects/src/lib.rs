//! What the pipeline asks of the language that a caller speaks: of a request and of an answer. One dialect a folder.
//!
//! Where the upstream speaks the same, bytes pass through untouched but for what must change. A dialect must not know
//! callers, budgets or routes.

use bytes::{Bytes, BytesMut};
pub use steward_answers::chat::ChoicePiece;
use steward_answers::problem::Problem;
use steward_answers::usage::Usage;
use steward_events::event::Operation;
use steward_events::id::{CorrelationId, ModelId};
use steward_events::quantity::NanoDollars;

pub mod anthropic;
mod at_once;
mod bedrock;
pub mod canonical;
mod demands;
mod error;
mod fields;
mod gemini;
mod object;
mod openai_body;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_embeddings;
pub mod openai_images;
pub mod openai_moderations;
pub mod openai_responses;
pub mod openai_speech;
pub mod prompt;
mod question;
mod refused;
mod said;
mod sse;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod texts;
mod turns;

use anthropic::{Anthropic, EffortForm};
pub use at_once::AnswersAtOnce;
use canonical::{TranslatesCaller, TranslatesUpstream};
pub use demands::Demands;
pub use error::Error;
pub use fields::Fields;
pub use openai_body::naming;
use openai_chat::{LimitField, OpenAiChat};
use openai_responses::OpenAiResponses;
pub use question::Question;
pub use refused::Refused;
pub use said::texts;

/// What a call came to, once its end is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    /// What it cost.
    pub cost: NanoDollars,
    /// What is left of the tightest budget in money, if there is one.
    pub budget_left: Option<NanoDollars>,
}

/// Fields of any dialect that name what a provider keeps from earlier calls.
const KEPT: [&str; 4] = ["previous_response_id", "conversation", "container", "thread"];
/// Fields for what was said before, within which that may be named too.
const SAID_BEFORE: [&str; 2] = ["input", "messages"];

/// A language of model calls.
pub trait Dialect: Send + Sync {
    /// What its requests ask for.
    fn operation(&self) -> Operation;

    /// What the model makes of its requests, as far as that is counted.
    fn makes(&self) -> Makes {
        Makes::Text
    }

    /// True if an upstream that speaks so speaks this very dialect.
    fn is_spoken(&self, upstream: Speaks) -> bool;

    /// How it is translated, if it can be.
    fn translates(&self) -> Option<&'static dyn TranslatesCaller> {
        None
    }

    /// Reads a request. What is not understood passes through, and counts.
    ///
    /// # Errors
    /// [`Error::BadRequest`] or [`Error::NoSuchModel`], in words for the caller.
    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error>;

    /// The request as an upstream of the same dialect gets it.
    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes;

    /// The fields of `request` on which its answer does not depend, and which its answer does not repeat; none if no other
    /// call's answer may be given to it, because it asks for more than an answer: something is to be kept. Whether the
    /// request says all that it asks is another question: [`ModelRequest::stands_alone`].
    fn idle_fields(&self, _request: &ModelRequest) -> Option<&'static [&'static str]> {
        None
    }

    /// The question that the request asks, if it asks for nothing but some text about it.
    fn question(&self, _request: &ModelRequest) -> Option<Question> {
        None
    }

    /// How to speak with an upstream that would not take what was written for `spoken`; none if that is not what it says.
    fn otherwise(&self, refused: &Refused, spoken: Speaks) -> Option<Speaks>;

    /// The field by which the request builds on what one provider keeps, so that no other can answer it; none if it does not.
    fn builds_on(&self, request: &ModelRequest) -> Option<&'static str> {
        let is_said = |field: &&str| request.body.get(field).is_some_and(|value| &**value != b"null");
        let within = || SAID_BEFORE.iter().copied().find(is_said).filter(|_| request.size.names_kept);
        KEPT.iter().copied().find(is_said).or_else(within)
    }

    /// Reads a whole answer, as far as it must be understood.
    fn read_answer(&self, body: &Bytes) -> WholeAnswer;

    /// What the whole answer to `request` is, as `Content-Type` names it.
    fn media_type(&self, _request: &ModelRequest) -> &'static str {
        "application/json"
    }

    /// Reads the data of one event of a streamed answer.
    fn read_event(&self, request: &ModelRequest, data: &Bytes) -> AnswerEvent;

    /// The data of the events as which a whole answer is streamed.
    fn as_events(&self, answer: &Bytes) -> Vec<Bytes>;

    /// Adds an event with this data to what goes to the caller.
    fn put_event(&self, to: &mut BytesMut, data: &[u8]);

    /// What goes to the caller so that the connection is not taken for dead: no event.
    fn keep_alive(&self) -> Bytes;

    /// The data of the event that says, as a provider would, that the answer ends here for its length.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes;

    /// The last bytes of a stream that ended well: what was `held` back for the end, and what the call came to.
    fn end(&self, held: Option<Bytes>, total: &Total) -> Bytes;
}

/// What a model makes of a request, as far as that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// Output in tokens, which the request can limit.
    Text,
    /// Nothing: only what the model reads counts.
    Nothing,
    /// As many images as there are choices, perhaps counted in tokens too. Nothing limits these but the model's own bound.
    Images,
    /// Sound, of which no provider says how much it is. What it is made of counts: a character of text is a token here.
    Sound,
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

impl ModelRequest {
    /// True if all that the model is given stands in the request: no file or earlier answer by its name, nothing that the
    /// provider looks for. Else two requests that read the same may ask for different things.
    pub const fn stands_alone(&self) -> bool {
        let RequestSize { reads_elsewhere, names_kept, searches, .. } = self.size;
        !(reads_elsewhere || names_kept || searches)
    }
}

/// What is to be counted, and not sent.
pub struct ToCount {
    /// The model.
    pub model: ModelId,
    /// How many messages.
    pub messages: u64,
    /// Bytes of all that the model reads, names and signs around it included.
    pub bytes: u64,
    /// The whole body.
    pub body: Fields,
}

impl From<ModelRequest> for ToCount {
    fn from(ModelRequest { model, size, body, .. }: ModelRequest) -> Self {
        Self { model, messages: size.messages, bytes: size.read_bytes(), body }
    }
}

/// How many tokens a request can be worth at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of the whole body.
    pub bytes: u64,
    /// How many messages.
    pub messages: u64,
    /// Tokens of all messages.
    pub message_tokens: u64,
    /// Texts beside the first that the model reads each for itself, so that its context bounds each alone.
    pub further_texts: u64,
    /// Tokens of each part around which a provider may write words of its own: tools, formats, what nobody here knows.
    pub tooling_tokens: Vec<u64>,
    /// Tokens of all else that is not known to be a setting.
    pub other_tokens: u64,
    /// Tokens that may count as output too, beside what is limited: a prediction that does not come true.
    pub output_tokens: u64,
    /// True if the model may be given what does not stand in the request: a file by its id or address, what a search
    /// finds. Then only the model's context bounds the input.
    pub reads_elsewhere: bool,
    /// True if what was said before is named, not said: the provider kept it from another call.
    pub names_kept: bool,
    /// True if the provider may search for it.
    pub searches: bool,
}

impl RequestSize {
    /// Bytes of all that the model reads.
    fn read_bytes(&self) -> u64 {
        let with_tooling = self.tooling_tokens.iter().fold(self.message_tokens, |sum, part| sum.saturating_add(*part));
        with_tooling.saturating_add(self.other_tokens)
    }
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
        /// The field that limits the output.
        limit_field: LimitField,
        /// True if it knows no other: then also a caller's own is written so.
        only_that: bool,
        /// Whether it knows `stream_options`, by which a stream is asked to tell its usage.
        stream_options: bool,
    },
    /// OpenAI's responses.
    OpenAiResponses,
    /// Google's `generateContent` and `streamGenerateContent`.
    Gemini,
    /// The Converse API of AWS Bedrock. An event of its streams is an object with one field: its type, and what it says.
    BedrockConverse,
    /// Anthropic's messages.
    Anthropic {
        /// How its model is told how much to think.
        effort: EffortForm,
    },
    /// OpenAI's completions of texts.
    OpenAiCompletions {
        /// Whether it knows `stream_options`.
        stream_options: bool,
    },
    /// OpenAI's embeddings.
    OpenAiEmbeddings,
    /// OpenAI's moderations.
    OpenAiModerations,
    /// OpenAI's images.
    OpenAiImages,
    /// OpenAI's speech from text.
    OpenAiSpeech,
}

impl Speaks {
    /// How it is translated, if it can be.
    #[allow(clippy::unnecessary_wraps)] // so far all can be
    pub const fn translates(self) -> Option<&'static dyn TranslatesUpstream> {
        match self {
            Self::OpenAiChat { .. } => Some(&OpenAiChat),
            Self::OpenAiResponses => Some(&OpenAiResponses),
            Self::Anthropic { .. } => Some(&Anthropic),
            Self::Gemini => Some(&gemini::Gemini),
            Self::BedrockConverse => Some(&bedrock::BedrockConverse),
            Self::OpenAiCompletions { .. }
            | Self::OpenAiEmbeddings
            | Self::OpenAiModerations
            | Self::OpenAiImages
            | Self::OpenAiSpeech => None,
        }
    }

    /// How to speak with an upstream that would not take what was written for this.
    pub fn otherwise(self, refused: &Refused) -> Option<Self> {
        match self {
            Self::OpenAiChat { .. } => openai_chat::otherwise(refused, self),
            Self::OpenAiResponses => openai_responses::otherwise(refused),
            Self::Anthropic { effort } => anthropic::otherwise(refused, effort),
            Self::Gemini
            | Self::BedrockConverse
            | Self::OpenAiCompletions { .. }
            | Self::OpenAiEmbeddings
            | Self::OpenAiModerations
            | Self::OpenAiImages
            | Self::OpenAiSpeech => None,
        }
    }
}

/// What a body says that came as a whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WholeAnswer {
    /// It is one.
    Good(Measured),
    /// It tells what went wrong instead.
    Problem(Problem),
    /// It cannot be passed on, but tells perhaps what was used.
    Unusable(Measured, &'static str),
}

/// What a whole answer says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// What was used, as far as the provider said so.
    pub usage: Option<Usage>,
    /// Bytes of generated text, to estimate by where the provider did not say.
    pub text_bytes: u64,
}

/// One event of a streamed answer.
#[derive(Debug)]
pub enum AnswerEvent {
    /// It says nothing.
    Nothing,
    /// The provider says that the answer is whole.
    Done,
    /// The provider failed after it began.
    Failed(Problem),
    /// The answer came at once: what its events would have been.
    Several(Vec<Bytes>),
    /// Something of the answer.
    Piece {
        /// What to pass on; none if it only says what the caller did not ask for.
        data: Option<Bytes>,
        /// What was used so far or in all, as far as it says so.
        usage: Option<Usage>,
        /// True if it holds no choice: the report of usage at the end.
        only_usage: bool,
        /// Bytes of generated text.
        text_bytes: u64,
        /// The choices of which it holds something, and whether each ended here.
        choices: Vec<ChoicePiece>,
    },
    /// The event that ends the answer, and what was used in all. It is passed on when the end is recorded.
    Last {
        /// What to pass on.
        data: Bytes,
        /// What was used, as far as it says so.
        usage: Option<Usage>,
    },
    /// It is no event.
    Unreadable,
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
    /// After which event.
    pub after: &'a [u8],
    /// Output tokens that are charged.
    pub output: u64,
}
