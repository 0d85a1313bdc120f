//! What a call can cost at most, and what it did cost: tokens and prices, no I/O.
//!
//! What tokens cost, the price itself knows (`steward_aggregates::catalog::Price`).

use steward_aggregates::catalog::{Ceiling, Charge, Most, Price};
use steward_events::event::{CallOutcome, ModelSpec, Saving, ServiceTier, TokenUsage};
use steward_events::quantity::{Amounts, NanoDollars, Tokens};
use steward_events::shared::Shared;
use steward_events::timestamp::Timestamp;

use crate::dialect::{Makes, ModelRequest};

/// Tokens that a chat template may add to a request, e.g. a default system prompt.
const REQUEST_TOKENS: u64 = 64;
/// Tokens that a chat template may add to a message.
const MESSAGE_TOKENS: u64 = 16;
/// Tokens that a provider may put around all of a chat whose texts are counted exactly: what it says to the model of itself.
const PREAMBLE_TOKENS: u64 = 128;
/// Tokens that a provider may add to explain tools or a response format to the model.
const TOOLING_TOKENS: u64 = 1_024;
/// The least output of one choice that a clamped call is worth making for.
const CLAMPED_OUTPUT_MIN: u64 = 16;
/// Bytes of text that one token is worth in an estimate of what was used.
const BYTES_PER_TOKEN: u64 = 4;
/// Bytes that a request gains on its way: the limit, and the provider's name of the model.
const REWRITING_BYTES: u64 = 64;
/// Bytes that a request for a stream gains beside: that usage is wanted.
const USAGE_WANTED_BYTES: u64 = 48;
/// Searches that a provider may make for one call.
const SEARCHES_MAX: u64 = 10;
/// How often a provider that runs tools itself may read and write a whole context for one call. Beyond that, what it says
/// it used is not believed.
const ROUNDS_MAX: u64 = 128;

/// The price of one call, pinned when the call is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The price.
    pub(crate) price: Shared<Price>,
    /// When the call began: some prices depend on the hour.
    pub(crate) began: Timestamp,
    /// True if the call is one of a batch's.
    pub(crate) of_batch: bool,
}

impl Rate {
    /// What was used, at the tier at which it is charged: what a batch's call used is charged as a batch's if the price says
    /// what that costs, although the provider served it as usual.
    pub(crate) fn at_its_tier(&self, used: TokenUsage) -> TokenUsage {
        let has_one = || self.price.variants.iter().any(|variant| variant.tier == Some(ServiceTier::Batch));
        if self.of_batch && used.tier.is_standard() && has_one() {
            return TokenUsage { tier: ServiceTier::Batch, ..used };
        }
        used
    }

    /// What a call is charged that used `tokens`; nothing if the provider billed nothing.
    pub(crate) fn charge(&self, tokens: &TokenUsage, outcome: &CallOutcome) -> Charge {
        match outcome {
            CallOutcome::NotBilled { .. } => Charge { variant: 0, cost: NanoDollars(0) },
            CallOutcome::Completed | CallOutcome::Estimated { .. } => self.price.charge(tokens, self.began),
        }
    }

    /// What a call saved that used `tokens`, and would have read so many more.
    pub(crate) fn spared(&self, tokens: &TokenUsage, outcome: &CallOutcome, spared: u64) -> Saving {
        if spared == 0 {
            return Saving::default();
        }
        let more = TokenUsage { input: Tokens(tokens.input.0.saturating_add(spared)), ..*tokens };
        let (cost, without) = (self.charge(tokens, outcome).cost, self.charge(&more, outcome).cost);
        let money = NanoDollars(without.0.saturating_sub(cost.0));
        Saving { tokens: Tokens(spared), money, extra: NanoDollars(0) }
    }

