use proptest::prelude::*;
use steward_events::event::{Hours, ServiceTier, TimeOfDay};
use steward_events::quantity::Tokens;

use super::*;

fn rates(input: u64, cached: u64, output: u64) -> Rates {
    let [input, cached, output] = [input, cached, output].map(PicoDollarsPerToken);
    Rates { input, cached, output, ..Rates::default() }
}

fn variant(rates: Rates) -> PriceVariant {
    PriceVariant { context_above: None, tier: None, hours: vec![], rates }
}

fn used(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input: Tokens(input), output: Tokens(output), ..TokenUsage::default() }
}

fn hours(from: &str, to: &str) -> Hours {
    Hours { days: vec![], from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn reading(input: u64) -> Most {
    Most { input, ..Most::default() }
}

const BEGAN: Timestamp = Timestamp(0);

#[test]
fn the_cost_is_rounded_up_once() {
    let usage = TokenUsage { cached: Tokens(1), ..used(3, 1) };
    let cost = |rates: Rates| Price::from(rates).charge(&usage, BEGAN).cost;
    assert_eq!(cost(rates(100, 1, 100)), NanoDollars(1));
    assert_eq!(cost(rates(1_000_000, 100_000, 2_000_000)), NanoDollars(4_100));
    assert_eq!(cost(rates(0, 0, 0)), NanoDollars(0));
}

#[test]
fn each_kind_of_token_and_unit_has_its_own_rate() {
    let some = |rate| Some(PicoDollarsPerToken(rate));
    let full = Rates {
        cache_write: some(1_250),
        cache_write_1h: some(2_000),
        reasoning: some(7_000),
        audio_input: some(32_000),
        audio_output: some(64_000),
        image: Some(NanoDollars(40)),
        search: Some(NanoDollars(10)),
        call: Some(NanoDollars(5)),
        ..rates(1_000, 100, 4_000)
    };
    let usage = TokenUsage {
        cached: Tokens(10),
        cache_write: Tokens(20),
        cache_write_1h: Tokens(30),
        audio_input: Tokens(5),
        reasoning: Tokens(8),
        audio_output: Tokens(2),
        images: 2,
        searches: 3,
        ..used(100, 20)
    };
    let input = 10 * 100 + 20 * 1_250 + 30 * 2_000 + 5 * 32_000 + 35 * 1_000;
    let output = 8 * 7_000 + 2 * 64_000 + 10 * 4_000;
    let units = (2 * 40 + 3 * 10 + 5) * 1_000;
    let cost = NanoDollars::from_pico_rounded_up(input + output + units);
    assert_eq!(Price::from(full).charge(&usage, BEGAN), Charge { variant: 0, cost });
}

#[test]
fn a_missing_rate_is_that_of_plain_tokens() {
    let usage = TokenUsage {
        cache_write: Tokens(20),
        cache_write_1h: Tokens(30),
        audio_input: Tokens(5),
        reasoning: Tokens(8),
        audio_output: Tokens(2),
        images: 2,
        searches: 3,
        ..used(100, 20)
    };
    let price = Price::from(rates(1_000, 100, 4_000));
    assert_eq!(price.charge(&usage, BEGAN), price.charge(&used(100, 20), BEGAN));
    let dear_writes = Rates { cache_write: Some(PicoDollarsPerToken(2_000)), ..rates(1_000, 100, 4_000) };
    let cost = NanoDollars::from_pico_rounded_up(50 * 2_000 + 50 * 1_000 + 20 * 4_000);
    assert_eq!(Price::from(dear_writes).charge(&usage, BEGAN).cost, cost, "a long write is at least a write");
}

#[test]
fn a_long_context_re_prices_the_whole_call() {
    let above = PriceVariant { context_above: Some(Tokens(272_000)), ..variant(rates(4_000_000, 200_000, 15_000_000)) };
    let price = Price { variants: vec![above], ..rates(2_000_000, 100_000, 10_000_000).into() };
    assert_eq!(price.charge(&used(272_000, 0), BEGAN), Charge { variant: 0, cost: NanoDollars(544_000_000) });
    assert_eq!(price.charge(&used(272_001, 0), BEGAN), Charge { variant: 1, cost: NanoDollars(1_088_004_000) });
    assert_eq!(
        price.ceiling(reading(272_000), BEGAN).cost(0),
        NanoDollars(544_000_000),
        "no call that short is re-priced"
    );
}

#[test]
fn the_last_variant_that_applies_counts() {
    let flex = PriceVariant { tier: Some(ServiceTier::Flex), ..variant(rates(1_000, 1_000, 1_000)) };
    let peak = PriceVariant { hours: vec![hours("01:00", "04:00")], ..variant(rates(6_000, 6_000, 6_000)) };
    let price = Price { variants: vec![flex, peak], ..rates(3_000, 3_000, 3_000).into() };
    let by_tier = |tier, minutes: u64| {
        let usage = TokenUsage { tier, ..used(1, 0) };
        let Charge { variant, cost } = price.charge(&usage, Timestamp(minutes * 60_000_000));
        (variant, cost.0)
    };
    assert_eq!(by_tier(ServiceTier::Standard, 0), (0, 3));
    assert_eq!(by_tier(ServiceTier::Flex, 0), (1, 1));
    assert_eq!(by_tier(ServiceTier::Flex, 60), (2, 6), "nothing is cheaper in the peak");
    assert_eq!(by_tier(ServiceTier::Standard, 239), (2, 6));
    assert_eq!(by_tier(ServiceTier::Standard, 240), (0, 3));
}

#[test]
fn a_ceiling_knows_the_hour() {
    let night = PriceVariant { hours: vec![hours("00:00", "06:00")], ..variant(rates(1_000, 1_000, 1_000)) };
    let price = Price { variants: vec![night], ..rates(2_000, 2_000, 2_000).into() };
    assert_eq!(
        price.ceiling(reading(10), Timestamp(0)).cost(10),
        NanoDollars(20),
        "every call at night has the night's price"
    );
    assert_eq!(price.ceiling(reading(10), Timestamp(6 * 3_600_000_000)).cost(10), NanoDollars(40));
}

fn any_rates() -> impl Strategy<Value = Rates> {
    let token = || any::<u32>().prop_map(|rate| PicoDollarsPerToken(rate.into()));
    let other = move || prop::option::of(token());
    let unit = || prop::option::of(any::<u32>().prop_map(|price| NanoDollars(price.into())));
    let tokens = (token(), token(), token(), other(), other(), other(), other(), other());
    (tokens, unit()).prop_map(|((input, cached, output, write, write_1h, reasoning, audio_in, audio_out), call)| {
        Rates {
            input,
            cached,
            output,
            cache_write: write,
            cache_write_1h: write_1h,
            reasoning,
            audio_input: audio_in,
            audio_output: audio_out,
            call,
            image: call,
            ..Rates::default()
        }
    })
}

fn any_tier() -> impl Strategy<Value = ServiceTier> {
    prop::sample::select(vec![ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Batch])
}

fn any_hours() -> impl Strategy<Value = Hours> {
    (0_u16..1_440, 1_u16..=1_440).prop_map(|(from, length)| Hours {
        days: vec![],
        from: TimeOfDay(from),
        to: TimeOfDay((from + length).min(1_440)),
    })
}

fn any_variant() -> impl Strategy<Value = PriceVariant> {
    let (above, tier) = (prop::option::of((0_u64..12_000).prop_map(Tokens)), prop::option::of(any_tier()));
    (above, tier, prop::collection::vec(any_hours(), 0..2), any_rates())
        .prop_map(|(context_above, tier, hours, rates)| PriceVariant { context_above, tier, hours, rates })
}

fn any_price() -> impl Strategy<Value = Price> {
    (any_rates(), prop::collection::vec(any_variant(), 0..5))
        .prop_map(|(base, variants)| Price { variants, ..base.into() })
}

/// Whatever a provider may say within so much input and output, sensible or not.
fn any_usage(input_max: u64, output_max: u64) -> impl Strategy<Value = TokenUsage> {
    let part = || (0..=input_max + output_max).prop_map(Tokens);
    let parts = (part(), part(), part(), part(), part(), part());
    (0..=input_max, 0..=output_max, parts, any_tier()).prop_map(
        |(input, output, (cached, reasoning, cache_write, cache_write_1h, audio_input, audio_output), tier)| {
            TokenUsage {
                cached,
                reasoning,
                cache_write,
                cache_write_1h,
                audio_input,
                audio_output,
                tier,
                ..used(input, output)
            }
        },
    )
}

proptest! {
    #[test]
    fn no_usage_within_the_bounds_costs_more_than_the_ceiling(
        price in any_price(), usage in any_usage(10_000, 10_000), images in 0_u64..4, minute in 0_u64..20_000,
    ) {
        let (began, usage) = (Timestamp(minute * 60_000_000), TokenUsage { images, ..usage });
        let most = Most { images, searches: usage.searches, input: 10_000 };
        prop_assert!(price.charge(&usage, began).cost <= price.ceiling(most, began).cost(10_000));
    }

    #[test]
    fn money_pays_for_the_output_that_it_is_cut_to(
        price in any_price(), money in 0_u64..u64::MAX / 2, usage in any_usage(5_000, 1),
    ) {
        let ceiling = price.ceiling(reading(5_000), BEGAN);
        if let Some(output) = ceiling.output_for(NanoDollars(money)) {
            prop_assert!(output == u64::MAX || ceiling.cost(output) <= NanoDollars(money));
            let output = output.min(100_000);
            let usage = TokenUsage { output: Tokens(output), ..usage };
            prop_assert!(price.charge(&usage, BEGAN).cost <= NanoDollars(money));
        } else {
            prop_assert!(ceiling.cost(0) > NanoDollars(money));
        }
    }

    #[test]
    fn the_worst_case_pays_for_itself(price in any_price(), input in 0_u64..10_000, output in 0_u64..10_000) {
        let ceiling = price.ceiling(reading(input), BEGAN);
        prop_assert!(ceiling.output_for(ceiling.cost(output)).unwrap() >= output);
    }

    #[test]
    fn no_numbers_make_it_overflow(price in any_price(), counts in any::<[u64; 10]>()) {
        let [input, cached, output, reasoning, write, write_1h, audio_in, audio_out, images, searches] = counts;
        let usage = TokenUsage {
            input: Tokens(input), cached: Tokens(cached), output: Tokens(output), reasoning: Tokens(reasoning),
            cache_write: Tokens(write), cache_write_1h: Tokens(write_1h),
            audio_input: Tokens(audio_in), audio_output: Tokens(audio_out), images, searches,
            tier: ServiceTier::Standard,
        };
        price.charge(&usage, BEGAN);
        price.ceiling(reading(input), BEGAN).cost(output);
    }
}

#[test]
fn what_a_price_does_not_name_is_told() {
    let flex =
        PriceVariant { context_above: None, tier: Some(ServiceTier::Flex), hours: vec![], rates: Rates::default() };
    let plain = Price::from(Rates::default());
    let with_flex = Price { variants: vec![flex], ..plain.clone() };
    let named = Rates {
        cache_write: Some(PicoDollarsPerToken(1)),
        audio_input: Some(PicoDollarsPerToken(1)),
        audio_output: Some(PicoDollarsPerToken(1)),
        search: Some(NanoDollars(1)),
        ..Rates::default()
    };
    let usage = TokenUsage {
        cache_write: Tokens(1),
        audio_input: Tokens(1),
        audio_output: Tokens(1),
        searches: 1,
        tier: ServiceTier::Flex,
        ..TokenUsage::default()
    };
    let all = [Unpriced::Tier, Unpriced::CacheWrite, Unpriced::AudioInput, Unpriced::AudioOutput, Unpriced::Search];
    let listed = |set: UnpricedSet| set.iter().collect::<Vec<_>>();
    assert_eq!(listed(plain.unpriced(&usage, 0)), all);
    assert_eq!(listed(Price::from(named).unpriced(&usage, 0)), [Unpriced::Tier]);
    assert_eq!(listed(with_flex.unpriced(&usage, with_flex.charge(&usage, BEGAN).variant)), all[1..]);
    assert!(plain.unpriced(&TokenUsage::default(), 0).is_empty());
}

#[test]
fn images_whose_tokens_are_counted_need_no_price_of_their_own() {
    let plain = Price::from(rates(1, 1, 1));
    let listed = |usage: TokenUsage| plain.unpriced(&usage, 0).iter().collect::<Vec<_>>();
    assert_eq!(listed(TokenUsage { images: 1, ..used(5, 0) }), [Unpriced::Image]);
    assert_eq!(listed(TokenUsage { images: 1, ..used(5, 272) }), []);
}

#[test]
fn a_rate_for_output_is_found_wherever_it_stands() {
    let free = Price::from(rates(7, 7, 0));
    assert!(!free.charges_output());
    let sound = Rates { audio_output: Some(PicoDollarsPerToken(1)), ..rates(7, 7, 0) };
    assert!(Price { variants: vec![variant(sound)], ..free }.charges_output());
}
