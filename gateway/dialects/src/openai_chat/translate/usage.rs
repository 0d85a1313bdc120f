//! What was used, written so that it is read as the same again.

use bytes::Bytes;
use serde_json::json;
use steward_answers::usage::Usage;

use crate::object::Writing;

/// As the field `usage` of an answer. What is not known is not said.
pub(super) fn write(usage: &Usage) -> Bytes {
    let Usage { tokens, input_is_said, output_is_said } = usage;
    let input = Some(tokens.input.0).filter(|_| *input_is_said);
    let output = Some(tokens.output.0).filter(|_| *output_is_said);
    let total = input.zip(output).map(|(input, output)| input.saturating_add(output));
    let written = tokens.cache_write.0.saturating_add(tokens.cache_write_1h.0);
    let mut of_input = Writing::new().with("cached_tokens", &tokens.cached);
    for (name, count) in [("audio_tokens", tokens.audio_input.0), ("cache_write_tokens", written)] {
        of_input = of_input.perhaps(name, Some(&count).filter(|count| **count > 0));
    }
    let of_output = Writing::new().with("reasoning_tokens", &tokens.reasoning);
    let of_output = of_output.perhaps("audio_tokens", Some(&tokens.audio_output).filter(|count| count.0 > 0));
    let mut all = Writing::new()
        .perhaps("prompt_tokens", input.as_ref())
        .perhaps("completion_tokens", output.as_ref())
        .perhaps("total_tokens", total.as_ref())
        .with_json("prompt_tokens_details", &of_input.end())
        .with_json("completion_tokens_details", &of_output.end());
    if tokens.cache_write_1h.0 > 0 {
        all = all.with("cache_creation", &json!({ "ephemeral_1h_input_tokens": tokens.cache_write_1h }));
    }
    if tokens.searches > 0 {
        all = all.with("server_tool_use", &json!({ "web_search_requests": tokens.searches }));
    }
    all.end()
}