    /// What a call saved that used `tokens`, some of which the provider read from its cache or wrote to it; or what that cost
    /// more than it saved.
    pub(crate) fn prompt_cache(&self, tokens: &TokenUsage, outcome: &CallOutcome) -> Saving {
        let nothing = Tokens(0);
        if [tokens.cached, tokens.cache_write, tokens.cache_write_1h] == [nothing; 3] {
            return Saving::default();
        }
        let cost = self.charge(tokens, outcome).cost;
        let uncached = TokenUsage { cached: nothing, cache_write: nothing, cache_write_1h: nothing, ..*tokens };
        let without = self.charge(&uncached, outcome).cost;
        Saving {
            tokens: tokens.cached.min(tokens.input),
            money: NanoDollars(without.0.saturating_sub(cost.0)),
            extra: NanoDollars(cost.0.saturating_sub(without.0)),
        }
    }
}

/// Bounds of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Input tokens, at most.
    pub(crate) input_max: u64,
    /// The same of what stands in the request, if each byte of text is a token; none if its texts need not be counted.
    by_bytes: Option<u64>,
    /// Output tokens of one choice, at most.
    pub(crate) output_max: u64,
    /// Output tokens beside the choices, at most.
    output_beside: u64,
    /// All that the model reads and writes at once, of each text that it reads for itself.
    context_max: u64,
    /// How many choices.
    pub(crate) choices: u64,
    /// True if the caller did not say how much output it wants: then less may be reserved.
    pub(crate) clampable: bool,
    /// What it is charged.
    pub(crate) rate: Rate,
    /// What it can use at most beside its output.
    most: Most,
    /// What it can cost.
    ceiling: Ceiling,
    /// What is probably used, but for the output.
    probable: TokenUsage,
}

impl Estimate {
    /// Of `request` for what its dialect `makes`, to a model of which `spec` is known.
    pub(crate) fn of(request: &ModelRequest, makes: Makes, spec: &ModelSpec, rate: Rate) -> Self {
        let texts = request.size.further_texts.saturating_add(1);
        // No model reads or writes more than its context.
        let context_max = spec.context_max.0.saturating_mul(texts);
        let by_bytes = match makes {
            Makes::Sound => None,
            _ if request.size.reads_elsewhere => None,
            _ => Some(input_bound(request)),
        };
        let input_max = match makes {
            // In characters, which are counted exactly.
            Makes::Sound => request.size.message_tokens,
            _ => by_bytes.map_or(context_max, |bytes| bytes.min(context_max)),
        };
        let asked = request.output_limit.unwrap_or(spec.output_max.0);
        let images = if makes == Makes::Images { request.choices } else { 0 };
        let most = Most { input: input_max, searches: if request.size.searches { SEARCHES_MAX } else { 0 }, images };
        let read = match makes {
            Makes::Sound => input_max,
            _ => tokens_of(request.size.message_tokens).min(input_max),
        };
        Self {
            input_max,
            by_bytes,
            output_max: match makes {
                Makes::Text | Makes::Images => asked.min(spec.output_max.0),
                Makes::Nothing | Makes::Sound => 0,
            },
            choices: request.choices,
            clampable: makes == Makes::Text && request.output_limit.is_none(),
            output_beside: request.size.output_tokens,
            context_max,
            most,
            ceiling: rate.price.ceiling(most, rate.began),
            rate,
            probable: TokenUsage { input: Tokens(read), images, ..TokenUsage::default() },
        }
    }

    /// The same call at another price.
    pub(crate) fn at(&self, rate: Rate) -> Self {
        Self { ceiling: rate.price.ceiling(self.most, rate.began), rate, ..self.clone() }
    }

    /// What it is charged if it writes all that it may.
    pub(crate) fn usual_cost(&self) -> NanoDollars {
        let usage = self.probable(self.output(self.output_max));
        self.rate.charge(&usage, &CallOutcome::Completed).cost
    }

    /// The same of a request whose texts are so many tokens fewer than bytes.
    pub(crate) fn with_texts_counted(mut self, fewer: u64) -> Self {
        if let Some(by_bytes) = self.by_bytes.take() {
            let counted = by_bytes.saturating_sub(fewer).saturating_add(PREAMBLE_TOKENS);
            self.input_max = self.input_max.min(counted);
            self.most.input = self.input_max;
            self.ceiling = self.rate.price.ceiling(self.most, self.rate.began);
        }
        self
    }

