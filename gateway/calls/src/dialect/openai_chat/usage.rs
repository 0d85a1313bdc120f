//! What a provider says it used, in its own shape.

use serde::Deserialize;
use serde_json::value::RawValue;
use steward_events::event::{ServiceTier, TokenUsage};
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

#[derive(Default, Deserialize)]
#[allow(clippy::struct_field_names)] // the names on the wire
struct InputDetails {
    cached_tokens: Option<u64>,
    /// Two names of the same, from those who speak this dialect for providers that charge for writing to their cache.
    cache_write_tokens: Option<u64>,
    cache_creation_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
#[allow(clippy::struct_field_names)] // the names on the wire
struct OutputDetails {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

/// Reads a `usage` object, and beside it the `service_tier`. None if it is none: then what was metered is posted.
pub(super) fn read(usage: &RawValue, tier: Option<&RawValue>) -> Option<TokenUsage> {
    // Many say so in every chunk but the last.
    if usage.get() == "null" {
        return None;
    }
    let usage: Usage = serde_json::from_str(usage.get()).ok()?;
    let input = usage.prompt_tokens;
    let (of_input, of_output) =
        (usage.prompt_tokens_details.unwrap_or_default(), usage.completion_tokens_details.unwrap_or_default());
    let cached = of_input.cached_tokens.or(usage.prompt_cache_hit_tokens);
    let cache_write = of_input.cache_write_tokens.or(of_input.cache_creation_tokens);
    let reasoning = of_output.reasoning_tokens.unwrap_or(0);
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
        cache_write: Tokens(cache_write.unwrap_or(0).min(input)),
        audio_input: Tokens(of_input.audio_tokens.unwrap_or(0).min(input)),
        audio_output: Tokens(of_output.audio_tokens.unwrap_or(0).min(output)),
        tier: tier.map_or(ServiceTier::Standard, served_at),
        ..TokenUsage::default()
    })
}

/// The tier at which a provider says it served a call; the usual one if it says nothing that is known.
fn served_at(tier: &RawValue) -> ServiceTier {
    match tier.get() {
        r#""flex""# => ServiceTier::Flex,
        r#""priority""# => ServiceTier::Priority,
        r#""fast""# => ServiceTier::Fast,
        r#""batch""# => ServiceTier::Batch,
        _ => ServiceTier::Standard,
    }
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
            ..TokenUsage::default()
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
            assert_eq!(read(&raw(&body), None), Some(expected), "{body}");
        }
        for body in [json!(null), json!({}), json!({ "prompt_tokens": -1 }), json!("7")] {
            assert_eq!(read(&raw(&body), None), None, "{body}");
        }
    }

    #[test]
    fn sound_and_writes_to_the_cache_are_read() {
        let body = json!({ "prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90,
            "prompt_tokens_details": { "audio_tokens": 8, "cache_write_tokens": 20 },
            "completion_tokens_details": { "audio_tokens": 30 } });
        let (write, sound) = (Tokens(20), (Tokens(8), Tokens(30)));
        let read_usage = read(&raw(&body), None).unwrap();
        assert_eq!((read_usage.cache_write, (read_usage.audio_input, read_usage.audio_output)), (write, sound));
        let body = json!({ "prompt_tokens": 50, "prompt_tokens_details": { "cache_creation_tokens": 99 } });
        assert_eq!(read(&raw(&body), None).unwrap().cache_write, Tokens(50), "never more than there was");
    }

    #[test]
    fn the_tier_is_read_and_nonsense_is_the_usual_one() {
        let body = json!({ "prompt_tokens": 5 });
        let tier = |tier: Value| read(&raw(&body), Some(&raw(&tier))).unwrap().tier;
        assert_eq!(tier(json!("flex")), ServiceTier::Flex);
        assert_eq!(tier(json!("priority")), ServiceTier::Priority);
        for usual in [json!("default"), json!("scale"), json!(null), json!(7), json!({ "flex": "flex" })] {
            assert_eq!(tier(usual), ServiceTier::Standard);
        }
    }
}
