//! What a provider says it used, wherever and however public dialects say it.

use steward_events::event::{ServiceTier, TokenUsage};
use steward_events::quantity::Tokens;

use crate::json::{Json, Object};

/// What was used, as far as the provider says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The numbers; zero where nothing is said.
    pub tokens: TokenUsage,
    /// Whether the input is said.
    pub input_is_said: bool,
    /// Whether the output is said.
    pub output_is_said: bool,
}

impl Usage {
    /// This, said after `earlier`: the later counts, but for what it leaves out.
    pub const fn after(mut self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        self.tokens = self.tokens_after(earlier);
        if !self.input_is_said && earlier.input_is_said {
            let Self { tokens: TokenUsage { input, cached, cache_write, cache_write_1h, audio_input, .. }, .. } =
                earlier;
            self.tokens = TokenUsage { input, cached, cache_write, cache_write_1h, audio_input, ..self.tokens };
            self.input_is_said = true;
        }
        if !self.output_is_said && earlier.output_is_said {
            let Self { tokens: TokenUsage { output, reasoning, audio_output, .. }, .. } = earlier;
            self.tokens = TokenUsage { output, reasoning, audio_output, ..self.tokens };
            self.output_is_said = true;
        }
        self
    }

    /// Some say once only what stays as it is: at which tier they serve, how often they searched, what they keep for an hour;
    /// and an input that shrinks leaves out what the cache had or took, as it was told before.
    const fn tokens_after(&self, earlier: Self) -> TokenUsage {
        let (mut tokens, before) = (self.tokens, earlier.tokens);
        if matches!(tokens.tier, ServiceTier::Standard) {
            tokens.tier = before.tier;
        }
        if tokens.searches == 0 {
            tokens.searches = before.searches;
        }
        if !self.input_is_said || !earlier.input_is_said {
            return tokens;
        }
        let beside = before.cached.0.saturating_add(before.cache_write.0).saturating_add(before.cache_write_1h.0);
        if tokens.input.0 < before.input.0 && tokens.cached.0 == 0 && written(&tokens) == 0 && beside > 0 {
            let TokenUsage { cached, cache_write, cache_write_1h, .. } = before;
            let input = Tokens(tokens.input.0.saturating_add(beside));
            return TokenUsage { input, cached, cache_write, cache_write_1h, ..tokens };
        }
        if tokens.cache_write_1h.0 == 0 && written(&tokens) >= before.cache_write_1h.0 {
            tokens.cache_write.0 -= before.cache_write_1h.0;
            tokens.cache_write_1h = before.cache_write_1h;
        }
        tokens
    }
}

/// All that was written to the cache.
const fn written(tokens: &TokenUsage) -> u64 {
    tokens.cache_write.0.saturating_add(tokens.cache_write_1h.0)
}

/// What an answer, or a piece of one, says it used: beside its choices, in the last of them (Moonshot), or where Groq's
/// streams have it. None if it says nothing.
pub fn of(answer: &Object<'_>) -> Option<Usage> {
    let beside = || read(&answer.said("usage")?.object());
    let in_choices =
        || answer.get("choices")?.items().filter_map(|choice| read(&choice.said("usage")?.object())).last();
    let of_groq = || read(&answer.get("x_groq")?.said("usage")?.object());
    let mut usage = beside().or_else(in_choices).or_else(of_groq)?;
    // Anthropic says it within the usage, and there under two names.
    let within = || answer.said("usage").filter(|usage| usage.is_object()).map(Json::object);
    let tier = answer.said("service_tier").or_else(|| within()?.said("service_tier")).map(served_at);
    let speed = || within()?.said("speed").map(served_at);
    usage.tokens.tier = tier.filter(|tier| !tier.is_standard()).or_else(speed).unwrap_or_default();
    Some(usage)
}

