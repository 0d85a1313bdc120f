//! What a call used, as a response says it. What is written is read back as the same numbers, so that a translated answer is
//! charged as its provider told.

use serde_json::{Value, json};
use steward_answers::usage::{Usage, tier_name};
use steward_events::event::TokenUsage;

/// The object `usage`; `null` if nothing is known.
pub(super) fn write(usage: Option<&Usage>) -> Value {
    let Some(Usage { tokens, input_is_said, output_is_said }) = usage else { return Value::Null };
    let mut written = json!({});
    if *input_is_said {
        written["input_tokens"] = json!(tokens.input);
        written["input_tokens_details"] = input_details(tokens);
    }
    if *output_is_said {
        written["output_tokens"] = json!(tokens.output);
        written["output_tokens_details"] = output_details(tokens);
    }
    if *input_is_said && *output_is_said {
        written["total_tokens"] = json!(tokens.total());
    }
    // For what this API has no place, the words of others stand: they are what is read here too.
    if tokens.cache_write_1h.0 > 0 {
        written["cache_creation"] = json!({ "ephemeral_1h_input_tokens": tokens.cache_write_1h });
    }
    if tokens.searches > 0 {
        written["server_tool_use"] = json!({ "web_search_requests": tokens.searches });
    }
    written
}

fn input_details(tokens: &TokenUsage) -> Value {
    let mut details = json!({ "cached_tokens": tokens.cached });
    let cache_write = tokens.cache_write.0.saturating_add(tokens.cache_write_1h.0);
    if cache_write > 0 {
        details["cache_write_tokens"] = json!(cache_write);
    }
    if tokens.audio_input.0 > 0 {
        details["audio_tokens"] = json!(tokens.audio_input);
    }
    details
}

fn output_details(tokens: &TokenUsage) -> Value {
    let mut details = json!({ "reasoning_tokens": tokens.reasoning });
    if tokens.audio_output.0 > 0 {
        details["audio_tokens"] = json!(tokens.audio_output);
    }
    details
}

/// The tier at which the call was served.
pub(super) fn tier(usage: Option<&Usage>) -> &'static str {
    usage.and_then(|usage| tier_name(usage.tokens.tier)).unwrap_or("default")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steward_answers::json::Json;
    use steward_answers::usage;
    use steward_events::event::ServiceTier;
    use steward_events::quantity::Tokens;

    use super::*;

    fn any_usage() -> impl Strategy<Value = Usage> {
        let tiers = vec![
            ServiceTier::Standard,
            ServiceTier::Flex,
            ServiceTier::Priority,
            ServiceTier::Fast,
            ServiceTier::Batch,
        ];
        let small = 0..1_000_u64;
        let counts = (
            0..1_000_000_u64,
            small.clone(),
            small.clone(),
            small.clone(),
            0..1_000_000_u64,
            small.clone(),
            small.clone(),
        );
        (counts, 0..9_u64, prop::sample::select(tiers), any::<bool>()).prop_map(|(counts, searches, tier, all)| {
            let (rest, cached, short, hourly, more, reasoning, sound) = counts;
            let tokens = TokenUsage {
                input: Tokens(rest + cached + short + hourly + sound),
                cached: Tokens(cached),
                output: Tokens(if all { more + reasoning + sound } else { 0 }),
                reasoning: Tokens(if all { reasoning } else { 0 }),
                cache_write: Tokens(short),
                cache_write_1h: Tokens(hourly),
                audio_input: Tokens(sound),
                audio_output: Tokens(if all { sound } else { 0 }),
                searches,
                tier,
                ..TokenUsage::default()
            };
            Usage { tokens, input_is_said: true, output_is_said: all }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(said in any_usage()) {
            let response = json!({ "service_tier": tier(Some(&said)), "usage": write(Some(&said)) }).to_string();
            prop_assert_eq!(usage::of(&Json::read(response.as_bytes()).unwrap().object()), Some(said));
        }
    }

    #[test]
    fn unknown_usage_is_null() {
        assert_eq!((write(None), tier(None)), (Value::Null, "default"));
    }
}
