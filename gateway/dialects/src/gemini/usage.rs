//! What Gemini says it used.

use steward_answers::json::Json;
use steward_answers::usage::Usage;
use steward_events::event::TokenUsage;
use steward_events::quantity::Tokens;

/// Reads `usageMetadata`; none if it says nothing. Thoughts count beside the candidates, and what tools of Google's own gave
/// the model beside the prompt; what the cache had is within the prompt.
pub(super) fn read(said: Json<'_>) -> Option<Usage> {
    let said = said.object();
    let count = |name: &str| said.said(name).and_then(Json::count);
    let sound = |name: &str| said.said(name).map_or(0, sound_tokens);
    let input = count("promptTokenCount").map(|prompt| sum(prompt, count("toolUsePromptTokenCount")));
    let (written, thought) = (count("candidatesTokenCount"), count("thoughtsTokenCount"));
    let named = written.or(thought).map(|_| sum(written.unwrap_or(0), thought));
    // Zeros are left out, and the total is all there is.
    let by_total = count("totalTokenCount").zip(input).and_then(|(total, input)| total.checked_sub(input));
    let output = named.max(by_total);
    if input.is_none() && output.is_none() {
        return None;
    }
    let (all_in, all_out) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage {
        tokens: TokenUsage {
            input: Tokens(all_in),
            cached: Tokens(count("cachedContentTokenCount").unwrap_or(0).min(all_in)),
            output: Tokens(all_out),
            reasoning: Tokens(thought.unwrap_or(0).min(all_out)),
            audio_input: Tokens(sound("promptTokensDetails").min(all_in)),
            audio_output: Tokens(sound("candidatesTokensDetails").min(all_out)),
            ..TokenUsage::default()
        },
        input_is_said: input.is_some(),
        output_is_said: output.is_some(),
    })
}

fn sum(one: u64, other: Option<u64>) -> u64 {
    one.saturating_add(other.unwrap_or(0))
}

/// Of a list of tokens by what they stand for, those of sound.
fn sound_tokens(details: Json<'_>) -> u64 {
    let is_sound = |item: &Json<'_>| item.get("modality").is_some_and(|modality| modality.is("AUDIO"));
    let tokens = |item: Json<'_>| item.said("tokenCount").and_then(Json::count);
    details.items().filter(is_sound).filter_map(tokens).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_value(said: &Value) -> Option<Usage> {
        read(Json::read(said.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn thoughts_and_tools_count_beside_what_they_belong_to() {
        let said = json!({ "promptTokenCount": 100, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 20,
            "candidatesTokenCount": 30, "thoughtsTokenCount": 50, "totalTokenCount": 200,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 90 }, { "modality": "AUDIO", "tokenCount": 10 }] });
        let expected = TokenUsage {
            input: Tokens(120),
            cached: Tokens(60),
            output: Tokens(80),
            reasoning: Tokens(50),
            audio_input: Tokens(10),
            ..TokenUsage::default()
        };
        let usage = read_value(&said).unwrap();
        assert_eq!((usage.tokens, usage.input_is_said, usage.output_is_said), (expected, true, true));
    }

    #[test]
    fn what_is_left_out_is_told_by_the_total() {
        let output = |said: &Value| read_value(said).map(|usage| (usage.output_is_said, usage.tokens.output.0));
        assert_eq!(output(&json!({ "promptTokenCount": 9, "totalTokenCount": 9 })), Some((true, 0)));
        assert_eq!(output(&json!({ "promptTokenCount": 9, "totalTokenCount": 15 })), Some((true, 6)));
        assert_eq!(
            output(&json!({ "promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 15 })),
            Some((true, 6))
        );
        assert_eq!(output(&json!({ "promptTokenCount": 9 })), Some((false, 0)));
        assert_eq!(output(&json!({ "thoughtsTokenCount": 4 })), Some((true, 4)));
        assert_eq!(output(&json!({})), None);
    }
}
