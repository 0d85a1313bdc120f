//! Where calls of a model go: targets, when each is meant, and how one is chosen.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32, NonZeroU64};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target_id::TargetId;
use crate::id::ProviderId;
use crate::quantity::Tokens;

/// One place a call can go: a provider and the model's name there, and which calls it is for.
///
/// As text: `provider/model-there`, and behind it what is not as usual, e.g. `local/small weight=3 tags=eu+fast`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider.
    pub provider: ProviderId,
    /// The model's name at that provider.
    pub upstream_model: String,
    /// Its share of the calls beside other targets of the same priority, where the route's policy goes by weight; 1 if left out.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Targets of a lower number are tried first; 0 if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u8,
    /// It is for calls that say all of these tags; for all calls if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// It is for calls of at least so many input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_min: Option<Tokens>,
    /// It is for calls of at most so many input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_max: Option<Tokens>,
    /// It is only for calls that another target refused for one of these reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RefusedFor>,
    /// Requests a minute that it takes; without a bound if left out. Each gateway keeps to it for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<NonZeroU32>,
    /// Tokens a minute that it takes, input and output; without a bound if left out. Each gateway keeps to it for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<NonZeroU64>,
    /// It is tried first by so many percent of callers, each key always or never, and by no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<NonZeroU8>,
    /// It answers nobody: so many percent of calls are made there once more after their caller got an answer, to see how it
    /// does. These are paid too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<NonZeroU8>,
}

/// Why a provider refuses a request that another one may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedFor {
    /// The request is longer than the model's context.
    ContextLength,
    /// The provider's filter of contents does not let it pass.
    ContentFilter,
}

/// How a target is chosen among those of the same priority. Those that are not chosen are tried after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoutePolicy {
    /// In the order in which they stand.
    #[default]
    Ordered,
    /// By lot, each by its weight.
    Weighted,
    /// The one whose answers begin soonest, as far as this gateway has seen.
    LeastLatency,
    /// The one at whose price the call costs least.
    LeastCost,
    /// Calls with the same key that begin alike go to the same target, so that a provider's cache of prompts helps; over
    /// all calls each target has its weight.
    Sticky,
}

impl RoutePolicy {
    /// True of the policy of routes that say none.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// As it is recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Weighted => "weighted",
            Self::LeastLatency => "least_latency",
            Self::LeastCost => "least_cost",
            Self::Sticky => "sticky",
        }
    }
}

impl Target {
    /// For all calls.
    pub fn new(provider: ProviderId, upstream_model: impl Into<String>) -> Self {
        Self {
            provider,
            upstream_model: upstream_model.into(),
            weight: one(),
            priority: 0,
            tags: Vec::new(),
            input_min: None,
            input_max: None,
            on: Vec::new(),
            rpm: None,
            tpm: None,
            canary: None,
            shadow: None,
        }
    }

    /// Which one it is, whatever else is said of it.
    pub fn id(&self) -> TargetId {
        TargetId { provider: self.provider.clone(), upstream_model: self.upstream_model.clone() }
    }

    /// True if it is that one.
    pub fn is(&self, id: &TargetId) -> bool {
        (&self.provider, &self.upstream_model) == (&id.provider, &id.upstream_model)
    }

