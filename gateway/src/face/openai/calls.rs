//! The paths on which models are called, each in its dialect. One more is a line here.

use serde_json::Value;
use steward_calls::dialect::Dialect;
use steward_calls::dialect::openai_chat::OpenAiChat;
use steward_calls::dialect::openai_completions::OpenAiCompletions;
use steward_calls::dialect::openai_embeddings::OpenAiEmbeddings;
use steward_calls::dialect::openai_images::OpenAiImages;
use steward_calls::dialect::openai_moderations::OpenAiModerations;
use steward_calls::dialect::openai_responses::OpenAiResponses;
use steward_calls::dialect::openai_speech::OpenAiSpeech;

use super::responses;

/// One of them.
pub(super) struct ModelCall {
    /// Below the face's root.
    pub(super) path: &'static str,
    /// How its callers speak.
    pub(super) dialect: &'static dyn Dialect,
    /// What it is for.
    pub(super) summary: &'static str,
    /// The field that a body must have beside `model`.
    pub(super) required: &'static str,
    /// True if Azure has it below a deployment.
    pub(super) deployed: bool,
    /// What the last event of a stream says that failed, made of the body of a refusal.
    pub(super) failure: fn(&Value) -> Value,
}

/// Where chats are completed.
pub(super) const CHAT_COMPLETIONS: ModelCall = ModelCall {
    path: "/chat/completions",
    dialect: &OpenAiChat,
    summary: "Call a model, streaming or not",
    required: "messages",
    deployed: true,
    failure: Value::clone,
};

/// Where responses are made.
pub(super) const RESPONSES: ModelCall = ModelCall {
    path: "/responses",
    dialect: &OpenAiResponses,
    summary: "Make a response, streaming or not, or in the background",
    required: "input",
    deployed: false,
    failure: responses::failure,
};

/// All of them.
pub(super) const CALLS: &[ModelCall] = &[
    CHAT_COMPLETIONS,
    RESPONSES,
    ModelCall {
        path: "/completions",
        dialect: &OpenAiCompletions,
        summary: "Have a model continue texts, streaming or not",
        required: "prompt",
        deployed: true,
        failure: Value::clone,
    },
    ModelCall {
        path: "/embeddings",
        dialect: &OpenAiEmbeddings,
        summary: "Vectors of texts",
        required: "input",
        deployed: true,
        failure: Value::clone,
    },
    ModelCall {
        path: "/moderations",
        dialect: &OpenAiModerations,
        summary: "Judgements of texts and images",
        required: "input",
        deployed: false,
        failure: Value::clone,
    },
    ModelCall {
        path: "/images/generations",
        dialect: &OpenAiImages,
        summary: "Make images of a text",
        required: "prompt",
        deployed: true,
        failure: Value::clone,
    },
    ModelCall {
        path: "/audio/speech",
        dialect: &OpenAiSpeech,
        summary: "Make speech of a text",
        required: "input",
        deployed: true,
        failure: Value::clone,
    },
];
