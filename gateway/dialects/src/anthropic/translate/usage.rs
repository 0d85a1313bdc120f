//! What was used, written so that it is read as the same again.

use bytes::Bytes;
use serde_json::json;
use steward_answers::usage::{Usage, tier_name};

use crate::object::Writing;

/// As the field `usage` of a message. Anthropic's input leaves out what the cache had or took; what is not known is `null`.
pub(super) fn write(usage: &Usage) -> Bytes {
    let Usage { tokens, input_is_said, output_is_said } = usage;
    let written = tokens.cache_write.0.saturating_add(tokens.cache_write_1h.0);
    let beside = tokens.cached.0.saturating_add(written);
    let input = Some(tokens.input.0.saturating_sub(beside)).filter(|_| *input_is_said);
    let output = Some(tokens.output.0).filter(|_| *output_is_said);
    let mut all = Writing::new()
        .with("input_tokens", &input)
        .with("cache_creation_input_tokens", &written)
        .with("cache_read_input_tokens", &tokens.cached)
        .with("output_tokens", &output);
    if written > 0 {
        let (short, hour) = (tokens.cache_write, tokens.cache_write_1h);
        all = all
            .with("cache_creation", &json!({ "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour }));
    }
    if tokens.audio_input.0 > 0 {
        all = all.with("input_tokens_details", &json!({ "audio_tokens": tokens.audio_input }));
    }
    let of_output = [("thinking_tokens", tokens.reasoning.0), ("audio_tokens", tokens.audio_output.0)];
    if of_output.iter().any(|(_, count)| *count > 0) {
        let details = of_output.iter().fold(Writing::new(), |details, (name, count)| details.with(name, count));
        all = all.with_json("output_tokens_details", &details.end());
    }
    if tokens.searches > 0 {
        all = all.with("server_tool_use", &json!({ "web_search_requests": tokens.searches }));
    }
    all.perhaps("service_tier", tier_name(tokens.tier)).end()
}
