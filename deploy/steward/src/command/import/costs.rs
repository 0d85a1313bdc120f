//! LiteLLM's names for what a model costs and how much it reads and writes, as rates and limits. The same names stand in its
//! price map, in `model_info` and in `litellm_params`.

use std::collections::BTreeMap;

use steward_events::event::{PriceVariant, Rates, ServiceTier};
use steward_events::quantity::{NanoDollars, PicoDollarsPerToken, Tokens};

use super::decimal::{self, Whole};

/// What costs of a model say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// The rates of calls to which no variant applies.
    pub(super) rates: Rates,
    /// Other rates for some calls.
    pub(super) variants: Vec<PriceVariant>,
    /// What else to say of it.
    pub(super) remarks: Vec<String>,
}

/// What a model can read and write, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Most input.
    pub(super) input: Option<u64>,
    /// Most output.
    pub(super) output: Option<u64>,
}

impl Limits {
    /// The limit that has this name; false if none has.
    pub(super) fn read(&mut self, name: &str, number: &str) -> bool {
        let tokens = || decimal::count(number).filter(|tokens| *tokens > 0);
        match name {
            "max_input_tokens" => self.input = tokens(),
            "max_output_tokens" => self.output = tokens(),
            // The older name of most output; the newer one counts.
            "max_tokens" => self.output = self.output.or_else(tokens),
            _ => return false,
        }
        true
    }

    /// Input and output together. Input and output are limited apart there, so no bound of a context is less than their sum.
    pub(super) fn context(self) -> Option<u64> {
        Some(self.input?.saturating_add(self.output.unwrap_or(0)))
    }

    /// What `self` does not say is as `other` says.
    pub(super) fn or(self, other: Self) -> Self {
        Self { input: self.input.or(other.input), output: self.output.or(other.output) }
    }
}

/// For which calls a cost is: the tier, and above how many tokens of input. The base first, and tiers last, so that of the
/// variants that apply to a call the last is the one meant.
type Applies = (Option<ServiceTier>, Option<u64>);

/// Which rate a cost is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rate {
    Input,
    Output,
    Cached,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
    AudioInput,
    AudioOutput,
    Image,
    Search,
    Call,
}

const RATES: &[(&str, Rate)] = &[
    ("input_cost_per_token", Rate::Input),
    ("output_cost_per_token", Rate::Output),
    ("cache_read_input_token_cost", Rate::Cached),
    ("cache_creation_input_token_cost_above_1hr", Rate::CacheWrite1h),
    ("cache_creation_input_token_cost", Rate::CacheWrite),
    ("output_cost_per_reasoning_token", Rate::Reasoning),
    ("input_cost_per_audio_token", Rate::AudioInput),
    ("output_cost_per_audio_token", Rate::AudioOutput),
    ("output_cost_per_image", Rate::Image),
    ("search_context_cost_per_query", Rate::Search),
    ("input_cost_per_request", Rate::Call),
];

const TIERS: &[(&str, ServiceTier)] =
    &[("_flex", ServiceTier::Flex), ("_priority", ServiceTier::Priority), ("_batches", ServiceTier::Batch)];

/// True if this is the name of a cost, known here or not.
pub(super) fn is_cost(name: &str) -> bool {
    name.contains("cost_per_") || name.contains("token_cost") || name == "tiered_pricing"
}

/// `input_cost_per_token_above_200k_tokens_priority`: which rate, of which calls.
fn meaning(name: &str) -> Option<(Rate, Applies)> {
    let (stem, rate) = RATES.iter().find(|(stem, _)| name.starts_with(stem))?;
    let rest = &name[stem.len()..];
    let (rest, tier) =
        TIERS.iter().find_map(|(end, tier)| Some((rest.strip_suffix(end)?, Some(*tier)))).unwrap_or((rest, None));
    let above = match rest {
        "" => None,
        _ => Some(rest.strip_prefix("_above_")?.strip_suffix("k_tokens")?.parse::<u64>().ok()?.checked_mul(1_000)?),
    };
    Some((*rate, (tier, above)))
}

