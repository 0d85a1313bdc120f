//! What a call can cost at most, and what it did cost: tokens and prices, no I/O.
//!
//! Costs are summed in pico-dollars and rounded up once.

use steward_events::event::{ModelSpec, Price, TokenUsage};
use steward_events::quantity::{Amounts, NanoDollars, Tokens};

use crate::dialect::ModelRequest;

/// Tokens that a chat template may add to a request, e.g. a default system prompt.
const REQUEST_TOKENS: u64 = 64;
/// Tokens that a chat template may add to a message.
const MESSAGE_TOKENS: u64 = 16;
/// Tokens that a provider may add to explain tools or a response format to the model.
const TOOLING_TOKENS: u64 = 1_024;
/// The least output of one choice that a clamped call is worth making for.
const CLAMPED_OUTPUT_MIN: u64 = 16;
/// Bytes of text that one token is worth in an estimate of what was used.
const BYTES_PER_TOKEN: u64 = 4;

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Input tokens, at most.
    pub(crate) input_max: u64,
    /// Output tokens of one choice, at most.
    pub(crate) output_max: u64,
    /// How many choices.
    pub(crate) choices: u64,
    /// True if the caller did not say how much output it wants: then less may be reserved.
    pub(crate) clampable: bool,
    /// The price.
    pub(crate) price: Price,
    /// Bytes of text in the request.
    input_bytes: u64,
}

impl Estimate {
    /// Of `ask`, made to a model of which `spec` is known.
    pub(crate) fn of(ask: &ModelRequest, spec: &ModelSpec, price: Price) -> Self {
        let text = ask.size.message_tokens;
        let tooling = ask
            .size
            .tooling_tokens
            .iter()
            .fold(0, |sum: u64, tokens| sum.saturating_add(TOOLING_TOKENS).saturating_add(*tokens));
        let input = text
            .saturating_add(tooling)
            .saturating_add(REQUEST_TOKENS)
            .saturating_add(MESSAGE_TOKENS.saturating_mul(ask.size.messages));
        let asked = ask.output_limit.unwrap_or(spec.output_max.0);
        Self {
            // No model reads or writes more than its context.
            input_max: input.min(spec.context_max.0),
            output_max: asked.min(spec.output_max.0).max(1),
            choices: ask.choices,
            clampable: ask.output_limit.is_none(),
            price,
            input_bytes: text,
        }
    }

    /// The worst case.
    pub(crate) fn worst(&self) -> Amounts {
        self.with_output(self.output_max)
    }

    /// The least that would do.
    pub(crate) fn worst_min(&self) -> Amounts {
        if self.clampable { self.with_output(self.output_max.min(CLAMPED_OUTPUT_MIN)) } else { self.worst() }
    }

    fn with_output(&self, each: u64) -> Amounts {
        let output = each.saturating_mul(self.choices);
        let money = u128::from(self.input_max) * u128::from(self.dearest_input())
            + u128::from(output) * u128::from(self.price.output.0);
        Amounts {
            calls: 1,
            tokens: Tokens(self.input_max.saturating_add(output)),
            money: NanoDollars::from_pico_rounded_up(money),
        }
    }

    fn dearest_input(&self) -> u64 {
        self.price.input.0.max(self.price.cached.0)
    }

    /// The output of one choice that `granted` pays for; none if not even one token.
    pub(crate) fn output_for(&self, granted: Amounts) -> Option<u64> {
        let by_tokens = granted.tokens.0.checked_sub(self.input_max)? / self.choices;
        let pico = u128::from(granted.money.0) * 1_000;
        let left = pico.checked_sub(u128::from(self.input_max) * u128::from(self.dearest_input()))?;
        let each = u128::from(self.price.output.0) * u128::from(self.choices);
        let by_money = left.checked_div(each).and_then(|output| u64::try_from(output).ok()).unwrap_or(u64::MAX);
        Some(self.output_max.min(by_tokens).min(by_money)).filter(|output| *output > 0)
    }

    /// What was probably used, where the provider does not say.
    pub(crate) fn probable(&self, output: u64) -> TokenUsage {
        let input = self.input_bytes.div_ceil(BYTES_PER_TOKEN).min(self.input_max);
        TokenUsage { input: Tokens(input), output: Tokens(output), ..TokenUsage::default() }
    }
}

/// What `tokens` cost at `price`.
pub(crate) fn cost(price: &Price, tokens: &TokenUsage) -> NanoDollars {
    let (input, cached) = (tokens.input.0, tokens.cached.0.min(tokens.input.0));
    let pico = u128::from(input - cached) * u128::from(price.input.0)
        + u128::from(cached) * u128::from(price.cached.0)
        + u128::from(tokens.output.0) * u128::from(price.output.0);
    NanoDollars::from_pico_rounded_up(pico)
}