    /// Tokens that the model can read beside the output that may follow; where the caller does not say how much that is, half
    /// of its context is left for input at least.
    pub(crate) fn room(&self) -> u64 {
        let output = if self.clampable { self.output_max.min(self.context_max / 2) } else { self.output_max };
        self.context_max.saturating_sub(output)
    }

    /// True if it may get lower when texts are counted.
    pub(crate) const fn counts_bytes(&self) -> bool {
        self.by_bytes.is_some()
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
        let output = self.output(each);
        Amounts { calls: 1, tokens: Tokens(self.input_max.saturating_add(output)), money: self.ceiling.cost(output) }
    }

    /// All output, if each choice has so much.
    pub(crate) fn output(&self, each: u64) -> u64 {
        each.saturating_mul(self.choices).saturating_add(self.output_beside)
    }

    /// The output of one choice that `granted` pays for; none if not even one token of what is wanted.
    pub(crate) fn output_for(&self, granted: Amounts) -> Option<u64> {
        let of_choices = |output: u64| Some(output.checked_sub(self.output_beside)? / self.choices);
        let by_tokens = of_choices(granted.tokens.0.checked_sub(self.input_max)?)?;
        let by_money = of_choices(self.ceiling.output_for(granted.money)?)?;
        Some(self.output_max.min(by_tokens).min(by_money)).filter(|output| *output > 0 || self.output_max == 0)
    }

    /// What was probably used, where the provider does not say.
    pub(crate) fn probable(&self, output: u64) -> TokenUsage {
        TokenUsage { output: Tokens(output), ..self.probable }
    }
}

impl Estimate {
    /// None if `said` can be; else, where it is more than any call of this model can use, what is posted instead: no more
    /// than the model reads and writes at once.
    pub(crate) fn instead_of(&self, said: TokenUsage) -> Option<TokenUsage> {
        let most = self.context_max.saturating_mul(ROUNDS_MAX);
        let images = self.probable.images;
        let tokens_can_be = said.input.0 <= most && said.output.0 <= most.saturating_mul(self.choices);
        if tokens_can_be && said.searches <= most && said.images <= images {
            return None;
        }
        let input = said.input.min(Tokens(self.context_max));
        let output = said.output.min(Tokens(self.context_max.saturating_mul(self.choices)));
        Some(TokenUsage { input, output, images: said.images.min(images), tier: said.tier, ..TokenUsage::default() })
    }
}

/// Tokens that a request can be worth at most, if a byte of text is a token.
fn input_bound(ModelRequest { size, stream, .. }: &ModelRequest) -> u64 {
    let tooling = size
        .tooling_tokens
        .iter()
        .fold(0, |sum: u64, tokens| sum.saturating_add(TOOLING_TOKENS).saturating_add(*tokens));
    let gained = if *stream { REWRITING_BYTES + USAGE_WANTED_BYTES } else { REWRITING_BYTES };
    size.message_tokens
        .saturating_add(tooling)
        .saturating_add(size.other_tokens)
        .saturating_add(REQUEST_TOKENS)
        .saturating_add(MESSAGE_TOKENS.saturating_mul(size.messages))
        // However it is made into text, there are no more tokens than bytes.
        .max(size.bytes.saturating_add(gained))
}