/// The costs among `entries`, each a name and an amount of dollars; none if neither input nor output has one.
///
/// # Errors
/// The name of a cost that is no amount.
pub(super) fn read<'e>(entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Result<Option<Costs>, String> {
    let mut costs = Costs::default();
    let mut groups: BTreeMap<Applies, BTreeMap<Rate, u64>> = BTreeMap::new();
    for (name, amount) in entries {
        let Some((rate, applies)) = meaning(name) else {
            if !matches!(decimal::pico(amount), Some(Whole { units: 0, .. })) {
                costs.remarks.push(format!("{name} is not charged: no price here has such a rate"));
            }
            continue;
        };
        let whole = match rate {
            Rate::Image | Rate::Search | Rate::Call => decimal::nano(amount),
            _ => decimal::pico(amount),
        };
        let Whole { units, rounded } = whole.ok_or_else(|| format!("{name} is not an amount of dollars"))?;
        if rounded {
            costs.remarks.push(format!("{name} is rounded up to a whole pico-dollar"));
        }
        groups.entry(applies).or_default().insert(rate, units);
    }
    let base = groups.remove(&(None, None)).unwrap_or_default();
    if !base.contains_key(&Rate::Input) && !base.contains_key(&Rate::Output) {
        return Ok(None);
    }
    costs.rates = rates(&base, None);
    add_combinations(&mut groups);
    costs.variants = groups
        .into_iter()
        .map(|((tier, above), changed)| {
            let rates = rates(&changed, Some(&costs.rates));
            PriceVariant { context_above: above.map(Tokens), tier, hours: Vec::new(), rates }
        })
        .collect();
    Ok(Some(costs))
}

/// A call can be both at a tier and above a length for which there is no price of both: it is charged at the dearer.
fn add_combinations(groups: &mut BTreeMap<Applies, BTreeMap<Rate, u64>>) {
    let tiers: Vec<_> = groups.keys().filter_map(|(tier, _)| *tier).collect();
    let lengths: Vec<_> = groups.keys().filter(|(tier, _)| tier.is_none()).filter_map(|(_, above)| *above).collect();
    for tier in tiers {
        for above in &lengths {
            let parts = [(Some(tier), None), (None, Some(*above))].map(|part| groups.get(&part).cloned());
            let combined = groups.entry((Some(tier), Some(*above))).or_default();
            for (rate, units) in parts.into_iter().flatten().flatten() {
                let known = combined.entry(rate).or_default();
                *known = units.max(*known);
            }
        }
    }
}

