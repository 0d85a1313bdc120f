//! Names of the fields of a request for a response, and what they are known for.

use crate::openai_chat::names::{self, Known, Meaning, OTHER_MODEL, PRESET, TEMPLATE};

const KNOWN: &[Known] = &[
    (Meaning::Decides, &["model", "input", "instructions", "stream", "max_output_tokens", "background"]),
    (
        Meaning::Setting,
        &[
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "top_logprobs",
            "max_tool_calls",
            "user",
            "safety_identifier",
            "service_tier",
            "store",
            "parallel_tool_calls",
            "prompt_cache_key",
            "prompt_cache_retention",
            "truncation",
        ],
    ),
    (
        Meaning::Settings,
        &["include", "metadata", "reasoning", "tool_choice", "stream_options", "context_management", "provider"],
    ),
    (Meaning::Tooling, &["tools", "text"]),
    (Meaning::Elsewhere, &["previous_response_id", "conversation"]),
    // A prompt that is kept at the provider may have tools of its own.
    (Meaning::Search, &["prompt", "plugins", "web_search_options"]),
    (Meaning::Refused(TEMPLATE), &["chat_template", "jinja_template", "prompt_template"]),
    (
        Meaning::Refused(OTHER_MODEL),
        &["models", "model_id", "model_name", "fallback_models", "fallbacks", "engine", "deployment", "deployment_id"],
    ),
    (Meaning::Refused(PRESET), &["preset"]),
];

/// What stands under this name.
///
/// # Errors
/// The name that it must have, if it differs from that in its letters only.
pub(super) fn meaning(name: &str) -> Result<Meaning, &'static str> {
    names::meaning_among(KNOWN, name)
}