/// Reads an object of usage; none if it is none, or says neither input nor output.
fn read(usage: &Object<'_>) -> Option<Usage> {
    let count = |of: Option<Json<'_>>, names: &[&str]| names.iter().find_map(|name| of?.said(name)?.count());
    let plain = |names: &[&str]| names.iter().find_map(|name| usage.said(name)?.count());
    let of_input = usage.said("prompt_tokens_details").or_else(|| usage.said("input_tokens_details"));
    let of_output = usage.said("completion_tokens_details").or_else(|| usage.said("output_tokens_details"));

    let read_from_cache = plain(&["cache_read_input_tokens"]);
    let written_to_cache = plain(&["cache_creation_input_tokens"]);
    let cached = count(of_input, &["cached_tokens"]).or_else(|| plain(&["prompt_cache_hit_tokens", "cached_tokens"]));
    let cached = cached.or(read_from_cache).unwrap_or(0);
    let cache_write =
        count(of_input, &["cache_write_tokens", "cache_creation_tokens"]).or(written_to_cache).unwrap_or(0);
    let hourly = count(usage.said("cache_creation"), &["ephemeral_1h_input_tokens"]).unwrap_or(0).min(cache_write);

    let input = plain(&["prompt_tokens"]).or_else(|| {
        // Anthropic's own word leaves out what the cache had or took.
        let beside = read_from_cache.unwrap_or(0).saturating_add(written_to_cache.unwrap_or(0));
        Some(plain(&["input_tokens"])?.saturating_add(beside))
    });
    let said = plain(&["completion_tokens", "output_tokens"]);
    let output = with_the_total(input, said, plain(&["total_tokens"]));
    if input.is_none() && output.is_none() {
        return None;
    }
    let (all_in, all_out) = (input.unwrap_or(0), output.unwrap_or(0));
    let reasoning = count(of_output, &["reasoning_tokens", "thinking_tokens"])
        .or_else(|| plain(&["reasoning_tokens"]))
        .unwrap_or(0);
    let searches = plain(&["num_search_queries", "num_sources_used"])
        .or_else(|| count(usage.said("server_tool_use"), &["web_search_requests"]));
    Some(Usage {
        tokens: TokenUsage {
            input: Tokens(all_in),
            cached: Tokens(cached.min(all_in)),
            output: Tokens(all_out),
            reasoning: Tokens(reasoning.min(all_out)),
            cache_write: Tokens((cache_write - hourly).min(all_in)),
            cache_write_1h: Tokens(hourly.min(all_in)),
            audio_input: Tokens(count(of_input, &["audio_tokens"]).unwrap_or(0).min(all_in)),
            audio_output: Tokens(count(of_output, &["audio_tokens"]).unwrap_or(0).min(all_out)),
            searches: searches.unwrap_or(0),
            ..TokenUsage::default()
        },
        input_is_said: input.is_some(),
        output_is_said: output.is_some(),
    })
}

/// The output, where the total shows more of it: some count thinking beside the completion, with or without saying so,
/// and it is billed as output.
fn with_the_total(input: Option<u64>, output: Option<u64>, total: Option<u64>) -> Option<u64> {
    let by_total = total.zip(input).and_then(|(total, input)| total.checked_sub(input));
    match (output, by_total) {
        (Some(output), Some(by_total)) => Some(output.max(by_total)),
        // A total that is only the input leaves open what came out.
        (None, by_total) => by_total.filter(|output| *output > 0),
        (output, None) => output,
    }
}

/// The words for tiers other than the usual one.
const TIERS: &[(&str, ServiceTier)] = &[
    ("flex", ServiceTier::Flex),
    ("priority", ServiceTier::Priority),
    ("fast", ServiceTier::Fast),
    ("batch", ServiceTier::Batch),
];

/// The tier at which a provider says it served a call; the usual one if it says nothing that is known.
fn served_at(tier: Json<'_>) -> ServiceTier {
    TIERS.iter().find(|(name, _)| tier.is(name)).map_or(ServiceTier::Standard, |(_, tier)| *tier)
}

