//! Names of a request's fields: which are known and for what, and which say the same as a known one in other letters.
//!
//! Servers differ in how they read names: some without regard to case, some with humps for underscores, and of two that
//! are the same to them the last counts. So what decides about money has one name, written one way.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::Refused;

/// What stands under a name beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is read here: the model, the limits, whether to stream.
    Decides,
    /// A setting: a number or a word that no model reads.
    Setting,
    /// Settings in a list or object, which some servers show to the model.
    Settings,
    /// A schema, whose names are the caller's own.
    Schema,
    /// What tools or formats there are: the provider puts words of its own around it.
    Tooling,
    /// A guess at the answer, billed as output where it is wrong.
    Prediction,
    /// Something that does not stand in the request, and that the model is given.
    Elsewhere,
    /// A search, and what it finds.
    Search,
    /// It cannot be bounded, for this reason.
    Refused(&'static str),
    /// Nobody here knows: it is passed on, and counts as text.
    Unknown,
}

pub(crate) const OTHER_MODEL: &str =
    "names another model than `model`, which alone is authorised and priced; name one model in `model`";
pub(crate) const TEMPLATE: &str =
    "is a program that makes text of its own, so the size of the prompt cannot be bounded; leave it out";
pub(crate) const PRESET: &str =
    "stands for settings that are kept at the provider, so neither model nor size can be bounded; write them out";

/// The fields that are known.
const KNOWN: &[Known] = &[
    (Meaning::Decides, &["model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"]),
    (
        Meaning::Setting,
        &[
            "temperature",
            "top_p",
            "top_k",
            "top_a",
            "min_p",
            "typical_p",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "repeat_penalty",
            "length_penalty",
            "logprobs",
            "top_logprobs",
            "prompt_logprobs",
            "user",
            "safety_identifier",
            "service_tier",
            "store",
            "parallel_tool_calls",
            "reasoning_effort",
            "verbosity",
            "prompt_cache_key",
            "prompt_cache_retention",
            "ignore_eos",
            "skip_special_tokens",
            "echo",
            "early_stopping",
            "spaces_between_special_tokens",
            "include_stop_str_in_output",
            "add_generation_prompt",
            "add_special_tokens",
            "continue_final_message",
            "truncate_prompt_tokens",
            "return_tokens_as_token_ids",
            "no_repeat_ngram_size",
            "include_reasoning",
            "enable_thinking",
            "separate_reasoning",
            "cache_prompt",
            "priority",
            "user_id",
        ],
    ),
    (
        Meaning::Settings,
        &[
            "stop",
            "logit_bias",
            "metadata",
            "modalities",
            "audio",
            "tool_choice",
            "function_call",
            "stop_token_ids",
            "allowed_token_ids",
            "bad_words",
            "reasoning",
            "thinking",
            "provider",
            "transforms",
            "chat_template_kwargs",
        ],
    ),
    (Meaning::Schema, &["guided_json", "json_schema", "structured_outputs", "format", "grammar"]),
    (Meaning::Tooling, &["tools", "functions", "response_format"]),
    (Meaning::Prediction, &["prediction"]),
    (Meaning::Refused(TEMPLATE), &["chat_template", "jinja_template", "prompt_template"]),
    (
        Meaning::Refused(OTHER_MODEL),
        &["models", "model_id", "model_name", "fallback_models", "fallbacks", "engine", "deployment", "deployment_id"],
    ),
    (Meaning::Refused(PRESET), &["preset"]),
    (Meaning::Search, &["web_search_options", "web_search", "plugins", "search_parameters", "enable_search", "search"]),
];

/// What stands under this name beside the messages.
///
/// # Errors
/// The name that it must have, if it differs from that in its letters only.
pub(crate) fn meaning(name: &str) -> Result<Meaning, &'static str> {
    meaning_among(KNOWN, name)
}

/// Names with the same meaning.
pub(crate) type Known = (Meaning, &'static [&'static str]);

/// The same for a dialect that knows these fields.
pub(crate) fn meaning_among(all: &[Known], name: &str) -> Result<Meaning, &'static str> {
    let folded = fold(name);
    for (meaning, names) in all {
        if let Some(known) = names.iter().find(|known| **known == folded.as_ref()) {
            return if *known == name { Ok(*meaning) } else { Err(*known) };
        }
    }
    let plain = letters(&folded);
    let decides = |known: &&&str| letters(known) == plain;
    let twin = all.iter().filter(|(meaning, _)| matches!(meaning, Meaning::Decides | Meaning::Refused(_)));
    if let Some(known) = twin.flat_map(|(_, names)| names.iter()).find(decides) {
        return Err(*known);
    }
    Ok(if is_reference(name) { Meaning::Elsewhere } else { Meaning::Unknown })
}

/// True of names that limit or multiply the output, in the words of any server: under these a number decides about money.
/// Only `max_tokens`, `max_completion_tokens` and `n`, beside the messages, do so here.
pub(crate) fn limits_output(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "token",
        "predict",
        "length",
        "maxlen",
        "minlen",
        "genlen",
        "ctx",
        "context",
        "output",
        "budget",
        "bestof",
        "nbest",
        "beam",
        "candidate",
        "sequences",
        "completions",
        "generations",
        "samples",
        "choices",
        "responses",
    ];
    let plain = letters(&fold(name));
    plain == "n" || WORDS.iter().any(|word| plain.contains(word))
}