/// Tokens that `bytes` of text are probably worth.
pub(crate) fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use steward_events::event::{PriceVariant, Rates, Tokenizer};
    use steward_events::quantity::PicoDollarsPerToken;

    use super::*;
    use crate::dialect::openai_chat::{LimitField, OpenAiChat};
    use crate::dialect::openai_embeddings::OpenAiEmbeddings;
    use crate::dialect::openai_images::OpenAiImages;
    use crate::dialect::testing::any_json;
    use crate::dialect::{Dialect, Recipient, Speaks};
    use crate::tokenizer;

    const SPEC: ModelSpec = ModelSpec::of(Tokens(8_192), Tokens(2_048));

    fn rate(input: u64, cached: u64, output: u64) -> Rate {
        let [input, cached, output] = [input, cached, output].map(PicoDollarsPerToken);
        Rate {
            price: Price::from(Rates { input, cached, output, ..Rates::default() }).into(),
            began: Timestamp(0),
            of_batch: false,
        }
    }

    fn bounds(input_max: u64, output_max: u64, choices: u64, rate: &Rate) -> Estimate {
        let most = Most { input: input_max, ..Most::default() };
        let ceiling = rate.price.ceiling(most, rate.began);
        let (output_beside, context_max) = (0, 8_192);
        let rate = rate.clone();
        let most = Most { input: input_max, searches: 0, images: 0 };
        Estimate {
            input_max,
            by_bytes: None,
            output_max,
            output_beside,
            context_max,
            choices,
            clampable: true,
            rate,
            most,
            ceiling,
            probable: TokenUsage::default(),
        }
    }

    fn estimate(body: &Value) -> Estimate {
        let request = OpenAiChat.read(&body.to_string().into()).unwrap();
        Estimate::of(&request, Makes::Text, &SPEC, rate(1_000_000, 100_000, 2_000_000))
    }

    #[test]
    fn the_bound_holds_when_each_byte_is_a_token() {
        let text = "é".repeat(50);
        let estimate = estimate(&json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }));
        assert!(estimate.input_max >= 100 + 4, "{estimate:?}");
        assert_eq!(estimate.output_max, 2_048, "all that the model can write, if nothing is said");
    }

    #[test]
    fn a_limit_reserves_no_more_than_the_models_maximum() {
        let request = |limit: u64| {
            estimate(&json!({ "model": "m", "max_tokens": limit, "n": 3, "messages": [{ "content": "hi" }] }))
        };
        assert_eq!(request(10).output_max, 10);
        assert_eq!(request(1_000_000).output_max, 2_048);
        assert_eq!(request(10).worst().tokens.0, request(10).input_max + 30);
        assert_eq!(request(10).worst_min(), request(10).worst(), "an explicit limit waits instead of being clamped");
    }

    #[test]
    fn what_is_only_read_reserves_no_output_and_is_never_clamped() {
        let body = json!({ "model": "m", "input": vec!["word ".repeat(2_000); 3] });
        let request = OpenAiEmbeddings.read(&body.to_string().into()).unwrap();
        let estimate = Estimate::of(&request, Makes::Nothing, &SPEC, rate(1_000_000, 1_000_000, 2_000_000));
        assert_eq!(estimate.input_max, 3 * 8_192, "each text has as much as the model reads");
        assert_eq!((estimate.worst().tokens.0, estimate.worst_min()), (estimate.input_max, estimate.worst()));
        assert_eq!(estimate.output_for(estimate.worst()), Some(0), "nothing is wanted, so nothing lacks");
        assert_eq!(estimate.probable(0).input, Tokens(7_500));
    }

    #[test]
    fn images_reserve_their_price_and_no_more_are_believed() {
        let body = json!({ "model": "m", "prompt": "a cat", "n": 3 });
        let request = OpenAiImages.read(&body.to_string().into()).unwrap();
        let by_image = Rates { image: Some(NanoDollars(40)), ..Rates::default() };
        let rate = Rate { price: Price::from(by_image).into(), began: Timestamp(0), of_batch: false };
        let estimate = Estimate::of(&request, Makes::Images, &SPEC, rate);
        assert_eq!((estimate.worst().money, estimate.worst_min()), (NanoDollars(120), estimate.worst()));
        assert_eq!(estimate.probable(0).images, 3);
        let said = |images: u64| TokenUsage { images, ..TokenUsage::default() };
        assert_eq!(estimate.instead_of(said(3)), None);
        assert_eq!(estimate.instead_of(said(1_000)), Some(said(3)));
    }

    #[test]
    fn another_price_changes_money_and_nothing_else() {
        let body = json!({ "model": "m", "max_tokens": 100, "messages": [{ "content": "word ".repeat(40) }] });
        let (dear, cheap) = (estimate(&body), estimate(&body).at(rate(1_000, 100, 2_000)));
        assert_eq!((dear.worst().tokens, dear.output_max), (cheap.worst().tokens, cheap.output_max));
        assert_eq!(dear.worst().money.0, cheap.worst().money.0 * 1_000);
        assert!(cheap.usual_cost() < dear.usual_cost() && dear.usual_cost() < dear.worst().money);
        assert_eq!(cheap.at(rate(1_000_000, 100_000, 2_000_000)), dear);
    }

    #[test]
    fn an_unbilled_call_costs_nothing_despite_a_call_price() {
        let per_call = Rates { call: Some(NanoDollars(7)), ..Rates::default() };
        let rate = Rate { price: Price::from(per_call).into(), began: Timestamp(0), of_batch: false };
        let refused = CallOutcome::NotBilled { reason: "connection refused".to_owned() };
        assert_eq!(rate.charge(&TokenUsage::default(), &refused).cost, NanoDollars(0));
        assert_eq!(rate.charge(&TokenUsage::default(), &CallOutcome::Completed).cost, NanoDollars(7));
    }

    #[test]
    fn a_prompt_cache_saves_or_costs_the_difference() {
        let rates = Rates {
            input: PicoDollarsPerToken(1_000_000),
            cached: PicoDollarsPerToken(100_000),
            cache_write: Some(PicoDollarsPerToken(1_250_000)),
            ..Rates::default()
        };
        let rate = Rate { price: Price::from(rates).into(), began: Timestamp(0), of_batch: false };
        let used = |cached, cache_write| {
            let [input, cached, cache_write] = [1_000, cached, cache_write].map(Tokens);
            TokenUsage { input, cached, cache_write, ..TokenUsage::default() }
        };
        let saving = |cached, written| rate.prompt_cache(&used(cached, written), &CallOutcome::Completed);
        let of = |tokens, money, extra| Saving {
            tokens: Tokens(tokens),
            money: NanoDollars(money),
            extra: NanoDollars(extra),
        };
        assert_eq!(saving(0, 0), Saving::default());
        assert_eq!(saving(800, 0), of(800, 720_000, 0));
        assert_eq!(saving(0, 800), of(0, 0, 200_000), "a write costs more than reading does");
        assert_eq!(saving(800, 200), of(800, 670_000, 0));
        let refused = CallOutcome::NotBilled { reason: "busy".to_owned() };
        assert_eq!(rate.prompt_cache(&used(0, 800), &refused), Saving::default());
    }

    proptest! {
        #[test]
        fn a_cut_reservation_pays_for_its_cut_output(
            input in 0_u64..10_000, output in 1_u64..10_000, choices in 1_u64..5,
            rates in any::<[u32; 3]>(), tokens in 0_u64..60_000, money in 0_u64..u64::MAX / 2,
        ) {
            let [a, b, c] = rates.map(u64::from);
            let whole = bounds(input, output, choices, &rate(a, b, c));
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
        fn no_usage_within_bounds_costs_more_than_the_worst_case(
            input in 0_u64..10_000, cached in 0_u64..10_000, output in 0_u64..10_000, rates in any::<[u32; 3]>(),
        ) {
            let [a, b, c] = rates.map(u64::from);
            let whole = bounds(10_000, 10_000, 1, &rate(a, b, c));
            let tokens = TokenUsage { input: Tokens(input), cached: Tokens(cached), output: Tokens(output), ..TokenUsage::default() };
            prop_assert!(whole.rate.charge(&tokens, &CallOutcome::Completed).cost <= whole.worst().money);
        }

        #[test]
        fn no_more_is_sent_than_the_bound_of_the_input(
            fields in prop::collection::btree_map("[a-z_]{1,12}", any_json(&["text", "image_url", "max_tokens"]), 0..5),
            text in ".{0,60}", stream in any::<bool>(), pretty in any::<bool>(),
        ) {
            let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": text }], "stream": stream });
            for (name, value) in fields {
                body.as_object_mut().unwrap().entry(name).or_insert(value);
            }
            let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
            if let Ok(request) = OpenAiChat.read(&text.into()) {
                let spec = ModelSpec { context_max: Tokens(u64::MAX), ..SPEC };
                let estimate = Estimate::of(&request, Makes::Text, &spec, rate(1, 1, 1));
                let speaks = Speaks::OpenAiChat { limit_field: LimitField::MaxCompletionTokens, only_that: false, stream_options: true };
                let model = "a-provider/a-model-of-2026";
                let sent = OpenAiChat.write(&request, &Recipient { speaks, model, output_max: 1_000 });
                prop_assert!(sent.len() as u64 <= estimate.input_max, "{} > {}", sent.len(), estimate.input_max);
            }
        }

        #[test]
        fn no_chat_is_more_tokens_than_are_counted_with_all_that_is_around(
            texts in prop::collection::vec((prop::sample::select(vec!["system", "user", "assistant"]), "\\PC{0,80}|[a-z \n]{0,400}"), 1..6),
        ) {
            let messages: Vec<Value> = texts.iter().map(|(role, text)| json!({ "role": role, "content": text })).collect();
            let body = json!({ "model": "m", "messages": messages });
            let request = OpenAiChat.read(&body.to_string().into()).unwrap();
            let spec = ModelSpec::of(Tokens(u64::MAX), Tokens(1));
            let by_bytes = Estimate::of(&request, Makes::Text, &spec, rate(1, 1, 1));
            for tokenizer in [Tokenizer::O200k, Tokenizer::Cl100k] {
                let fewer = tokenizer::counted(tokenizer, &request.body).fewer();
                let exact = by_bytes.clone().with_texts_counted(fewer);
                // As OpenAI says that its models are shown a chat: three tokens a message, its role, and three to begin the answer.
                let shown = 3 + texts.iter().map(|(role, text)| 3 + tokenizer::count(tokenizer, role) + tokenizer::count(tokenizer, text)).sum::<u64>();
                prop_assert!(exact.input_max >= shown, "{} < {shown}", exact.input_max);
                prop_assert!(exact.worst().fits(by_bytes.worst()) && !exact.counts_bytes());
            }
        }

        #[test]
        fn more_text_is_never_a_smaller_bound(a in ".{0,50}", b in ".{0,50}") {
            let bound = |text: &str| estimate(&json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })).input_max;
            let both = format!("{a}{b}");
            prop_assert!(bound(&both) >= bound(&a));
            prop_assert!(bound(&a) >= a.len() as u64);
        }
    }

    #[test]
    fn a_batchs_call_is_charged_as_one_where_the_price_says_what_that_costs() {
        let of_input = |pico| Rates { input: PicoDollarsPerToken(pico), ..Rates::default() };
        let (usual, half) = (of_input(2_000_000), of_input(1_000_000));
        let variant = |tier| PriceVariant { context_above: None, tier: Some(tier), hours: Vec::new(), rates: half };
        let used = |tier| TokenUsage { input: Tokens(1_000), tier, ..TokenUsage::default() };
        let cost = |variants: Vec<PriceVariant>, of_batch, tier| {
            let price = Price { variants, ..Price::from(usual) };
            let rate = Rate { price: price.into(), began: Timestamp(0), of_batch };
            rate.charge(&rate.at_its_tier(used(tier)), &CallOutcome::Completed).cost
        };
        let (standard, batch) = (ServiceTier::Standard, ServiceTier::Batch);
        let (dear, cheap) = (cost(vec![], false, standard), cost(vec![variant(batch)], true, standard));
        assert_eq!(cheap.0 * 2, dear.0);
        assert_eq!(cost(vec![variant(batch)], false, standard), dear, "no batch's");
        assert_eq!(cost(vec![variant(ServiceTier::Flex)], true, standard), dear, "the price has none");
        assert_eq!(cost(vec![variant(batch)], true, ServiceTier::Priority), dear, "the provider says how it served it");
    }
}