/// The word by which a tier is told, and read again; none for the usual one.
pub fn tier_name(tier: ServiceTier) -> Option<&'static str> {
    TIERS.iter().find(|(_, known)| *known == tier).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_value(body: &Value) -> Option<Usage> {
        read(&Json::read(body.to_string().as_bytes()).unwrap().object())
    }

    fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> TokenUsage {
        let [input, cached, output, reasoning] = [input, cached, output, reasoning].map(Tokens);
        TokenUsage { input, cached, output, reasoning, ..TokenUsage::default() }
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
            (json!({ "prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 127 }), usage(7, 0, 120, 0)),
            (json!({ "prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 3 }), usage(7, 0, 20, 0)),
            (
                json!({ "prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": { "cached_tokens": 9 } }),
                usage(5, 5, 0, 0),
            ),
            (
                json!({ "prompt_tokens": 1000.0, "completion_tokens": "500", "total_tokens": 1.5e3 }),
                usage(1_000, 0, 500, 0),
            ),
            (json!({ "input_tokens": 9, "output_tokens": 4 }), usage(9, 0, 4, 0)),
            (json!({ "prompt_tokens": null, "input_tokens": 9, "output_tokens": 4 }), usage(9, 0, 4, 0)),
        ] {
            let read = read_value(&body).unwrap();
            assert_eq!((read.tokens, read.input_is_said, read.output_is_said), (expected, true, true), "{body}");
        }
        for body in [json!(null), json!({}), json!({ "prompt_tokens": -1 }), json!("7"), json!([7])] {
            assert_eq!(read_value(&body), None, "{body}");
        }
    }

    #[test]
    fn what_is_left_out_stays_open() {
        for body in [
            json!({ "prompt_tokens": 1_000, "completion_tokens": null, "total_tokens": 1_000 }),
            json!({ "prompt_tokens": 1_000 }),
        ] {
            let read = read_value(&body).unwrap();
            assert_eq!((read.tokens.input.0, read.input_is_said, read.output_is_said), (1_000, true, false), "{body}");
        }
        let later = read_value(&json!({ "completion_tokens": 6 })).unwrap();
        let earlier = read_value(&json!({ "prompt_tokens": 9, "completion_tokens": 2 })).unwrap();
        assert_eq!(later.after(Some(earlier)).tokens, usage(9, 0, 6, 0));
        assert_eq!(earlier.after(Some(later)).tokens, usage(9, 0, 2, 0), "the later counts, not the larger");
    }

    #[test]
    fn it_is_found_wherever_dialects_put_it() {
        let numbers = r#"{"prompt_tokens":1000,"completion_tokens":500}"#;
        for text in [
            format!(r#"{{"usage":{numbers}}}"#),
            format!(r#"{{"usage":null,"usage":{numbers}}}"#),
            format!(r#"{{"usage":null,"choices":[{{"index":0}},{{"index":1,"usage":{numbers}}}]}}"#),
            format!(r#"{{"choices":[],"x_groq":{{"usage":{numbers}}}}}"#),
        ] {
            let read = of(&Json::read(text.as_bytes()).unwrap().object()).unwrap();
            assert_eq!(read.tokens, usage(1_000, 0, 500, 0), "{text}");
        }
    }

    #[test]
    fn sound_searches_and_writes_to_the_cache_are_read() {
        let body = json!({ "prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90, "num_search_queries": 3,
            "prompt_tokens_details": { "audio_tokens": 8, "cache_write_tokens": 20 },
            "completion_tokens_details": { "audio_tokens": 30 } });
        let read = read_value(&body).unwrap().tokens;
        assert_eq!((read.cache_write, read.audio_input, read.audio_output), (Tokens(20), Tokens(8), Tokens(30)));
        assert_eq!(read.searches, 3);
        let body = json!({ "prompt_tokens": 50, "prompt_tokens_details": { "cache_creation_tokens": 99 } });
        assert_eq!(read_value(&body).unwrap().tokens.cache_write, Tokens(50), "never more than there was");
        let body = json!({ "input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 40, "cache_creation": { "ephemeral_1h_input_tokens": 30 },
            "server_tool_use": { "web_search_requests": 2 } });
        let read = read_value(&body).unwrap().tokens;
        assert_eq!((read.input, read.cached), (Tokens(150), Tokens(100)), "this dialect leaves out the cache");
        assert_eq!((read.cache_write, read.cache_write_1h, read.searches), (Tokens(10), Tokens(30), 2));
    }

    #[test]
    fn the_tier_is_read_and_nonsense_is_the_usual_one() {
        let tier = |tier: Value| {
            let body = json!({ "usage": { "prompt_tokens": 5 }, "service_tier": tier }).to_string();
            of(&Json::read(body.as_bytes()).unwrap().object()).unwrap().tokens.tier
        };
        assert_eq!(tier(json!("flex")), ServiceTier::Flex);
        assert_eq!(tier(json!("priority")), ServiceTier::Priority);
        for usual in [json!("default"), json!("scale"), json!(null), json!(7), json!({ "flex": "flex" })] {
            assert_eq!(tier(usual), ServiceTier::Standard);
        }
    }
}
