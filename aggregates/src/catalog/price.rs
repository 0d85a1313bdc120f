//! What calls cost: exact, summed in pico-dollars and rounded up once, and never more than what was said before.
//!
//! A price has base rates and variants. Of the variants that apply to a call, the last counts, and it re-prices the whole
//! call; if none applies, the base does. The hours of a call are those in which it began.

use steward_events::event::{PriceVariant, Rates, TokenUsage, Unpriced, UnpricedSet};
use steward_events::quantity::{NanoDollars, PicoDollarsPerToken};
use steward_events::timestamp::Timestamp;

/// A price from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// First moment at which it does not apply any more.
    pub until: Option<Timestamp>,
    /// The rates of calls to which no variant applies.
    pub base: Rates,
    /// Other rates for some calls.
    pub variants: Vec<PriceVariant>,
    /// Who says so.
    pub source: Option<String>,
}

/// What a call is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Which variant counts, from 1; 0 is the base.
    pub variant: u16,
    /// How much that is.
    pub cost: NanoDollars,
}

impl From<Rates> for Price {
    fn from(base: Rates) -> Self {
        Self { until: None, base, variants: Vec::new(), source: None }
    }
}

impl Price {
    /// True if it still applies at `at`, if it began before.
    pub fn lasts(&self, at: Timestamp) -> bool {
        self.until.is_none_or(|until| at < until)
    }

    /// What `usage` costs in a call that began at `began`.
    pub fn charge(&self, usage: &TokenUsage, began: Timestamp) -> Charge {
        let applies = |variant: &PriceVariant| {
            variant.context_above.is_none_or(|above| usage.input > above)
                && variant.tier.is_none_or(|tier| usage.tier == tier)
                && holds_at(variant, began)
        };
        let last = (1..).zip(&self.variants).filter(|(_, variant)| applies(variant)).last();
        let (variant, rates) = last.map_or((0, &self.base), |(number, variant)| (number, &variant.rates));
        Charge { variant, cost: NanoDollars::from_pico_rounded_up(pico(rates, usage)) }
    }

    /// Of what `usage` says, what this price does not name at the rates of `variant` and charges as something else or not at
    /// all: such a charge may differ from the bill.
    pub fn unpriced(&self, usage: &TokenUsage, variant: u16) -> UnpricedSet {
        let of_variant = usize::from(variant).checked_sub(1).and_then(|place| self.variants.get(place));
        let rates = of_variant.map_or(&self.base, |variant| &variant.rates);
        let is_its_tier = of_variant.is_some_and(|variant| variant.tier == Some(usage.tier));
        let cache_write = usage.cache_write.0.saturating_add(usage.cache_write_1h.0) > 0;
        let all = [
            (Unpriced::Tier, !usage.tier.is_standard() && !is_its_tier),
            (Unpriced::CacheWrite, cache_write && rates.cache_write.is_none()),
            (Unpriced::AudioInput, usage.audio_input.0 > 0 && rates.audio_input.is_none()),
            (Unpriced::AudioOutput, usage.audio_output.0 > 0 && rates.audio_output.is_none()),
            (Unpriced::Search, usage.searches > 0 && rates.search.is_none()),
            // Images whose tokens are counted are charged as output.
            (Unpriced::Image, usage.images > 0 && usage.output.0 == 0 && rates.image.is_none()),
        ];
        all.into_iter().filter(|(_, lacks)| *lacks).map(|(what, _)| what).collect()
    }

    /// True if it names a rate for output: for a provider that does not say how much that is, such a price says nothing.
    pub fn charges_output(&self) -> bool {
        let of_variants = self.variants.iter().map(|variant| &variant.rates);
        std::iter::once(&self.base).chain(of_variants).any(|rates| Dearest::of(rates, Most::default()).output > 0)
    }

    /// What a call that begins at `begins` and uses at most this can cost, by its output, at whatever tier it is served.
    pub fn ceiling(&self, most: Most, begins: Timestamp) -> Ceiling {
        let mut dearest = vec![Dearest::of(&self.base, most)];
        for variant in &self.variants {
            let may_apply = variant.context_above.is_none_or(|above| most.input > above.0) && holds_at(variant, begins);
            if !may_apply {
                continue;
            }
            if variant.context_above.is_none() && variant.tier.is_none() {
                // It applies to every such call, so that nothing before it counts.
                dearest.clear();
            }
            dearest.push(Dearest::of(&variant.rates, most));
        }
        Ceiling { input_max: most.input, dearest }
    }
}