    /// Sets what the word `name=value` says; false if there is no such name.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, InvalidTarget> {
        let wrong = || InvalidTarget(format!("{name}={value}"));
        let tokens = || value.parse().map(Tokens).map_err(|_| wrong());
        let percent = || value.strip_suffix('%')?.parse().ok();
        match name {
            "weight" => self.weight = value.parse().map_err(|_| wrong())?,
            "priority" => self.priority = value.parse().map_err(|_| wrong())?,
            "tags" => self.tags = value.split('+').map(str::to_owned).collect(),
            "input_min" => self.input_min = Some(tokens()?),
            "input_max" => self.input_max = Some(tokens()?),
            "canary" => self.canary = Some(percent().ok_or_else(wrong)?),
            "shadow" => self.shadow = Some(percent().ok_or_else(wrong)?),
            "rpm" => self.rpm = Some(value.parse().map_err(|_| wrong())?),
            "tpm" => self.tpm = Some(value.parse().map_err(|_| wrong())?),
            "on" => self.on = value.split('+').map(RefusedFor::named).collect::<Option<_>>().ok_or_else(wrong)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A text that is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a target such as provider/model, with weight=3, priority=1, tags=a+b, input_min=1, input_max=8000, \
     rpm=60, tpm=100000, canary=5%, shadow=10% or on=context_length+content_filter behind it"
)]
pub struct InvalidTarget(String);

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(text.to_owned());
        let (provider, mut rest) = text.split_once('/').ok_or_else(invalid)?;
        let mut target = Self::new(ProviderId::new(provider).map_err(|_| invalid())?, "");
        // From the end on, as far as the words are known: a model's name may hold blanks too.
        while let Some((before, word)) = rest.rsplit_once(' ')
            && let Some((name, value)) = word.split_once('=')
            && target.set(name, value)?
        {
            rest = before.trim_end();
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        rest.clone_into(&mut target.upstream_model);
        Ok(target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, upstream_model, weight, priority, tags, input_min, input_max, .. } = self;
        write!(f, "{provider}/{upstream_model}")?;
        if !is_one(weight) {
            write!(f, " weight={weight}")?;
        }
        if !is_zero(priority) {
            write!(f, " priority={priority}")?;
        }
        if !tags.is_empty() {
            write!(f, " tags={}", tags.join("+"))?;
        }
        for (name, bound) in [("input_min", input_min), ("input_max", input_max)] {
            if let Some(Tokens(bound)) = bound {
                write!(f, " {name}={bound}")?;
            }
        }
        self.write_bounds(f)?;
        let on: Vec<&str> = self.on.iter().map(|reason| reason.as_str()).collect();
        if on.is_empty() { Ok(()) } else { write!(f, " on={}", on.join("+")) }
    }
}

impl Target {
    /// How much of the calls it gets.
    fn write_bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rpm) = self.rpm {
            write!(f, " rpm={rpm}")?;
        }
        if let Some(tpm) = self.tpm {
            write!(f, " tpm={tpm}")?;
        }
        for (name, share) in [("canary", self.canary), ("shadow", self.shadow)] {
            if let Some(share) = share {
                write!(f, " {name}={share}%")?;
            }
        }
        Ok(())
    }
}

impl RefusedFor {
    /// As it is recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::ContextLength, Self::ContentFilter].into_iter().find(|reason| reason.as_str() == name)
    }
}

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_one(weight: &u32) -> bool {
    *weight == 1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn is_zero(priority: &u8) -> bool {
    *priority == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for text in [
            "local/smollm2",
            "local/org/model-of:today",
            "script/echo delay=5",
            "local/small weight=3 priority=2 tags=eu+fast input_min=10 input_max=8000 rpm=60 tpm=100000 canary=5% on=context_length+content_filter",
            "local/small shadow=10%",
        ] {
            assert_eq!(target(text).to_string(), text);
        }
        let all = target("a/b  on=content_filter   weight=9");
        assert_eq!((all.upstream_model.as_str(), all.weight, all.on), ("b", 9, vec![RefusedFor::ContentFilter]));
        assert_eq!(target("script/echo delay=5").upstream_model, "echo delay=5", "a word that is none of ours");
    }

    #[test]
    fn words_are_those_that_are_recorded() {
        use RefusedFor::{ContentFilter, ContextLength};
        use RoutePolicy::{LeastCost, LeastLatency, Ordered, Sticky, Weighted};
        for policy in [Ordered, Weighted, LeastLatency, LeastCost, Sticky] {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        for reason in [ContextLength, ContentFilter] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn what_is_no_target_says_what_one_is() {
        for text in [
            "",
            "local",
            "/x",
            "local/",
            "a/b weight=x",
            "a/b on=rain",
            "a/b priority=256",
            "a/b rpm=0",
            "a/b tpm=-1",
            "a/b canary=5",
            "a/b shadow=0%",
        ] {
            let why = text.parse::<Target>().unwrap_err().to_string();
            assert!(why.contains("provider/model"), "{text:?}: {why}");
        }
    }
}
