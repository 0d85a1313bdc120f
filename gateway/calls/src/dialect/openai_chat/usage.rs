//! What a provider says it used, in its own shape.

use serde::Deserialize;
use serde_json::value::RawValue;
use steward_events::event::TokenUsage;
use steward_events::quantity::Tokens;

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<InputDetails>,
    /// DeepSeek's name for cached input.
    prompt_cache_hit_tokens: Option<u64>,
    completion_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

/// Reads a `usage` object. None if it is not one: then what was metered is posted.
pub(super) fn read(usage: &RawValue) -> Option<TokenUsage> {
    // Many say so in every chunk but the last.
    if usage.get() == "null" {
        return None;
    }
    let usage: Usage = serde_json::from_str(usage.get()).ok()?;
    let input = usage.prompt_tokens;
    let cached = usage.prompt_tokens_details.and_then(|d| d.cached_tokens).or(usage.prompt_cache_hit_tokens);
    let reasoning = usage.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0);
    let mut output = usage.completion_tokens;
    // Some (xAI) count reasoning beside the completion; only the total shows it.
    if reasoning > 0 && usage.total_tokens == input.checked_add(output).and_then(|sum| sum.checked_add(reasoning)) {
        output += reasoning;
    }
    Some(TokenUsage {
        input: Tokens(input),
        cached: Tokens(cached.unwrap_or(0).min(input)),
        output: Tokens(output),
        reasoning: Tokens(reasoning.min(output)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> TokenUsage {
        TokenUsage {
            input: Tokens(input),
            cached: Tokens(cached),
            output: Tokens(output),
            reasoning: Tokens(reasoning),
        }
    }

    fn raw(body: &Value) -> Box<RawValue> {
        RawValue::from_string(body.to_string()).unwrap()
    }

    #[test]
    fn each_dialect_is_read() {
        for (body, expected) in [
            (json!({ "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 }), usage(5, 0, 2, 0)),
            (
                json!({ "prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9,
                    "prompt_tokens_details": { "cached_tokens": 3 },
                    "completion_tokens_details": { "reasoning_tokens": 2 } }),
                usage(5, 3, 4, 2),
            ),
            (json!({ "prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 4 }), usage(5, 4, 1, 0)),
            (
                json!({ "prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 19,
                    "completion_tokens_details": { "reasoning_tokens": 10 } }),
                usage(5, 0, 14, 10),
            ),
            (json!({ "prompt_tokens": 5, "prompt_tokens_details": { "cached_tokens": 9 } }), usage(5, 5, 0, 0)),
        ] {
            assert_eq!(read(&raw(&body)), Some(expected), "{body}");
        }
        for body in [json!(null), json!({}), json!({ "prompt_tokens": -1 }), json!("7")] {
            assert_eq!(read(&raw(&body)), None, "{body}");
        }
    }
}