fn holds_at(variant: &PriceVariant, at: Timestamp) -> bool {
    variant.hours.is_empty() || variant.hours.iter().any(|hours| hours.contain(at))
}

/// The most that a call can use beside its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// Input tokens.
    pub input: u64,
    /// Searches.
    pub searches: u64,
    /// Images made.
    pub images: u64,
}

/// The most that calls with so much input can cost, by their output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    input_max: u64,
    /// The rates that may apply; at least one.
    dearest: Vec<Dearest>,
}

/// The dearest of a set of rates, in pico-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dearest {
    input: u64,
    output: u64,
    call: u128,
}

impl Dearest {
    fn of(rates: &Rates, most: Most) -> Self {
        let max = |always: &[PicoDollarsPerToken], sometimes: &[Option<PicoDollarsPerToken>]| {
            always.iter().chain(sometimes.iter().flatten()).map(|rate| rate.0).max().unwrap_or(0)
        };
        Self {
            input: max(&[rates.input, rates.cached], &[rates.cache_write, rates.cache_write_1h, rates.audio_input]),
            output: max(&[rates.output], &[rates.reasoning, rates.audio_output]),
            call: whole(rates.call)
                .saturating_add(whole(rates.search).saturating_mul(most.searches.into()))
                .saturating_add(whole(rates.image).saturating_mul(most.images.into())),
        }
    }

    fn without_output(&self, input: u64) -> u128 {
        (u128::from(input) * u128::from(self.input)).saturating_add(self.call)
    }
}

impl Ceiling {
    /// The most that a call can cost that writes at most `output` tokens.
    pub fn cost(&self, output: u64) -> NanoDollars {
        let each = self.dearest.iter().map(|rates| {
            rates.without_output(self.input_max).saturating_add(u128::from(output) * u128::from(rates.output))
        });
        NanoDollars::from_pico_rounded_up(each.max().unwrap_or(0))
    }

    /// The output tokens that `money` pays for, whatever rates apply; none if it does not even pay for the input.
    pub fn output_for(&self, money: NanoDollars) -> Option<u64> {
        let pico = u128::from(money.0) * 1_000;
        let each = self.dearest.iter().map(|rates| {
            let left = pico.checked_sub(rates.without_output(self.input_max))?;
            let tokens = left.checked_div(u128::from(rates.output));
            Some(tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or(u64::MAX))
        });
        // None is less than any number.
        each.min().flatten()
    }
}

/// What `usage` costs at `rates`. Each token is charged once, at the first rate that it is reported under.
fn pico(rates: &Rates, usage: &TokenUsage) -> u128 {
    let or = |rate: Option<PicoDollarsPerToken>, other: PicoDollarsPerToken| rate.unwrap_or(other);
    let write = or(rates.cache_write, rates.input);
    let mut sum = 0_u128;
    let mut charge = |left: &mut u64, tokens: u64, rate: PicoDollarsPerToken| {
        let charged = tokens.min(*left);
        *left -= charged;
        sum = sum.saturating_add(u128::from(charged) * u128::from(rate.0));
    };
    let mut input = usage.input.0;
    charge(&mut input, usage.cached.0, rates.cached);
    charge(&mut input, usage.cache_write.0, write);
    charge(&mut input, usage.cache_write_1h.0, or(rates.cache_write_1h, write));
    charge(&mut input, usage.audio_input.0, or(rates.audio_input, rates.input));
    charge(&mut input, u64::MAX, rates.input);
    let mut output = usage.output.0;
    charge(&mut output, usage.reasoning.0, or(rates.reasoning, rates.output));
    charge(&mut output, usage.audio_output.0, or(rates.audio_output, rates.output));
    charge(&mut output, u64::MAX, rates.output);
    sum.saturating_add(u128::from(usage.images).saturating_mul(whole(rates.image)))
        .saturating_add(u128::from(usage.searches).saturating_mul(whole(rates.search)))
        .saturating_add(whole(rates.call))
}

/// A price for one of something, in pico-dollars.
fn whole(price: Option<NanoDollars>) -> u128 {
    u128::from(price.unwrap_or_default().0) * 1_000
}

#[cfg(test)]
mod tests;
