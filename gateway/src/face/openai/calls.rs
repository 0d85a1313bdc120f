//! The paths on which models are called, each in its dialect. One more is a line here.

use steward_calls::dialect::Dialect;
use steward_calls::dialect::openai_chat::OpenAiChat;
use steward_calls::dialect::openai_completions::OpenAiCompletions;
use steward_calls::dialect::openai_embeddings::OpenAiEmbeddings;
use steward_calls::dialect::openai_images::OpenAiImages;
use steward_calls::dialect::openai_moderations::OpenAiModerations;
use steward_calls::dialect::openai_speech::OpenAiSpeech;

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
}

/// Where chats are completed.
pub(super) const CHAT_COMPLETIONS: ModelCall = ModelCall {
    path: "/chat/completions",
    dialect: &OpenAiChat,
    summary: "Call a model, streaming or not",
    required: "messages",
    deployed: true,
};

/// All of them.
pub(super) const CALLS: &[ModelCall] = &[
    CHAT_COMPLETIONS,
    ModelCall {
        path: "/completions",
        dialect: &OpenAiCompletions,
        summary: "Have a model continue texts, streaming or not",
        required: "prompt",
        deployed: true,
    },
    ModelCall {
        path: "/embeddings",
        dialect: &OpenAiEmbeddings,
        summary: "Vectors of texts",
        required: "input",
        deployed: true,
    },
    ModelCall {
        path: "/moderations",
        dialect: &OpenAiModerations,
        summary: "Judgements of texts and images",
        required: "input",
        deployed: false,
    },
    ModelCall {
        path: "/images/generations",
        dialect: &OpenAiImages,
        summary: "Make images of a text",
        required: "prompt",
        deployed: true,
    },
    ModelCall {
        path: "/audio/speech",
        dialect: &OpenAiSpeech,
        summary: "Make speech of a text",
        required: "input",
        deployed: true,
    },
];