/// The rates of one group; what it does not say is as `base` has it.
fn rates(group: &BTreeMap<Rate, u64>, base: Option<&Rates>) -> Rates {
    let pico = |rate, base: Option<PicoDollarsPerToken>| group.get(&rate).copied().map(PicoDollarsPerToken).or(base);
    let nano = |rate, base: Option<NanoDollars>| group.get(&rate).copied().map(NanoDollars).or(base);
    let input = pico(Rate::Input, base.map(|base| base.input)).unwrap_or_default();
    let of = base.copied().unwrap_or_default();
    Rates {
        input,
        // Without a price of its own, what comes out of a cache is charged as other input.
        cached: pico(Rate::Cached, base.map(|base| base.cached)).unwrap_or(input),
        output: pico(Rate::Output, Some(of.output)).unwrap_or_default(),
        cache_write: pico(Rate::CacheWrite, of.cache_write),
        cache_write_1h: pico(Rate::CacheWrite1h, of.cache_write_1h),
        reasoning: pico(Rate::Reasoning, of.reasoning),
        audio_input: pico(Rate::AudioInput, of.audio_input),
        audio_output: pico(Rate::AudioOutput, of.audio_output),
        image: nano(Rate::Image, of.image),
        search: nano(Rate::Search, of.search),
        call: nano(Rate::Call, of.call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(entries: &[(&str, &str)]) -> Costs {
        read(entries.iter().copied()).unwrap().unwrap()
    }

    #[test]
    fn names_say_rate_tier_and_length() {
        assert_eq!(meaning("input_cost_per_token"), Some((Rate::Input, (None, None))));
        assert_eq!(
            meaning("output_cost_per_token_above_272k_tokens_priority"),
            Some((Rate::Output, (Some(ServiceTier::Priority), Some(272_000))))
        );
        assert_eq!(meaning("cache_creation_input_token_cost_above_1hr"), Some((Rate::CacheWrite1h, (None, None))));
        assert_eq!(
            meaning("cache_creation_input_token_cost_above_200k_tokens"),
            Some((Rate::CacheWrite, (None, Some(200_000))))
        );
        assert_eq!(meaning("output_cost_per_token_batches"), Some((Rate::Output, (Some(ServiceTier::Batch), None))));
        assert_eq!(meaning("input_cost_per_character"), None);
        assert_eq!(meaning("input_cost_per_token_above_manyk_tokens"), None);
    }

    #[test]
    fn a_model_with_tiers_has_a_variant_for_each() {
        let costs = priced(&[
            ("input_cost_per_token", "2e-06"),
            ("output_cost_per_token", "1e-05"),
            ("cache_read_input_token_cost", "2e-07"),
            ("input_cost_per_token_above_272k_tokens", "4e-06"),
            ("input_cost_per_token_flex", "1e-06"),
            ("input_cost_per_token_priority", "5e-06"),
            ("search_context_cost_per_query", "0.01"),
        ]);
        assert_eq!(costs.rates.cached, PicoDollarsPerToken(200_000));
        assert_eq!(costs.rates.search, Some(NanoDollars(10_000_000)));
        let shown: Vec<_> = costs
            .variants
            .iter()
            .map(|one| (one.tier, one.context_above.map(|above| above.0), one.rates.input.0, one.rates.output.0))
            .collect();
        let (flex, priority) = (Some(ServiceTier::Flex), Some(ServiceTier::Priority));
        assert_eq!(
            shown,
            [
                (None, Some(272_000), 4_000_000, 10_000_000),
                (flex, None, 1_000_000, 10_000_000),
                (flex, Some(272_000), 4_000_000, 10_000_000),
                (priority, None, 5_000_000, 10_000_000),
                (priority, Some(272_000), 5_000_000, 10_000_000),
            ]
        );
        assert!(costs.remarks.is_empty());
    }

    #[test]
    fn an_unknown_cost_is_told_unless_it_is_nothing() {
        let costs = priced(&[
            ("input_cost_per_token", "1e-06"),
            ("input_cost_per_second", "0.1"),
            ("output_cost_per_second", "0"),
        ]);
        assert_eq!(costs.remarks, ["input_cost_per_second is not charged: no price here has such a rate"]);
        assert_eq!(costs.rates.output, PicoDollarsPerToken(0));
    }

    #[test]
    fn without_a_cost_a_token_there_is_no_price() {
        assert_eq!(read([("input_cost_per_second", "0.1")]), Ok(None));
        assert!(read([("input_cost_per_token", "-1")]).is_err());
        assert!(read([("input_cost_per_token", "many")]).is_err());
    }

    #[test]
    fn limits_are_apart_so_the_context_is_their_sum() {
        let mut limits = Limits::default();
        for (name, number) in
            [("max_tokens", "64000"), ("max_input_tokens", "272000"), ("max_output_tokens", "128000.0")]
        {
            assert!(limits.read(name, number));
        }
        assert_eq!((limits.context(), limits.output), (Some(400_000), Some(128_000)));
        assert!(!limits.read("mode", "chat"));
        let mut odd = Limits::default();
        odd.read("max_tokens", "LEGACY parameter");
        assert_eq!(odd, Limits::default());
    }
}
