//! What Bedrock says it used.

use steward_answers::json::{Json, Object};
use steward_answers::usage::Usage;
use steward_events::event::{ServiceTier, TokenUsage};
use steward_events::quantity::Tokens;

/// Reads `usage` of an answer or of a stream's last event; none if it says nothing.
pub(super) fn of(said: &Object<'_>) -> Option<Usage> {
    let mut usage = read(said.said("usage")?)?;
    let tier = said.said("serviceTier").and_then(|tier| tier.said("type"));
    usage.tokens.tier = match tier {
        Some(tier) if tier.is("priority") => ServiceTier::Priority,
        Some(tier) if tier.is("flex") => ServiceTier::Flex,
        _ => ServiceTier::Standard,
    };
    Some(usage)
}

/// What the cache had or took counts beside `inputTokens`; the total shows it where a model counts it within.
fn read(said: Json<'_>) -> Option<Usage> {
    let said = said.object();
    let count = |name: &str| said.said(name).and_then(Json::count);
    let (cached, written) = (count("cacheReadInputTokens").unwrap_or(0), count("cacheWriteInputTokens").unwrap_or(0));
    let output = count("outputTokens");
    let input = count("inputTokens").map(|beside| {
        let by_total = count("totalTokens").and_then(|total| total.checked_sub(output.unwrap_or(0)));
        let all = beside.saturating_add(cached).saturating_add(written);
        by_total.map_or(all, |by_total| by_total.clamp(beside, all))
    });
    if input.is_none() && output.is_none() {
        return None;
    }
    let all_in = input.unwrap_or(0);
    let hourly = said.said("cacheDetails").map_or(0, written_for_an_hour).min(written);
    Some(Usage {
        tokens: TokenUsage {
            input: Tokens(all_in),
            cached: Tokens(cached.min(all_in)),
            output: Tokens(output.unwrap_or(0)),
            cache_write: Tokens((written - hourly).min(all_in)),
            cache_write_1h: Tokens(hourly.min(all_in)),
            ..TokenUsage::default()
        },
        input_is_said: input.is_some(),
        output_is_said: output.is_some(),
    })
}

fn written_for_an_hour(details: Json<'_>) -> u64 {
    let is_hourly = |item: &Json<'_>| item.get("ttl").is_some_and(|ttl| ttl.is("1h"));
    let tokens = |item: Json<'_>| item.said("inputTokens").and_then(Json::count);
    details.items().filter(is_hourly).filter_map(tokens).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tokens(said: &Value) -> TokenUsage {
        of(&Json::read(said.to_string().as_bytes()).unwrap().object()).unwrap().tokens
    }

    #[test]
    fn the_cache_counts_beside_the_input() {
        let said = json!({
            "usage": { "inputTokens": 10, "outputTokens": 20, "totalTokens": 1_130, "cacheReadInputTokens": 1_000,
                "cacheWriteInputTokens": 100, "cacheDetails": [{ "ttl": "1h", "inputTokens": 60 }, { "ttl": "5m", "inputTokens": 40 }] },
            "serviceTier": { "type": "priority" },
        });
        let expected = TokenUsage {
            input: Tokens(1_110),
            cached: Tokens(1_000),
            output: Tokens(20),
            cache_write: Tokens(40),
            cache_write_1h: Tokens(60),
            tier: ServiceTier::Priority,
            ..TokenUsage::default()
        };
        assert_eq!(tokens(&said), expected);
    }

    #[test]
    fn a_total_tells_where_the_cache_counts_within() {
        let input = |total: Option<u64>| {
            let usage =
                json!({ "inputTokens": 50, "outputTokens": 5, "totalTokens": total, "cacheReadInputTokens": 30 });
            tokens(&json!({ "usage": usage })).input.0
        };
        assert_eq!(input(Some(85)), 80);
        assert_eq!(input(Some(55)), 50);
        assert_eq!(input(None), 80);
        assert_eq!(input(Some(0)), 80, "a total that cannot be counts for nothing");
        assert_eq!(input(Some(1_000)), 80);
    }

    #[test]
    fn nothing_is_said_by_nothing() {
        for said in [json!({}), json!({ "usage": null }), json!({ "usage": {} })] {
            assert_eq!(of(&Json::read(said.to_string().as_bytes()).unwrap().object()), None, "{said}");
        }
    }
}
