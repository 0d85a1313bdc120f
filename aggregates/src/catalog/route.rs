//! Where a call goes: which targets of a route are for it, and in which order they are tried. A pure function, so that a
//! gateway and whoever explains a route say the same.
//!
//! It knows the route, the call, and what is known of each target; it must not know how that came to be known.

use std::fmt;
use std::num::NonZeroU8;
use std::time::Duration;

use steward_events::event::{RoutePolicy, RouteTerms, Target};
use steward_events::quantity::{NanoDollars, Tokens};

/// The routing of a model's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Where they can go.
    pub targets: Vec<Target>,
    /// How one is chosen.
    pub policy: RoutePolicy,
    /// What else it says.
    pub terms: RouteTerms,
}

/// What of a call decides where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallFacts<'a> {
    /// How many input tokens it probably has.
    pub input: Tokens,
    /// What it says of itself.
    pub tags: &'a [String],
    /// The same number for calls that should go to the same target.
    pub alike: u64,
    /// The same number for calls with the same key.
    pub caller: u64,
    /// Any number, for what goes by lot.
    pub lot: u64,
}

/// How a target is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// None if it may be asked; else it failed, and this is how long it is to be left alone.
    pub closed_for: Option<Duration>,
    /// How soon its answers begin; nothing if it was not asked yet.
    pub latency: Duration,
    /// What the call costs there if it writes all that it may; none if the target has no price, and then it is not asked.
    pub cost: Option<NanoDollars>,
}

/// Targets by their numbers in the route. Each stands in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Those to try, in order. Those that are to be left alone come last, the soonest first.
    pub order: Vec<usize>,
    /// Those to try only after a refusal for a reason that they name, in order.
    pub after_refusal: Vec<usize>,
    /// Those at which it is made once more, for nobody, after it was answered.
    pub shadows: Vec<usize>,
    /// Those that are not for this call.
    pub left_out: Vec<(usize, LeftOut)>,
}

/// Why a target is not for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The call lacks one of its tags.
    Tags,
    /// The call is too short for it.
    InputMin,
    /// The call is too long for it.
    InputMax,
    /// Neither it nor the model has a price now.
    NoPrice,
    /// It is tried with a part of callers, and this one is not among them.
    Canary,
    /// It is to see how it does on a part of calls, and this one is not among them.
    Shadow,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tags => "it is for calls with tags that this one lacks",
            Self::InputMin => "it is for longer calls",
            Self::InputMax => "it is for shorter calls",
            Self::Canary => "it is tried with some callers, and this one is not among them",
            Self::Shadow => "it only makes some calls once more, for nobody",
            Self::NoPrice => "it has no price now, so that the cost of a call there has no bound",
        })
    }
}

impl Course {
    /// Of a call with these `facts`, over targets as they stand.
    pub fn of<'a>(
        policy: RoutePolicy,
        targets: impl IntoIterator<Item = (&'a Target, Standing)>,
        facts: &CallFacts<'_>,
    ) -> Self {
        let mut course = Self::default();
        let (mut order, mut after_refusal) = (Vec::new(), Vec::new());
        for (number, (target, standing)) in targets.into_iter().enumerate() {
            let unpriced = standing.cost.is_none().then_some(LeftOut::NoPrice);
            if let Some(why) = left_out(target, facts).or(unpriced) {
                course.left_out.push((number, why));
                continue;
            }
            if target.shadow.is_some() {
                course.shadows.push(number);
                continue;
            }
            let place = Place::of(policy, target, standing, (number, facts));
            let list = if target.on.is_empty() { &mut order } else { &mut after_refusal };
            list.push((place, number));
        }
        for (mut from, to) in [(order, &mut course.order), (after_refusal, &mut course.after_refusal)] {
            from.sort_by(|(a, _), (b, _)| a.compare(b));
            to.extend(from.into_iter().map(|(_, number)| number));
        }
        course
    }
}

/// Whether `target` is for a call, and if not, why.
fn left_out(target: &Target, facts: &CallFacts<'_>) -> Option<LeftOut> {
    if target.tags.iter().any(|tag| !facts.tags.contains(tag)) {
        Some(LeftOut::Tags)
    } else if target.input_min.is_some_and(|min| facts.input < min) {
        Some(LeftOut::InputMin)
    } else if target.input_max.is_some_and(|max| facts.input > max) {
        Some(LeftOut::InputMax)
    } else if target.canary.is_some_and(|share| !is_among(facts.caller ^ name_of(target), share)) {
        Some(LeftOut::Canary)
    } else if target.shadow.is_some_and(|share| !is_among(facts.lot ^ name_of(target), share)) {
        Some(LeftOut::Shadow)
    } else {
        None
    }
}

/// True of so many percent of all numbers.
fn is_among(number: u64, share: NonZeroU8) -> bool {
    mix(number) % 100 < u64::from(share.get())
}

/// What decides the order; the first that differs.
struct Place {
    closed_for: Option<Duration>,
    /// False first: a canary is tried before all others.
    is_usual: bool,
    priority: u8,
    score: f64,
}

impl Place {
    fn of(
        policy: RoutePolicy,
        target: &Target,
        Standing { closed_for, latency, cost }: Standing,
        (number, facts): (usize, &CallFacts<'_>),
    ) -> Self {
        // The sort is stable, so that equals stay in the order of the route.
        let score = match policy {
            RoutePolicy::Ordered => 0.0,
            RoutePolicy::LeastLatency => latency.as_secs_f64(),
            #[allow(clippy::cast_precision_loss)] // 2^53 nano-dollars are nine million dollars
            RoutePolicy::LeastCost => cost.unwrap_or_default().0 as f64,
            RoutePolicy::Weighted => drawn(mix(facts.lot ^ mix(number as u64)), target.weight),
            RoutePolicy::Sticky => drawn(mix(facts.alike ^ name_of(target)), target.weight),
        };
        Self { closed_for, is_usual: target.canary.is_none(), priority: target.priority, score }
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let by_standing = self.closed_for.cmp(&other.closed_for);
        by_standing
            .then(self.is_usual.cmp(&other.is_usual))
            .then(self.priority.cmp(&other.priority))
            .then(self.score.total_cmp(&other.score))
    }
}

/// When a target of this weight would be drawn: exponentially distributed, so that the first of several is each with the
/// probability of its weight, and the rest follow likewise. With a number made of call and target this is weighted
/// rendezvous hashing: a target that goes or comes moves only its own calls.
fn drawn(random: u64, weight: u32) -> f64 {
    // The upper 53 bits: as many as a float holds. Never 0, whose logarithm is none.
    #[allow(clippy::cast_precision_loss)]
    let even = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -even.ln() / f64::from(weight.max(1))
}

/// A number for a target, whatever its place in the route (FNV-1a).
fn name_of(target: &Target) -> u64 {
    hash([target.provider.as_str().as_bytes(), &[0], target.upstream_model.as_bytes()])
}

/// A number of these bytes: the same in every process.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads a number over all 64 bits (the finaliser of SplitMix64).
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