/// Tokens that `bytes` of text are probably worth.
pub(crate) fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use steward_events::quantity::PicoDollarsPerToken;

    use super::*;
    use crate::dialect::Dialect;
    use crate::dialect::openai_chat::OpenAiChat;

    const SPEC: ModelSpec = ModelSpec { context_max: Tokens(8_192), output_max: Tokens(2_048) };

    fn price(input: u64, cached: u64, output: u64) -> Price {
        let [input, cached, output] = [input, cached, output].map(PicoDollarsPerToken);
        Price { input, cached, output }
    }

    fn estimate(body: &Value) -> Estimate {
        let ask = OpenAiChat.read(&body.to_string().into()).unwrap();
        Estimate::of(&ask, &SPEC, price(1_000_000, 100_000, 2_000_000))
    }

    #[test]
    fn the_bound_holds_for_texts_where_each_byte_is_a_token() {
        let text = "é".repeat(50);
        let estimate = estimate(&json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }));
        assert!(estimate.input_max >= 100 + 4, "{estimate:?}");
        assert_eq!(estimate.output_max, 2_048, "all that the model can write, if nothing is said");
    }

    #[test]
    fn a_limit_above_what_the_model_writes_reserves_no_more_than_that() {
        let ask = |limit: u64| {
            estimate(&json!({ "model": "m", "max_tokens": limit, "n": 3, "messages": [{ "content": "hi" }] }))
        };
        assert_eq!(ask(10).output_max, 10);
        assert_eq!(ask(1_000_000).output_max, 2_048);
        assert_eq!(ask(10).worst().tokens.0, ask(10).input_max + 30);
        assert_eq!(ask(10).worst_min(), ask(10).worst(), "an explicit limit waits instead of being clamped");
    }

    #[test]
    fn the_cost_is_rounded_up_once() {
        let tokens = TokenUsage { input: Tokens(3), cached: Tokens(1), output: Tokens(1), ..TokenUsage::default() };
        assert_eq!(cost(&price(100, 1, 100), &tokens), NanoDollars(1));
        assert_eq!(cost(&price(1_000_000, 100_000, 2_000_000), &tokens), NanoDollars(4_100));
        assert_eq!(cost(&price(0, 0, 0), &tokens), NanoDollars(0));
    }

    proptest! {
        #[test]
        fn what_is_granted_pays_for_the_output_that_it_is_cut_to(
            input in 0_u64..10_000, output in 1_u64..10_000, choices in 1_u64..5,
            rates in any::<[u32; 3]>(), tokens in 0_u64..60_000, money in 0_u64..u64::MAX / 2,
        ) {
            let [a, b, c] = rates.map(u64::from);
            let whole = Estimate { input_max: input, output_max: output, choices, clampable: true, price: price(a, b, c), input_bytes: input };
            let granted = Amounts { calls: 1, tokens: Tokens(tokens), money: NanoDollars(money) };
            if let Some(each) = whole.output_for(granted) {
                prop_assert!(each <= output);
                let spent = whole.with_output(each);
                prop_assert!(spent.fits(granted), "{spent} in {granted}");
            }
            prop_assert_eq!(whole.output_for(whole.worst()), Some(output), "the worst case is never clamped");
            prop_assert!(whole.worst_min().fits(whole.worst()));
            prop_assert!(whole.output_for(whole.worst_min()).is_some());
        }

        #[test]
        fn no_usage_within_the_bounds_costs_more_than_the_worst_case(
            input in 0_u64..10_000, cached in 0_u64..10_000, output in 0_u64..10_000, rates in any::<[u32; 3]>(),
        ) {
            let [a, b, c] = rates.map(u64::from);
            let price = price(a, b, c);
            let whole = Estimate { input_max: 10_000, output_max: 10_000, choices: 1, clampable: true, price, input_bytes: 0 };
            let tokens = TokenUsage { input: Tokens(input), cached: Tokens(cached), output: Tokens(output), ..TokenUsage::default() };
            prop_assert!(cost(&price, &tokens) <= whole.worst().money);
        }

        #[test]
        fn more_text_is_never_a_smaller_bound(a in ".{0,50}", b in ".{0,50}") {
            let bound = |text: &str| estimate(&json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })).input_max;
            let both = format!("{a}{b}");
            prop_assert!(bound(&both) >= bound(&a));
            prop_assert!(bound(&a) >= a.len() as u64);
        }
    }
}