/// True of names under which a request within a request would stand.
pub(crate) fn decides_elsewhere(name: &str) -> bool {
    matches!(letters(&fold(name)).as_str(), "model" | "models" | "messages" | "prompt")
}

/// True of names that stand for what is kept or found elsewhere: files, conversations, results.
pub(crate) fn is_reference(name: &str) -> bool {
    const ENDS: &[&str] = &[
        "fileid",
        "fileids",
        "fileurl",
        "fileurls",
        "filedata",
        "audiourl",
        "videourl",
        "documenturl",
        "attachments",
        "vectorstoreids",
        "containerid",
        "cachedcontent",
        "previousresponseid",
        "conversation",
        "conversationid",
        "threadid",
        "sessionid",
        "datasources",
        "promptid",
        "documentids",
        "knowledgeid",
        "knowledgeids",
    ];
    let plain = letters(&fold(name));
    matches!(plain.as_str(), "file" | "files" | "prompt") || ENDS.iter().any(|end| plain.ends_with(end))
}

/// Tells names of one object that are the same to somebody.
#[derive(Debug, Default)]
pub(crate) struct Twins(BTreeSet<String>);

impl Twins {
    /// True if a name that is the same but for its case stood there before.
    pub(crate) fn has(&mut self, name: &str) -> bool {
        !self.0.insert(fold(name).into_owned())
    }
}

/// True if `refused` blames `field`: by name, or by its words.
pub(crate) fn blames(refused: &Refused, field: &str) -> bool {
    match refused.param.as_deref() {
        Some(param) if !param.is_empty() => param.rsplit('.').next() == Some(field),
        _ => refused.message.as_deref().is_some_and(|message| mentions(message, field)),
    }
}

/// True if `text` says `field` as a word.
pub(crate) fn mentions(text: &str, field: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(field).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        !is_part(before) && !is_part(text.as_bytes().get(at + field.len()))
    })
}

/// Simple case folding, as those do who compare names without regard to case: `ſ` is an `s`, the sign for Kelvin a `k`.
pub(crate) fn fold(name: &str) -> Cow<'_, str> {
    if !name.is_ascii() {
        let upper = |letter: char| alone(letter.to_uppercase()).unwrap_or(letter);
        let lower = |letter: char| alone(letter.to_lowercase()).unwrap_or(letter);
        return name.chars().map(|letter| lower(upper(letter))).collect();
    }
    let is_folded = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_folded { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) }
}

/// The letter, if it is one.
fn alone(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

/// The letters and digits of a folded name: `maxTokens`, `max-tokens` and `max_tokens` are one.
pub(crate) fn letters(folded: &str) -> String {
    folded.chars().filter(|letter| letter.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_are_one() {
        assert_eq!(fold("Max_TokenS"), "max_tokens");
        assert_eq!((fold("me\u{17f}\u{17f}ages"), fold("max_to\u{212a}ens")), ("messages".into(), "max_tokens".into()));
        assert_eq!(fold("Straße"), "straße");
        let mut twins = Twins::default();
        assert!(!twins.has("role") && !twins.has("name") && twins.has("ROLE") && twins.has("name"));
    }

    #[test]
    fn a_known_name_in_other_letters_is_told_the_right_one() {
        for (name, right) in [
            ("Model", "model"),
            ("MESSAGES", "messages"),
            ("me\u{17f}\u{17f}ages", "messages"),
            ("N", "n"),
            ("maxTokens", "max_tokens"),
            ("max-tokens", "max_tokens"),
            ("maxCompletionTokens", "max_completion_tokens"),
            ("to\u{212a}", "to\u{212a}"),
            ("Tools", "tools"),
            ("Temperature", "temperature"),
            ("chatTemplate", "chat_template"),
        ] {
            match meaning(name) {
                Err(known) => assert_eq!(known, right),
                Ok(meaning) => assert_eq!((meaning, name), (Meaning::Unknown, right)),
            }
        }
        for (_, names) in KNOWN {
            assert!(names.iter().all(|name| meaning(name).is_ok() && fold(name) == **name));
        }
    }

    #[test]
    fn what_limits_output_is_known_in_every_servers_words() {
        for name in [
            "n_predict",
            "best_of",
            "min_tokens",
            "max_output_tokens",
            "max_new_tokens",
            "num_predict",
            "max_length",
            "num_ctx",
            "maxOutputTokens",
            "MaxGenLen",
            "n_best",
            "num_beams",
            "candidateCount",
            "num_return_sequences",
            "thinking_budget",
            "budget_tokens",
            "n",
            "N",
            "num_completions",
            "max_to\u{212a}ens",
            "response_length",
        ] {
            assert!(limits_output(name), "{name}");
        }
        for name in ["top_k", "mirostat_tau", "documents", "seed", "dry_multiplier", "min_p"] {
            assert!(!limits_output(name), "{name}");
        }
    }

    #[test]
    fn references_are_known_wherever_they_stand() {
        for name in
            ["file_id", "fileIds", "previous_response_id", "video_url", "cached_content", "files", "input_file_id"]
        {
            assert!(is_reference(name), "{name}");
        }
        assert!(!is_reference("image_url") && !is_reference("tool_call_id") && !is_reference("profile"));
    }

    #[test]
    fn a_field_is_mentioned_as_a_word() {
        assert!(mentions("use 'max_completion_tokens' instead", "max_completion_tokens"));
        assert!(!mentions("max_completion_tokens", "max_tokens") && !mentions("my_max_tokens", "max_tokens"));
    }
}
